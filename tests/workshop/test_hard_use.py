"""Commands and files as they happen on people's machines: none may print a traceback, do harm or hang."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60
pytestmark = pytest.mark.skipif(os.name != "posix", reason="written for a POSIX shell")
GLM_TTS = f"'{sys.executable}' -m tts_service.cli"

FILES = {
    "good.jsonl": b'{"input_text": "\xe4\xb8\x80"}\n',
    "null.jsonl": b'{"input_text": "a"}\n{"input_text": null, "output_name": "n"}\n{"input_text": "b"}\n',
    "types.jsonl": b'{"input_text": 3}\n{"input_text": []}\n{"input_text": {}}\n[]\n3\n"a"\nnull\ntrue\n',
    "array.json": b'[{"input_text": "a"}, {"input_text": "b"},]',
    "cut.json": b'[{"input_text": "a"}, {"input_te',
    "deep.json": b"[" * 200_000,
    "old.jsonl": b'{"input_text": "a"}\r{"input_text": "b"}\r',
    "wide.jsonl": '{"input_text": "一"}\n'.encode("utf-16"),
    "gbk.csv": "input_text,output_name\n今天,甲/乙\n".encode("gbk"),
    "quote.csv": b'input_text\n"never ends\n' + b"x\n" * 200_000,
    "noise.bin": bytes(range(256)) * 400,
    "zeros.jsonl": bytes(100_000),
    "empty.jsonl": b"",
    "long.txt": b"a" * (17 << 20),
    "latin.txt": b"caf\xe9",
    "dict.jsonl": b'{"word": "x"}\n\xff\n[1]\n',
    "deep_dict.jsonl": b"[" * 100_000,
}

COMMANDS = [
    # (shell command; what it ends with; what it says)
    ("glm-tts --version", 0, "pipecat-glm-tts"),
    ("glm-tts", (0, 2), "Usage"),
    ("glm-tts --help | head -1", 0, ""),
    ("glm-tts g2p 重庆 | head -c 0", 0, ""),
    ("glm-tts say 好 -o /", 2, "it is a folder"),
    ("glm-tts say 好 -o .", 2, "it is a folder"),
    ("glm-tts say 好 -o nowhere.txt/", 2, "no format"),
    ("glm-tts say 好 -o good.jsonl/x.wav", 2, "Not a directory"),
    ("glm-tts say 好 -o loop.wav", 2, "cannot be written"),
    (f"glm-tts say 好 -o {'x' * 300}.wav", 2, "shorter name"),
    ("glm-tts say 好 -o - >&-", 2, "standard output is closed"),
    ("glm-tts say 好 -v lain", 2, "did you mean lian?"),
    ("glm-tts say 好 -v $'\\xff'", 2, "is not text"),
    ("glm-tts say $'\\xff'", 2, "is not text"),
    ("glm-tts say 好 --speed nan", 2, "speed"),
    ("glm-tts say 好 --speed 1e999", 2, "speed"),
    ("glm-tts say 好 --seed 99999999999999999999", (0, 2), ""),
    ("glm-tts say -f long.txt", 2, "more than 16 MB"),
    ("glm-tts say -f latin.txt", 2, "not UTF-8 near byte 3"),
    ("glm-tts say -f .", 2, "cannot be read"),
    ("glm-tts say --play -o x.wav 好", 2, "not both"),
    ("GLM_TTS_MP3_KBPS=x glm-tts say 好 -o x.mp3", 2, "GLM_TTS_MP3_KBPS"),
    ("GLM_TTS_ENGINE=x glm-tts say 好", 2, "no engine"),
    ("glm-tts g2p 好 2>&-", 0, "hao3"),
    ("glm-tts g2p 好 <&-", 0, "hao3"),
    ("glm-tts g2p <&-", 0, ""),
    ("PYTHONIOENCODING=gbk glm-tts g2p 好✓", 0, "hao3"),
    ("PYTHONIOENCODING=cp1252 glm-tts g2p 好", 0, "hao3"),
    ("PYTHONIOENCODING=ascii glm-tts g2p 好 --json", 0, '"hao3"'),
    ("PYTHONIOENCODING=ascii glm-tts presets", 0, "dubbing"),
    ("LC_ALL=C glm-tts g2p 好", 0, "hao3"),
    ("LC_ALL=xx_YY.broken glm-tts g2p 好", 0, "hao3"),
    ("glm-tts g2p - < noise.bin", 2, "not UTF-8"),
    ("glm-tts g2p 好 --dict nowhere.jsonl", 2, "nowhere.jsonl"),
    ("glm-tts g2p 好 --dict noise.bin", 0, "hao3"),
    ("glm-tts dict check dict.jsonl", 1, "not UTF-8"),
    ("glm-tts dict check deep_dict.jsonl", 1, "Problem"),
    ("glm-tts dict check noise.bin", 1, ""),
    ("glm-tts dict check .", 2, "cannot be read"),
    ("glm-tts batch nowhere.jsonl", 2, "nowhere.jsonl cannot be read"),
    ("glm-tts batch empty.jsonl", 2, "no tasks"),
    ("glm-tts batch /dev/null", 2, "no tasks"),
    ("glm-tts batch . ", 2, "cannot be read"),
    ("glm-tts batch good.jsonl --dict nowhere", 2, "no dictionary file"),
    ("glm-tts batch good.jsonl -o latin.txt", 2, "Not a directory"),
    ("glm-tts batch good.jsonl --engine x", 2, "no engine"),
    ("glm-tts voices add nowhere.wav --consent x", (1, 2), "nowhere.wav"),
    ("glm-tts voices add noise.bin --consent x --transcript x", (1, 2), "cannot be read as audio"),
    ("glm-tts voices add good.wav --consent x --quality ultra", 2, "fast or best"),
    ("glm-tts voices add good.wav --consent x --engine bogus", 2, "no engine"),
    ("glm-tts voices add good.wav --consent x --name mei", 2, "mei"),
    ("glm-tts voices add good.wav --consent x --language fr", 2, "zh or en"),
    ("glm-tts voices match nobody", (1, 2), "nobody"),
    ("glm-tts voices remove ../x --yes", 1, "cannot be a name"),
    ("glm-tts voices list", 0, "lian"),
    ("glm-tts studio --port 99999", 2, "65535"),
    ("HOME=/nonexistent XDG_CACHE_HOME= glm-tts g2p 好", 0, "hao3"),
    ("env -u HOME glm-tts voices list", 0, "lian"),
    ("mkdir bare; chmod 500 bare; HOME=$PWD/bare GLM_TTS_VOICES= glm-tts voices list", 0, "lian"),
    ("glm-tts g2p 好 > /dev/full", 1, "No space left on device"),
    ("glm-tts presets > /dev/full", 1, "make room"),
    ("glm-tts g2p 好 --json > /dev/full", 1, "No space left on device"),
    ("glm-tts presets 2> /dev/full", 0, "dubbing"),
    ("glm-tts say 好 -v nobody 2> /dev/full", (1, 2), ""),
    ("ln -s b a; ln -s a b; glm-tts say 好 -o a/x.wav", 2, "Too many levels of symbolic links"),
    ("glm-tts say 好 -o -- -x.wav", 2, "no option -x"),
    ("glm-tts batch good.jsonl -o /dev/null", 2, "Not a directory"),
    ("glm-tts batch - --check < /dev/null", 2, "no tasks"),
    ("GLM_TTS_VOICES=/dev/null glm-tts voices list", 0, "lian"),
    ("GLM_TTS_CONFIGS=/dev/null glm-tts presets", 0, "dubbing"),
    ("ulimit -v 800000; glm-tts g2p 好", 0, "hao3"),
    ("mkfifo pipe; (printf '{}' > pipe &) ; timeout 50 glm-tts dict check pipe", 1, "empty"),
    (": > empty.wav; glm-tts voices add empty.wav --consent x --transcript x --engine glm", 1, "read as audio"),
    ("cp good.jsonl x.webm; glm-tts voices add x.webm --consent x --transcript x --engine glm", 1, "read as audio"),
    ("glm-tts voices add good.jsonl --consent '' --transcript x --engine glm", 2, "consent is empty"),
    ("glm-tts voices add good.jsonl --consent x --transcript x --engine glm --name ../evil", 2, "cannot be a name"),
    ("printf '\\360\\237\\230\\200' | glm-tts g2p -", 0, ""),
    ("printf 'a\\0\\1b' | glm-tts g2p -", 0, ""),
    ("glm-tts say 好 --bitrate 99999 -o x.mp3", 2, "8 to 320 kbit/s"),
    ("glm-tts detect latin.txt nowhere.wav", 1, "read as audio"),
    ("GLM_TTS_LANG=zh glm-tts say 好 --seed x", 2, "--seed: 不是整数"),
    ("GLM_TTS_LANG=zh glm-tts say 好 --speed x", 2, "--speed: 不是数字"),
    ("GLM_TTS_LANG=zh glm-tts say 好 --seed", 2, "--seed 后面缺少值"),
    ("GLM_TTS_LANG=zh glm-tts say 好 多 余", 2, "多出来的：多 余"),
    ("GLM_TTS_LANG=zh glm-tts say 好 --stream=3", 2, "--stream 后面不带值"),
]


@pytest.fixture
def place(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    return tmp_path


def environment(place, **more):
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "LC_ALL": "C.UTF-8",
        "GLM_TTS_LANG": "en",
        "GLM_TTS_VOICES": str(place / "library"),
        "COLUMNS": "400",
        **more,
    }


def shell(place, command):
    command = command.replace("glm-tts", GLM_TTS)
    # A test run in the background has SIGINT ignored, and its children would inherit that.
    return subprocess.run(
        ["bash", "-c", command], cwd=place, env=environment(place), capture_output=True, timeout=SECONDS, check=False
    )


@pytest.mark.parametrize(("command", "codes", "said"), COMMANDS, ids=[command[:60] for command, _, _ in COMMANDS])
def test_no_traceback_no_harm_no_hang(place, command, codes, said):
    before = {path: path.read_bytes() for path in place.iterdir() if path.is_file()}
    ended = shell(place, command)
    output = (ended.stdout + ended.stderr).decode(errors="replace")
    assert "Traceback" not in output, output
    assert "Exception ignored" not in output, output
    assert ended.returncode in (codes if isinstance(codes, tuple) else (codes,)), output
    assert said in output
    assert {path: path.read_bytes() for path in before} == before, "nothing that was there has changed"
    assert not list(place.rglob("*.part"))


@pytest.mark.parametrize("command", ["", "voices", "voices add", "dict"])
def test_help_is_in_one_language(place, command):
    helped = shell(place, f"GLM_TTS_LANG=zh glm-tts {command} --help")
    assert helped.returncode == 0
    english = {"Usage", "OPTIONS", "COMMAND", "Options", "Commands", "Arguments", "Show", "default", "env", "required"}
    assert english & set(re.findall(r"\w+", helped.stdout.decode())) == set()


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith((".jsonl", ".json", ".csv", ".bin"))])
def test_any_file_can_be_given_as_a_batch(place, name):
    """Through a pipe, which cannot be read twice; the engine is not asked for anything that is wrong."""
    from tts_service.engine import SpeechError
    from tts_service.workshop.task_file import kept
    from tts_service.workshop.tasks import Flaw, Task, read_tasks

    fifo = place / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(["bash", "-c", f"cat '{name}' > fifo"], cwd=place), kept(fifo) as copy:
        for _ in range(2):
            items = list(read_tasks(copy, place))
    assert all(isinstance(item, Task | Flaw) for item in items)
    with pytest.raises(SpeechError, match="cannot be read"), kept(place / "nowhere") as path:
        list(read_tasks(path))


# The studio


def test_a_studio_says_at_once_that_its_port_is_taken(place):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = shell(place, f"glm-tts studio --port {port}")
    assert ended.returncode == 1
    assert f"--port {port + 1}".encode() in ended.stderr
    assert b"Loading" not in ended.stderr


def test_a_studio_beyond_this_computer_wants_a_token(place):
    ended = shell(place, "glm-tts studio --host 0.0.0.0 --port 0")
    assert ended.returncode == 1
    assert b"GLM_TTS_API_KEY" in ended.stderr


def test_a_studio_stands_behind_the_gate(place):
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("gradio")
    command = [sys.executable, "-m", "tts_service.cli", "studio", "--port", "0"]
    with subprocess.Popen(command, cwd=place, env=environment(place), stderr=subprocess.PIPE) as process:
        try:
            address = next(line for line in process.stderr if b"http://" in line).decode().split()[-1]
            root = address.removesuffix("/studio/")
            for _ in range(50):
                with suppress(httpx.ConnectError):
                    assert httpx.get(f"{root}/", timeout=30).headers["location"] == "/studio/"
                    break
                time.sleep(0.1)  # the socket is ours already, the server is about to listen on it
            assert httpx.get(f"{root}/v1/voices", headers={"Host": "evil.example"}).status_code == 421
            evil = {"Origin": "http://evil.example", "Content-Type": "text/plain"}
            assert httpx.post(f"{root}/studio/gradio_api/queue/join", headers=evil, content="{}").status_code == 403
            assert httpx.post(f"{root}/v1/audio/speech", content=bytes(3 << 20)).status_code == 413
            assert httpx.get(f"{root}/v1/voices").status_code == 200
        finally:
            process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=SECONDS)
        assert b"Traceback" not in err
        assert process.returncode == 143


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["importing", "loading", "working"])
def test_a_signal_ends_a_command_within_two_seconds(place, number, moment):
    tasks = [{"input_text": f"第{i}句。今天天气很好，我们一起去公园散步。"} for i in range(100)]
    (place / "many.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))

    def heed():
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_DFL)

    # Python itself needs a moment until our first line runs; the markers say that it has, and that the voice is loaded.
    marked = """
import os, tts_service, tts_service.cli
load = tts_service.load
tts_service.load = lambda *rest, **settings: os.write(1, b"loading\\n") and load(*rest, **settings)
os.write(1, b"begun\\n")
tts_service.cli.main()
"""
    command = [sys.executable, "-c", marked, "batch", "many.jsonl", "-o", "out"]
    with subprocess.Popen(
        command,
        cwd=place,
        env=environment(place),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=heed,
    ) as process:
        assert process.stdout.readline() == b"begun\n"
        if moment == "importing":
            time.sleep(0.1)  # the handlers are in place well before; no event tells of an import
        else:
            assert process.stdout.readline() == b"loading\n"
            if moment == "working":
                assert b"task 1" in process.stdout.readline()
        sent = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=SECONDS)
        took = time.monotonic() - sent
    assert process.returncode == 128 + number, err
    assert b"Traceback" not in err
    assert took < 8  # 1.5 s of grace and a busy machine
    if moment == "working":
        finished = {path.name for path in (place / "out").glob("*.wav")}
        report = [json.loads(line) for line in (place / "out" / "report.jsonl").read_text().splitlines()]
        assert {entry["file"] for entry in report} <= finished
        assert len(finished) - len(report) <= 1


@pytest.mark.parametrize(
    "module",
    [
        # Python 3.11 turns what is raised in `__set_name__` into a RuntimeError, and prints what a finalizer raises
        "class Name:\n    def __set_name__(self, *_): signal.raise_signal(number)\nclass Held: name = Name()",
        "class Left:\n    def __del__(self): signal.raise_signal(number)\nLeft()",
    ],
    ids=["wrapped", "printed"],
)
def test_a_signal_ends_an_import_whatever_that_does_with_exceptions(place, module):
    number = int(signal.SIGTERM)
    (place / "slow.py").write_text(f"import signal\nnumber = {number}\n{module}\nimport time; time.sleep(60)")
    script = "import tts_service.cli as cli; cli._run = lambda: __import__('slow'); cli.main()"
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=place,
        env=environment(place, PYTHONPATH=f"{ROOT}:{place}"),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (128 + number, b"")


def test_what_a_library_makes_of_a_signal_is_not_told(place):
    script = """
import signal, tts_service.cli as cli
def run():
    try:
        signal.raise_signal(signal.SIGINT)
    except BaseException as error:
        raise RuntimeError("something failed") from error
cli._run = run
cli.main()
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment(place), capture_output=True, timeout=SECONDS, check=False
    )
    assert (ended.returncode, ended.stderr) == (130, b"")


def test_a_closed_pipe_ends_a_batch_and_the_report_is_whole(place):
    (place / "many.jsonl").write_text("".join(json.dumps({"input_text": f"第{i}句。"}) + "\n" for i in range(50)))
    script = "glm-tts batch many.jsonl -o out | head -2; exit ${PIPESTATUS[0]}"
    ended = shell(place, script)
    assert ended.returncode == 141, ended.stderr
    assert b"Traceback" not in ended.stderr
    report = [json.loads(line) for line in (place / "out" / "report.jsonl").read_text().splitlines()]
    assert 2 <= len(report) < 50
    assert all((place / "out" / entry["file"]).is_file() for entry in report)
