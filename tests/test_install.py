"""What `python -m build` makes, installed beside modules that are called like the packages of the checkout."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import soundfile

from hatch_build import moved
from tests.agent_process import AgentProcess, free_port, get, post

ROOT = Path(__file__).parent.parent
MEMBERS = ("agent", "g2p", "tts_service")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr


def wheel_of(source, folder):
    run(
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation"),
        *("-w", folder, source),
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (packed,) = folder.glob("*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    return folder / packed.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """The wheel of the source distribution."""
    return wheel_of(sdist, tmp_path_factory.mktemp("wheel"))


class Bot:
    """Somebody's bot: an environment with the wheel, and a folder with files of his own."""

    def __init__(self, folder, wheel):
        self.folder = folder / "bot"
        self.folder.mkdir()
        for name in MEMBERS:
            (self.folder / f"{name}.py").write_text('OWNER = "the bot"\n')
        environment = folder / "environment"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
        self.python = environment / "bin" / "python"
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", self.python, "install", "-q", "--no-deps", "--no-index", wheel],
            check=True,
        )
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        self.packages = environment / "lib" / version / "site-packages"
        # all the dependencies, but not the checkout, which a .pth file there puts on the path
        (self.packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        # PyPI has a g2p; whoever imports that name means that one
        (self.packages / "g2p").mkdir()
        (self.packages / "g2p" / "__init__.py").write_text('OWNER = "the index"\n')

        clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "GLM_TTS_CONFIGS")}
        self.environment = {**clean, "LC_ALL": "C.UTF-8"}

    def run(self, *command, status=0, **environment):
        done = subprocess.run(
            [self.python, *command],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def bot(tmp_path_factory, wheel):
    return Bot(tmp_path_factory.mktemp("install"), wheel)


def test_the_wheel_holds_one_package(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"pipecat_glm_tts"}
    for part in (
        "configs/presets.yaml",
        "configs/profiles/default.yaml",
        "agent/web/index.html",
        "g2p/data/",
        "py.typed",
    ):
        assert any(name.startswith(f"pipecat_glm_tts/{part}") for name in names), part
    assert not [name for name in names if "training" in name or "__pycache__" in name or "/tests/" in name]


def test_the_checkout_and_its_source_distribution_give_the_same_wheel(wheel, tmp_path):
    def files(path):
        return {file.filename: file.CRC for file in zipfile.ZipFile(path).infolist()}

    assert files(wheel_of(ROOT, tmp_path)) == files(wheel)


def test_the_source_distribution_holds_what_git_would(sdist):
    assert {"README.md", "pyproject.toml", "hatch_build.py", "Makefile", "tests", "docs"} < set(os.listdir(sdist))
    ignored = (".venv", "@outputs", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache")
    assert not [path for name in ignored for path in sdist.rglob(name)]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[f"snippet{n}" for n in range(len(SNIPPETS))])
def test_every_snippet_of_the_readme_runs(bot, snippet):
    bot.run("-c", snippet)


def test_a_bot_with_modules_of_the_same_names_speaks(bot):
    (bot.folder / "bot.py").write_text("""
import agent, g2p, tts_service
from pipecat_glm_tts import GLMTTSService, load, readings

assert agent.OWNER == g2p.OWNER == tts_service.OWNER == "the bot"
assert GLMTTSService.__module__ == "pipecat_glm_tts.tts_service.service"
print(readings("重庆的银行"))
with load("kokoro") as voice:
    print(sum(len(chunk.samples) for chunk in voice.stream("你好，世界。")) / voice.sample_rate, "seconds")
""")
    said = bot.run("bot.py")
    assert "['chong2', 'qing4', 'de5', 'yin2', 'hang2']" in said
    assert 0.8 < float(re.search(r"([\d.]+) seconds", said)[1]) < 3


def test_the_command_speaks(bot):
    script = bot.python.with_name("glm-tts")
    bot.run(script, "say", "你好，世界。", "-o", "hello.wav")
    samples, rate = soundfile.read(bot.folder / "hello.wav")
    assert 0.8 < len(samples) / rate < 3
    assert abs(samples).max() > 0.05
    assert "chong2" in bot.run("-m", "pipecat_glm_tts", "g2p", "重庆")
    assert "dubbing" in bot.run(script, "presets")


def test_the_agent_serves_its_page_the_studio_and_speech(bot):
    script, port = bot.python.with_name("glm-tts-agent"), free_port()
    assert "known: default, phone" in bot.run(script, "--profile", "none", status=1)
    with (bot.folder / "agent.log").open("w") as log:
        process = subprocess.Popen(
            [bot.python, script, "--port", str(port)], cwd=bot.folder, env=bot.environment, stdout=log, stderr=log
        )
    try:
        agent = AgentProcess(process, port, bot.folder / "agent.log")
        agent.wait_until("ready")
        assert 'id="call"' in get(agent.url).text
        assert "gradio" in get(f"{agent.url}/studio/", timeout=120).text
        speech = {"model": "kokoro", "input": "你好。", "response_format": "pcm"}
        assert len(post(f"{agent.url}/v1/audio/speech", json=speech).content) > 12_000
        agent.interrupt(30)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("extra", "package", "command"),
    [
        ("agent", "prometheus_client", ("-m", "agent")),
        ("phone", "aiosipua", ("-m", "agent", "-t", "sip", "--port", "0")),
        ("studio", "gradio", ("-m", "glm-tts", "studio")),
        ("files", "av", ("-m", "glm-tts", "say", "好", "-o", "x.mp3")),
        ("glm", "torch", ("-m", "glm-tts", "say", "好", "--engine", "glm", "-o", "x.wav")),
        ("ray", "ray", ("-m", "glm-tts", "say", "好", "--engine", "remote", "-o", "x.wav")),
        ("livekit", "livekit", ("-c", "from pipecat_glm_tts import LiveKitTTS")),
        ("api", "fastapi", ("-c", "import pipecat_glm_tts.tts_service.speech_api")),
    ],
)
def test_a_missing_extra_says_its_name_and_the_command(bot, extra, package, command):
    absent = bot.folder / f"without-{package}"
    absent.mkdir(exist_ok=True)
    # runs before anything else in that process: the package is not there
    (absent / "sitecustomize.py").write_text(f"import sys\nsys.modules[{package!r}] = None\n")
    if command[0] == "-m":
        command = (bot.python.with_name({"agent": "glm-tts-agent"}.get(command[1], command[1])), *command[2:])
    said = " ".join(bot.run(*command, status=1, PYTHONPATH=str(absent)).split())
    assert f"pip install 'pipecat-glm-tts[{extra}]'" in said
    assert package in said


def test_extras_are_there_under_the_names_that_messages_give():
    known = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    named = set()
    for member in ("pipecat_glm_tts", *MEMBERS):
        for path in (ROOT / member).rglob("*.py"):
            named |= set(re.findall(r"""(?:needs|missing)\(["'](\w+)["']""", path.read_text(encoding="utf-8")))
    assert {"agent", "phone", "studio", "glm", "ray", "files", "whisper", "api", "wyoming", "livekit"} == named
    assert named | {"sip", "test"} == known


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import g2p\n", "import pipecat_glm_tts.g2p as g2p\n"),
        ("import g2p.lexicon as lexicon  # ours\n", "import pipecat_glm_tts.g2p.lexicon as lexicon  # ours\n"),
        ("from agent import transports\n", "from pipecat_glm_tts.agent import transports\n"),
        (
            "from g2p.lexicon import (\n    a,\n    b,\n)\n",
            "from pipecat_glm_tts.g2p.lexicon import (\n    a,\n    b,\n)\n",
        ),
        (
            "def f():\n    '好'; from tts_service import a\n",
            "def f():\n    '好'; from pipecat_glm_tts.tts_service import a\n",
        ),
        (
            "from agents import a\nimport g2p_en\nfrom . import g2p\n",
            "from agents import a\nimport g2p_en\nfrom . import g2p\n",
        ),
        (
            '"""See `g2p.lexicon`."""\nx = "the agent. g2p, too"\n',
            '"""See `g2p.lexicon`."""\nx = "the agent. g2p, too"\n',
        ),
    ],
)
def test_imports_are_moved(source, expected):
    assert moved(source, "module.py") == expected
    assert len(moved(source, "module.py").splitlines()) == len(source.splitlines())


@pytest.mark.parametrize(
    "source", ["import g2p.lexicon\n", 'run("python -m agent.start")\n', 'x = f"tts_service.{name}"\n']
)
def test_what_cannot_be_moved_stops_the_build(source):
    with pytest.raises(ValueError, match=r"module\.py:1: "):
        moved(source, "module.py")
