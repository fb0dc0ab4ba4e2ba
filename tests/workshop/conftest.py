import threading
from contextlib import contextmanager

import pytest
import uvicorn

from tests.tts_service.tone_engine import ToneEngine
from tts_service import Synthesizer


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
