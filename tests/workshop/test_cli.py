import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import tts_service
from g2p import english_expressions, expressions
from tts_service.audio_file import read_label
from tts_service.cli import main
from tts_service.cli.commands import app
from tts_service.kokoro.matching.voices import matched_file
from tts_service.label import content_id
from tts_service.voices import Library

ROOT = Path(__file__).resolve().parents[2]
LONG = "今天天气很好，我们一起去公园散步。走累了就坐在湖边的长椅上，看鸭子游来游去。" * 2


@pytest.fixture(scope="module")
def engine():
    with tts_service.load("kokoro") as synthesizer:
        yield synthesizer


@pytest.fixture
def run(engine, monkeypatch, tmp_path, capfdbinary):
    """`run(*arguments)` -> exit code, stdout, stderr of the command, in an empty folder, in English."""

    class Lent:
        """The engine of all tests, which must outlive each."""

        def __enter__(self):
            return engine

        def __exit__(self, *_):
            engine.on_report.clear()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("GLM_TTS_VOICES", str(tmp_path / "library"))
    for module in ("say", "batch"):
        monkeypatch.setattr(sys.modules[f"tts_service.cli.{module}"], "load_engine", lambda *_: Lent())

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["glm-tts", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            main()
        output = capfdbinary.readouterr()
        return exit.value.code or 0, output.out, output.err.decode()

    return run


def process(*arguments, **options):
    command = [sys.executable, "-c", "from tts_service.cli import main; main()", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", **options.pop("env", {})}
    # A test run in the background has SIGINT ignored, and its children would inherit that.
    heed = (lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) if os.name == "posix" else None
    return subprocess.Popen(command, env=environment, preexec_fn=heed, **options)


# say


def test_say_to_the_default_place(run, tmp_path):
    code, out, _ = run("say", "你好，世界。")
    assert code == 0
    [path] = (tmp_path / "@outputs").iterdir()
    assert re.fullmatch(r"tts_\d{8}_\d{6}\.wav", path.name)
    assert path.name in out.decode()
    samples, rate = soundfile.read(path)
    assert rate == 24000
    assert 0.5 < len(samples) / rate < 6
    assert np.sqrt((samples**2).mean()) > 0.01
    assert content_id(read_label(path))


def test_say_for_machines(run, tmp_path):
    code, out, _ = run("say", "你好。", "-o", "x.flac", "--sample-rate", 16000, "--voice", "song", "--json")
    summary = json.loads(out)
    assert code == 0
    assert (summary["output"], summary["voice"], summary["sample_rate"]) == ("x.flac", "song", 16000)
    assert soundfile.info(tmp_path / "x.flac").samplerate == 16000
    assert summary["seconds"] == pytest.approx(soundfile.info(tmp_path / "x.flac").duration, abs=0.05)
    assert summary["first_audio"] > 0
    assert summary["rtf"] > 0


def test_say_reads_files_and_presets(run, tmp_path):
    (tmp_path / "text.txt").write_bytes("\ufeff你好。\r\n".encode())
    code, _, err = run("say", "--file", "text.txt", "-o", "x.wav", "--preset", "dubbing", "--speed", "2")
    assert code == 0
    assert soundfile.info(tmp_path / "x.wav").samplerate == 32000
    assert "no use" not in err
    _, _, err = run("say", "你好。", "-o", "y.wav", "--sampling", "topk")
    assert "the kokoro engine has no use for: sampling" in err


def test_say_writes_subtitles_beside_the_file(run, tmp_path):
    assert run("say", "你好，世界。今天天气很好。", "-o", "a.wav", "--subtitles", "srt")[0] == 0
    cues = [cue.split("\n") for cue in (tmp_path / "a.srt").read_text(encoding="utf-8").strip().split("\n\n")]
    assert [cue[2] for cue in cues] == ["你好，", "世界。", "今天天气很好。"]
    seconds = soundfile.info(tmp_path / "a.wav").duration
    ends = [cue[1].split(" --> ")[1].replace(",", ".").split(":")[2] for cue in cues]
    assert float(ends[-1]) == pytest.approx(seconds, abs=0.002)
    code, _, said = run("say", "你好", "-o", "-", "--subtitles", "srt")
    assert (code, "give --output a file" in said) == (2, True)


def test_detect_tells_what_samples_and_metadata_say(run, tmp_path):
    run("say", LONG[: len(LONG) // 2], "-o", "said.mp3")
    soundfile.write("hum.wav", 0.1 * np.random.default_rng(1).standard_normal(5 * 24000), 24000)
    Path("no.wav").write_text("no sound")
    code, out, err = run("detect", "said.mp3", "hum.wav", "no.wav")
    said, hum = out.decode().splitlines()
    assert code == 1
    assert said.startswith("said.mp3: marked; score")
    assert "ContentProducer pipecat-glm-tts" in said
    assert hum.startswith("hum.wav: not marked;")
    assert hum.endswith("; no metadata")
    assert "no.wav cannot be read as audio" in err
    code, out, _ = run("detect", "said.mp3", "--json")
    assert (code, json.loads(out)["mark"]) == (0, "marked")


def test_a_label_that_people_hear(run, tmp_path):
    code, *_ = run("say", "你好。", "-o", "plain.wav")
    code, *_ = run("say", "你好。", "-o", "both.wav", "--label", "rhythm", "--label-at", "both")
    plain, both = (soundfile.info(tmp_path / name).duration for name in ("plain.wav", "both.wav"))
    assert code == 0
    assert both - plain == pytest.approx(2 * 1.18, abs=0.01)
    code, _, err = run("say", "你好。", "--label", "loud")
    assert (code, "use one of off, rhythm, spoken" in " ".join(err.split())) == (2, True)


def test_say_uses_a_dictionary(run, tmp_path):
    (tmp_path / "dict.jsonl").write_text('{"word": "X", "phoneme": "非常非常非常非常长的读法"}\n', encoding="utf-8")
    lengths = []
    for options in ([], ["--dict", "dict.jsonl"]):
        _, out, _ = run("say", "这是 X 。", "-o", "x.wav", "--json", *options)
        lengths.append(json.loads(out)["seconds"])
    assert lengths[1] > lengths[0] + 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["say", ""], 1, "nothing to say"),
        (["say", "a", "--voice", "nobody"], 2, "available: lian"),
        (["say", "a", "--file", "b"], 2, "not both"),
        (["say", "--file", "missing.txt"], 2, "missing.txt cannot be read"),
        (["say", "--file", "latin.txt"], 2, "not UTF-8 near byte 3"),
        (["say", "a", "--speed", "9"], 2, "between 0.25 and 4.0"),
        (["say", "a", "--preset", "loud"], 2, "check, dubbing, dialogue, batch"),
        (["say", "a", "-o", "x.ogg"], 2, "wav, pcm, flac, mp3, opus"),
        (["say", "a", "-o", "text/x.wav"], 2, "cannot be written"),
        (["say", "a", "--sample-rate", "11"], 2, "11 Hz"),
        (["say", "a", "--dict", "missing.jsonl"], 2, "missing.jsonl"),
        (["say", "a", "--voice", "lain"], 2, "did you mean lian?"),
        (["say", "a", "--engine", "kokor"], 2, "did you mean kokoro?"),
        (["say", "a", "-o", "x.mp3", "--bitrate", "9999"], 2, "8 to 320"),
        (["batch", "empty.jsonl", "--root", "nowhere"], 2, "no folder nowhere"),
        (["batch", "empty.jsonl", "--sample-rate", "12345"], 2, "12345"),
        (["batch", "empty.jsonl", "-v", "nobody"], 2, "available: lian"),
        (["say", "a", "--no-label"], 2, "--no-label"),
        (["voices", "show", "nobody"], 1, "nobody"),
        (["dict", "check", "missing.jsonl"], 2, "missing.jsonl"),
        (["batch", "missing.jsonl"], 2, "missing.jsonl"),
        (["batch", "empty.jsonl"], 2, "no tasks"),
        (["batch", "empty.jsonl", "--format", "pcm"], 2, "wav, flac, mp3, opus"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_mistakes_are_told_without_a_traceback(run, tmp_path, arguments, code, said):
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "text").write_text("in the way")
    (tmp_path / "empty.jsonl").write_text("\n")
    before = sorted(tmp_path.rglob("*"))
    status, _, err = run(*arguments)
    assert status == code
    assert said in " ".join(re.sub("[│╭╰─╮╯]", " ", err).split())
    assert "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before


def test_messages_follow_the_locale(run, monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    _, _, err = run("say", "a", "-o", "x.ogg")
    assert "不支持格式" in err
    with process("--help", stdout=subprocess.PIPE, env={"LC_ALL": "zh_CN.UTF-8"}) as helping:
        assert "把文字说出来" in helping.stdout.read().decode()


def test_stdout_carries_speech_long_before_it_is_all_made():
    """The first sound is there while most of the work is still to be done; the whole is one valid WAV."""
    begun = time.monotonic()
    with process(
        "say", "-", "-o", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as speaking:
        speaking.stdin.write((2 * LONG).encode())
        speaking.stdin.close()
        data = speaking.stdout.read(1000)
        first = time.monotonic() - begun
        data += speaking.stdout.read()
        whole = time.monotonic() - begun
        assert speaking.wait() == 0, speaking.stderr.read()
    assert data[:4] == b"RIFF"
    seconds = len(data) / 48000
    assert seconds > 10
    print(f"first sound after {first:.2f} s of {whole:.2f} s, {seconds:.1f} s of speech")
    assert first < 0.7 * whole


def test_a_text_from_a_pipe_is_spoken_before_it_ends():
    """As when a language model writes it: the pipe stays open while sound comes out."""
    with process("say", "-o", "-", "--format", "pcm", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as speaking:
        speaking.stdin.write("今天天气很好。我们去公园。".encode())
        speaking.stdin.flush()
        first = speaking.stdout.read(4800)
        assert speaking.poll() is None
        speaking.stdin.close()
        rest = speaking.stdout.read()
        assert speaking.wait() == 0
    samples = np.frombuffer(first + rest, "<i2")
    assert len(samples) > 24000
    assert np.abs(samples).max() > 1000


def test_without_streaming_the_length_is_stated(run):
    code, out, _ = run("say", "你好。", "-o", "-", "--no-stream")
    assert code == 0
    with wave.open(io.BytesIO(out)) as file:
        assert file.getframerate() == 24000


def test_a_reader_that_leaves_is_no_crash():
    with process("say", LONG, "-o", "-", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as speaking:
        speaking.stdout.read(2000)
        speaking.stdout.close()
        assert speaking.wait(60) == 141
        assert b"Traceback" not in speaking.stderr.read()


@pytest.mark.skipif(os.name != "posix", reason="needs SIGINT")
def test_ctrl_c_ends_at_once_and_leaves_no_half_file(tmp_path):
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text("".join(json.dumps({"input_text": f"第{i}句。"}) + "\n" for i in range(100)))
    with process("batch", "tasks.jsonl", "-o", "out", cwd=tmp_path, stdout=subprocess.PIPE) as working:
        assert b"output_001.wav" in working.stdout.readline()
        working.send_signal(signal.SIGINT)
        working.stdout.read()
        assert working.wait(30) == 130
    kinds = {path.suffix for path in (tmp_path / "out").iterdir()}
    assert kinds == {".wav", ".jsonl"}
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.skipif(os.name != "posix", reason="the player is a shell script")
@pytest.mark.parametrize(("script", "code"), [("cat > played.pcm", 0), ("exit 3", 1)])
def test_play(run, tmp_path, monkeypatch, script, code):
    """A program named like the player of ALSA takes the samples; its failure is ours."""
    player = tmp_path / "bin" / "aplay"
    player.parent.mkdir()
    player.write_text(f"#!/bin/sh\n{script}\n")
    player.chmod(0o755)
    monkeypatch.setenv("PATH", f"{player.parent}:/usr/bin:/bin")
    status, _, err = run("say", "你好。", "--play")
    assert status == code
    if code == 0:
        assert len((tmp_path / "played.pcm").read_bytes()) > 24000
    else:
        assert "aplay could not play" in err


def test_play_without_a_player(run, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    status, _, err = run("say", "你好。", "--play")
    assert status == 1
    assert "no player found" in err


# The other commands


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], ("asyncio", "av", "g2p", "gradio", "loguru", "numpy", "onnxruntime", "pipecat", "rich.progress")),
        (["presets"], ("asyncio", "g2p", "numpy", "onnxruntime", "pipecat", "rich.markdown")),
        (["say", "好", "--voice", "lain"], ("asyncio", "g2p", "loguru", "onnx", "onnxruntime", "rich.markdown")),
        (["g2p", "今天"], ("asyncio", "onnx", "pipecat", "rich.markdown", "tts_service.synthesizer")),
    ],
)
def test_a_command_is_quick_because_it_loads_nothing_that_it_does_not_need(arguments, heavy):
    script = f"""
import sys, tts_service.cli
sys.argv = ["glm-tts", *{arguments}]
try:
    tts_service.cli.main()
finally:
    print([name for name in {heavy} if name in sys.modules])
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-1] == "[]"


def test_wrong_usage_is_told_in_one_language(run, monkeypatch):
    for language, sentence, hint in (
        ("zh", "没有选项 --vioce（是不是 --voice？）", "请看：glm-tts say --help"),
        ("en", "there is no option --vioce (did you mean --voice?)", "see: glm-tts say --help"),
    ):
        monkeypatch.setenv("GLM_TTS_LANG", language)
        assert run("say", "好", "--vioce", "lian")[::2] == (2, f"{sentence}\n{hint}\n")
    assert "there is no command bach (did you mean batch?)" in run("bach")[2]
    assert "tasks is missing" in run("batch")[2]


def test_the_first_number_of_a_talk_finds_the_rules_ready(engine):
    rules = [*expressions.RULES, *english_expressions.RULES]
    for rule in rules:
        vars(rule).pop("pattern", None)
    engine.warm_up()
    assert sum("pattern" in vars(rule) for rule in rules) > 0.9 * len(rules)


def test_g2p_shows_readings_and_reasons(run):
    code, out, _ = run("g2p", "重庆", "--json")
    tokens = json.loads(out)["tokens"]
    assert code == 0
    assert [(token["text"], token["reading"], token["start"]) for token in tokens] == [
        ("重", "chong2", 0),
        ("庆", "qing4", 1),
    ]
    assert all(token["source"] for token in tokens)
    _, out, _ = run("g2p", "重[zhòng]庆 [red]3%[/red]")
    assert "zhong4" in out.decode()
    assert "red" in out.decode()


def test_the_language_of_numbers_can_be_chosen(run):
    def said(*options):
        return "".join(token["text"] for token in json.loads(run("g2p", "2026", "--json", *options)[1])["tokens"])

    assert said("--language", "en") == "twentytwentysix"
    assert said("--language", "zh") == "两千零二十六"
    code, _, err = run("say", "2026", "-o", "out.wav", "--language", "xx")
    assert code == 2
    assert "zh" in err


def test_dict_check_names_line_problem_and_fix(run, tmp_path):
    path = tmp_path / "dict.jsonl"
    path.write_text('{"word": "乐高", "phoneme": "lè gāo"}\n{"word": "知乎"}\n', encoding="utf-8")
    code, out, _ = run("dict", "check", path, "--json")
    assert code == 1
    [problem] = json.loads(out)
    assert problem["line"] == 2
    assert "phoneme" in problem["problem"] + problem["fix"]
    assert "phoneme" in run("dict", "check", path)[1].decode()
    path.write_text('{"word": "乐高", "phoneme": "lè gāo"}\n', encoding="utf-8")
    assert run("dict", "check", path)[0] == 0


def test_presets(run):
    _, out, _ = run("presets", "--json")
    presets = {preset["name"]: preset for preset in json.loads(out)}
    assert list(presets) == ["check", "dubbing", "dialogue", "batch"]
    assert presets["dubbing"]["options"]["sample_rate"] == 32000
    assert presets["dubbing"]["options"]["sampling"] == "topk"
    assert presets["dialogue"]["stream"]


def test_doctor_says_what_is_missing(run, tmp_path):
    pytest.importorskip("torch")
    code, out, err = run("doctor", "--checkpoint", tmp_path, "--json")
    assert code == 1
    embedded, *others = json.loads(out)
    assert any(not finding["good"] and "glm-tts download" in finding["detail"] for finding in others)
    assert embedded["subject"] == "embedded voice"
    assert re.search(r"\d\.\d\d s of computing for a second of speech", embedded["detail"])
    assert "embedded voice" in err


def test_download_without_a_network_says_what_else_can_be_done(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    code, _, err = run("download", "--to", tmp_path / "checkpoint")
    assert code == 1
    assert "HF_ENDPOINT" in err
    assert run("download", "--from", "nowhere")[0] == 2


@pytest.fixture
def recording(engine, tmp_path):
    path = tmp_path / "recording.wav"
    samples = np.concatenate([chunk.samples for chunk in engine.stream("今天天气很好，我们去公园散步，然后回家吃饭。")])
    soundfile.write(path, samples, 24000)
    return path


def test_the_life_of_a_voice(run, recording):
    add = ["voices", "add", recording, "--engine", "glm", "--name", "mine", "--consent", "我本人"]
    code, out, err = run(*add)
    assert code == 0, err
    assert "公园" in err  # recognised
    code, out, _ = run("voices", "show", "mine", "--json")
    shown = json.loads(out)
    assert "公园" in shown["transcript"]
    assert (shown["consent"], shown["unusable"], shown["doubts"]) == ("我本人", [], [])
    assert 3 < shown["seconds"] < 10
    assert shown["snr"] > 20
    listed = run("voices", "list")[1].decode()
    assert "mine" in listed
    assert "lian" in listed
    assert run("voices", "check")[0] == 0
    code, _, err = run("say", "你好", "--voice", "mine")
    assert code == 1
    assert "the embedded engine cannot clone" in err
    assert run("voices", "remove", "mine", "--yes")[0] == 0
    assert all(voice["packaged"] for voice in json.loads(run("voices", "list", "--json")[1]))


def test_all_voices_of_the_model_are_listed_for_those_who_ask(run):
    cast = {voice["name"]: voice for voice in json.loads(run("voices", "list", "--json")[1])}
    everybody = {voice["name"]: voice for voice in json.loads(run("voices", "list", "--all", "--json")[1])}
    assert cast["lian"]["language"] == "zh"
    assert cast["rose"]["language"] == "en"
    assert cast.items() < everybody.items()
    assert sum(name[2:3] == "_" for name in everybody) == 54
    assert {"mei", "lan", "zhu", "ju", "song"} < everybody.keys()
    assert everybody["jf_alpha"]["language"] == ""
    assert "zf_xiaobei · female, native Mandarin" in everybody["zf_xiaobei"]["description"]


def test_a_voice_needs_consent_and_enough_speech(run, tmp_path, recording):
    assert run("voices", "add", recording, "--name", "mine")[0] == 2
    assert run("voices", "add", recording, "--name", "mine", "--consent", " ", "--transcript", "x")[0] == 2
    soundfile.write(tmp_path / "short.wav", np.zeros(24000), 24000)
    code, _, err = run("voices", "add", tmp_path / "short.wav", "--name", "mine", "--consent", "x", "--transcript", "x")
    assert code == 1
    assert "must have 3 to 30 s" in err
    assert not (tmp_path / "library").exists()


def test_a_damaged_voice_fails_its_check(run, recording, tmp_path):
    Library(tmp_path / "library").add(recording, name="mine", transcript="x", consent="x")
    (tmp_path / "library" / "mine" / "reference.wav").unlink()
    code, out, _ = run("voices", "check")
    assert code == 1
    assert "is missing" in out.decode()


def flipped():
    """An archive of NumPy's part of which has gone through a bad disk."""
    sink = io.BytesIO()
    np.savez_compressed(sink, numbers=np.arange(4000))
    content = bytearray(sink.getvalue())
    content[200:1000] = bytes(byte ^ 0xFF for byte in content[200:1000])
    return bytes(content)


@pytest.mark.parametrize("content", [b"half a match", b"", flipped()], ids=["odd", "empty", "flipped"])
def test_a_damaged_match_is_listed_with_what_is_wrong(run, recording, tmp_path, content):
    library = Library(tmp_path / "library")
    for name in ("good", "mine"):
        library.add(recording, name=name, transcript="x", consent="x")
    matched_file(library.folder / "mine", library.card("mine").sha256).write_bytes(content)
    code, out, err = run("voices", "list", "--json")
    assert code == 0, err
    good, mine = (voice for voice in json.loads(out) if not voice["packaged"])
    assert "error" not in good
    assert "glm-tts voices match mine" in mine["error"]
    assert run("voices", "check")[0] == 1
    code, _, err = run("voices", "show", "mine")
    assert code == 1
    assert "glm-tts voices match mine" in err


def test_batch_end_to_end(run, tmp_path):
    lines = [json.dumps({"input_text": f"第{i}句。", "output_name": f"news_{i}"}) for i in range(3)]
    lines.insert(1, '{"input_text": "x", "prompt_audio": "ref_voice_child.wav"}')
    (tmp_path / "tasks.jsonl").write_text("\n".join(lines))
    code, out, err = run("batch", "tasks.jsonl", "--jobs", 2)
    assert code == 1
    assert "[✓] task 1 -> news_0.wav" in out.decode()
    assert "[✗] task 2: prompt_audio: ref_voice_child.wav not found -> skipped" in out.decode()
    assert "line 2, prompt_audio: ref_voice_child.wav not found; put it into" in err
    assert "3 done, 0 kept, 1 failed" in err
    files = {path.name for path in (tmp_path / "@outputs" / "batch").iterdir()}
    assert {"news_0.wav", "news_1.wav", "news_2.wav", "report.jsonl"} < files
    assert len([name for name in files if re.fullmatch(r"batch_output_\d{8}\.zip", name)]) == 1
    code, out, _ = run("batch", "tasks.jsonl", "--json")
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["kept", "failed", "kept", "kept"]


def test_a_recorded_voice_speaks_through_glm(tmp_path, recording):
    """From a recording to a batch and a file in a cloned voice, with the miniature checkpoint of the tests."""
    pytest.importorskip("torch")
    library = tmp_path / "library"
    Library(library).add(recording, name="mine", transcript="今天天气很好。", consent="x")
    common = ["--engine", "glm", "--checkpoint", ROOT / "tests" / "glm" / "golden" / "ckpt", "--voices", library]
    runner = CliRunner()
    for text in ("Hello.", "你好。", "我用Mac。"):
        result = runner.invoke(app, ["say", text, "--voice", "mine", "-o", str(tmp_path / "x.wav"), *map(str, common)])
        assert result.exit_code == 0, (result.output, result.exception)
        assert soundfile.info(tmp_path / "x.wav").frames > 0
    assert "(glm)" in str((tmp_path / "x.wav").read_bytes()[:1000])
    task = {"input_text": "你好。", "prompt_audio": "recording.wav", "prompt_text": "今天天气很好。"}
    (tmp_path / "tasks.jsonl").write_text(json.dumps(task))
    arguments = ["batch", tmp_path / "tasks.jsonl", "-o", tmp_path / "out", *common]
    result = runner.invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, (result.output, result.exception)
    assert soundfile.info(tmp_path / "out" / "output_001.wav").frames > 0
