"""An agent that speaks the Realtime API in the test process, and OpenAI's own client with a notebook."""

import asyncio
import base64
from contextlib import asynccontextmanager

import uvicorn
from openai import AsyncOpenAI
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from agent.metrics import Metrics
from agent.server import create_app
from agent.settings import Settings
from agent.switchboard import Switchboard

PUBLISHED = TypeAdapter(RealtimeServerEvent)


@asynccontextmanager
async def serving(models, *overrides):
    """The whole server with these models; yields its address. The models live on."""
    switchboard = Switchboard(Settings.load(overrides=overrides), Metrics())
    switchboard.models, switchboard.state = models, "ready"
    config = uvicorn.Config(create_app(switchboard, []), port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


class Client:
    """OpenAI's client on one connection. Every event is held against the published types, and kept."""

    def __init__(self, connection):
        self.connection = connection
        self.events = []
        self._read = 0
        self._come = asyncio.Condition()
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self):
        async for event in self.connection:
            PUBLISHED.validate_python(event.model_dump(exclude_none=True))
            async with self._come:
                self.events.append(event)
                self._come.notify_all()

    async def until(self, type, seconds=30, **fields):
        """The next event of this type, with these fields; what comes before it is only kept."""

        def found():
            while self._read < len(self.events):
                event = self.events[self._read]
                self._read += 1
                if event.type == type and all(getattr(event, name) == value for name, value in fields.items()):
                    return event
            assert not self._listening.done(), self._listening.exception() or "the connection is closed"
            return None

        async with asyncio.timeout(seconds):
            while (event := found()) is None:
                async with self._come:
                    await asyncio.wait_for(self._come.wait_for(lambda: self._read < len(self.events)), seconds)
        return event

    def told(self, *types):
        return [event for event in self.events if event.type in types]

    async def say(self, pcm):
        """Speak into the buffer, faster than people do."""
        for start in range(0, len(pcm), 48000):
            await self.connection.input_audio_buffer.append(audio=base64.b64encode(pcm[start : start + 48000]).decode())


@asynccontextmanager
async def client(url, **options):
    """A client that has been greeted."""
    sdk = AsyncOpenAI(base_url=f"{url}/v1", api_key="none", **options)
    async with sdk.realtime.connect(model="gpt-realtime") as connection:
        talking = Client(connection)
        await talking.until("session.created")
        try:
            yield talking
        finally:
            talking._listening.cancel()


def message(text, role="user", **fields):
    """An item that a client may put into the conversation."""
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **fields}
