"""A telephone line with a bot on it, in the test's own process."""

import contextlib

import pytest
from pipecat.frames.frames import EndFrame

from agent.settings import SipSettings
from agent.transports.sip import SipTransport
from agent.transports.sip_endpoint import SipEndpoint
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

    async def _converse(self, call):
        self.calls.append(call)
        transport = SipTransport(call, self.answer_within)

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


async def until(condition, timeout=10.0):
    """Await a condition that another task brings about."""
    import asyncio

    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)
