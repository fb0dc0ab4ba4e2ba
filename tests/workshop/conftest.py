import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

import tts_service
from tests.tts_service.tone_engine import ToneEngine
from tts_service import Synthesizer
from tts_service.cli import batch, main, say

ROOT = Path(__file__).resolve().parents[2]


class PacedEngine(ToneEngine):
    """Makes a chunk (one token, 0.2 s) only when it is permitted to; `free` lets it run."""

    def __init__(self):
        super().__init__()
        self.permits = threading.Semaphore(0)
        self.free = False

    def synthesize(self, pronunciation, voice, options, should_stop, history=None):
        with should_stop.listening(self.permits.release):
            for chunk in super().synthesize(pronunciation, voice, options, should_stop, history):
                if not self.free:
                    self.permits.acquire()
                if should_stop():
                    self.stopped.set()
                    return
                yield chunk


@pytest.fixture
def tone():
    """A synthesizer with an engine of tones that runs freely."""
    with Synthesizer(ToneEngine()) as synthesizer:
        yield synthesizer


@pytest.fixture
def paced():
    """A synthesizer whose engine waits for permits."""
    with Synthesizer(PacedEngine()) as synthesizer:
        yield synthesizer
        synthesizer.engine.free = True
        synthesizer.engine.permits.release(100)


@contextmanager
def serving(app):
    """Serve an ASGI app on a free port of this machine; yields its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=2))
    started = threading.Event()

    async def startup(sockets=None):
        await uvicorn.Server.startup(server, sockets)
        started.set()

    server.startup = startup
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(60)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(30)


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
    for module in (say, batch):
        monkeypatch.setattr(module, "load_engine", lambda *_: Lent())

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["glm-tts", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            main()
        output = capfdbinary.readouterr()
        return exit.value.code or 0, output.out, output.err.decode()

    return run


def process(*arguments, **options):
    """The command in a process of its own, in English."""
    command = [sys.executable, "-c", "from tts_service.cli import main; main()", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", **options.pop("env", {})}
    # A test run in the background has SIGINT ignored, and its children would inherit that.
    heed = (lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) if os.name == "posix" else None
    return subprocess.Popen(command, env=environment, preexec_fn=heed, **options)
