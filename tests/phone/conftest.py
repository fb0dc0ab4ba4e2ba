"""A telephone line with a bot on it, in the test's own process."""

import asyncio
import contextlib

import pytest
from pipecat.frames.frames import EndFrame

from agent.settings import SipSettings
from agent.transports.loudness import Loudness
from agent.transports.sip.endpoint import SipEndpoint
from agent.transports.sip_line import SipTransport
from tests.phone import bots


class Line:
    """An endpoint whose every call is held by `processors()`."""

    def __init__(self, processors, say, settings, answer_within):
        self.endpoint = SipEndpoint(SipSettings(listen="127.0.0.1:0", **settings), self._converse)
        self.processors = processors
        self.say = say
        self.answer_within = answer_within
        self.calls = []
        self.workers = []
        self.holds = []
        self.ducks = []

    async def _converse(self, call):
        self.calls.append(call)
        transport = SipTransport(call, self.answer_within)
        self.ducks.append(transport.ducking.to)

        @transport.event_handler("on_hold")
        async def on_hold(_, held):
            self.holds.append(held)

        say = self.say() if self.say else None
        await bots.run(transport, *self.processors(), out_rate=16000, on_worker=self.workers.append, say=say)

    @property
    def port(self):
        return self.endpoint.wire.port

    async def end_calls(self):
        for worker in self.workers:
            await worker.queue_frame(EndFrame())


@pytest.fixture
async def line():
    """`await line(processors, say=..., **sip_settings)` -> a Line."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(processors=lambda: [bots.Listener()], *, say=None, answer_within=0.0, **settings):
            made = Line(processors, say, settings, answer_within)
            await made.endpoint.start()
            stack.push_async_callback(made.endpoint.close)
            return made

        yield make


class OnePiece:
    """Stops one piece of speech between Pipecat's queue and the wire; the pieces before and after it pass."""

    def __init__(self):
        self.wanted = False
        self.taken = asyncio.Event()
        self.let_go = asyncio.Event()

    async def take(self):
        """Wait until a piece has left the queue and is held."""
        self.wanted = True
        await asyncio.wait_for(self.taken.wait(), 10)


@pytest.fixture
def one_piece(monkeypatch):
    held, level = OnePiece(), Loudness.filter

    async def pass_on(self, audio):
        if held.wanted and not held.taken.is_set():
            held.taken.set()
            await held.let_go.wait()
        return await level(self, audio)

    monkeypatch.setattr(Loudness, "filter", pass_on)
    return held


async def until(condition, timeout=10.0):
    """Await a condition that another task brings about."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)
