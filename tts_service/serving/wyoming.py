"""The voice and the ears for Home Assistant, by the Wyoming protocol: `glm-tts wyoming`.

Needs the package `wyoming` (extra `wyoming`). The protocol knows no password: who may connect is said by address.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from functools import partial
from importlib.metadata import version
from typing import cast

import numpy as np
from loguru import logger
from numpy.typing import NDArray
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import AsrModel, AsrProgram, Attribution, Describe, Info, TtsProgram, TtsVoice
from wyoming.ping import Ping, Pong
from wyoming.server import AsyncEventHandler, AsyncTcpServer
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)

from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError
from tts_service.serving.asked import MAX_CHARACTERS, MAX_LEAD, chosen
from tts_service.speech.synthesizer import Synthesizer
from tts_service.voices.library import Library

PORT = 10200
"""Where Home Assistant's users expect a voice."""
MAX_HEARD = 120.0
"""Seconds of one recording that are listened to."""
LOCAL = ("127.0.0.0/8", "::1/128")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Transcriber = Callable[[NDArray[np.float32], int], str]
_OURS = Attribution(name="pipecat-glm-tts", url="")


def networks(allow: Sequence[str]) -> list[Network]:
    """Networks from text, loopback always among them.

    Raises:
        SpeechError: One is no network.
    """
    try:
        return [ipaddress.ip_network(text, strict=False) for text in (*LOCAL, *allow)]
    except ValueError as error:
        raise SpeechError(tr("{error}; write a network such as 192.168.1.0/24", error=error)) from None


async def serve(
    synthesizer: Synthesizer,
    transcribe: Transcriber | None,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    allow: Sequence[str] = (),
    library: Library | None = None,
    ready: Callable[[int], None] | None = None,
) -> None:
    """Serve until cancelled.

    Args:
        synthesizer: The voice.
        transcribe: Samples [n], mono, and their rate in Hz -> what was said; None: no speech recognition is offered.
        host: Listened on.
        port: 0 picks a free one.
        allow: Networks that may connect beside this computer.
        library: Recorded voices.
        ready: Called with the port.

    Raises:
        SpeechError: The port is in use, or a network is none.
    """
    known = networks(allow)
    server = AsyncTcpServer(host, port)
    try:
        await server.start(partial(_Client, synthesizer, transcribe, library or Library(), known))
    except OSError as error:
        raise SpeechError(
            tr(
                "cannot listen on {host}:{port} ({reason}); choose another --port",
                host=host,
                port=port,
                reason=error.strerror,
            )
        ) from error
    listening = cast(asyncio.Server, server._server)
    if ready:
        ready(listening.sockets[0].getsockname()[1])
    try:
        await listening.serve_forever()
    finally:
        with suppress(ConnectionError):
            await server.stop()


class _Client(AsyncEventHandler):
    """One connection."""

    def __init__(
        self,
        synthesizer: Synthesizer,
        transcribe: Transcriber | None,
        library: Library,
        known: list[Network],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        super().__init__(reader, writer)
        self._synthesizer = synthesizer
        self._transcribe = transcribe
        self._library = library
        peer = ipaddress.ip_address(writer.get_extra_info("peername")[0].partition("%")[0])
        mapped = getattr(peer, "ipv4_mapped", None) or peer
        self._welcome = any(mapped in network for network in known)
        if not self._welcome:
            logger.warning(f"{peer} may not connect; let it with --allow {peer}")
        self._deltas: asyncio.Queue[str | None] | None = None
        self._characters = 0
        self._speaking: asyncio.Task[None] | None = None
        self._heard = bytearray()
        self._heard_as: AudioStart | None = None

    async def handle_event(self, event: Event) -> bool:
        """Answer one event; False ends the connection."""
        if not self._welcome:
            return False
        try:
            await self._handle(event)
        except (SpeechError, KeyError, ValueError, TypeError) as error:  # what it sent is incomplete or impossible
            said = str(error) if isinstance(error, SpeechError) else f"{event.type} is not as it should be: {error!r}"
            await self.write_event(Error(text=said, code=type(error).__name__).event())
        return True

    async def disconnect(self) -> None:
        """Stop speaking to somebody who is gone."""
        if self._speaking is not None:
            self._speaking.cancel()

    async def _handle(self, event: Event) -> None:
        if Describe.is_type(event.type):
            await self.write_event(self._info().event())
        elif Ping.is_type(event.type):
            await self.write_event(Pong(text=Ping.from_event(event).text).event())
        elif SynthesizeStart.is_type(event.type):
            await self._begin(SynthesizeStart.from_event(event).voice, streaming=True)
        elif SynthesizeChunk.is_type(event.type):
            self._write(SynthesizeChunk.from_event(event).text)
        elif SynthesizeStop.is_type(event.type):
            self._end()
        elif Synthesize.is_type(event.type):
            # In the middle of a stream it repeats the whole text, for servers that cannot stream.
            if self._deltas is None:
                asked = Synthesize.from_event(event)
                await self._begin(asked.voice, streaming=False)
                self._write(asked.text)
                self._end()
        elif Transcribe.is_type(event.type) or AudioStart.is_type(event.type):
            self._heard.clear()
            self._heard_as = AudioStart.from_event(event) if AudioStart.is_type(event.type) else None
        elif AudioChunk.is_type(event.type):
            self._hear(AudioChunk.from_event(event))
        elif AudioStop.is_type(event.type):
            await self.write_event(Transcript(text=await self._understood()).event())

    async def _begin(self, voice: SynthesizeVoice | None, *, streaming: bool) -> None:
        if self._speaking is not None:
            await asyncio.wait({self._speaking})  # one after the other, in the order that they came in
        name = (voice.name or self._native(voice.language)) if voice else None
        who = await asyncio.to_thread(chosen, self._synthesizer, self._library, name or "")
        self._deltas, self._characters = asyncio.Queue(), 0
        chunks = self._synthesizer.astream(_until_none(self._deltas), who, max_lead=MAX_LEAD)
        rate = self._synthesizer.sample_rate

        async def speak() -> None:
            try:
                await self.write_event(AudioStart(rate=rate, width=2, channels=1).event())
                async with aclosing(chunks):
                    async for chunk in chunks:
                        samples = (np.clip(chunk.samples, -1, 1) * 32767).round().astype("<i2")
                        await self.write_event(
                            AudioChunk(rate=rate, width=2, channels=1, audio=samples.tobytes()).event()
                        )
            except SpeechError as error:
                await self.write_event(Error(text=str(error), code=type(error).__name__).event())
            except ConnectionError:
                return
            await self.write_event(AudioStop().event())
            if streaming:
                await self.write_event(SynthesizeStopped().event())

        self._speaking = asyncio.create_task(speak())

    def _native(self, language: str | None) -> str | None:
        """The first voice whose mother tongue it is."""
        tongue = (language or "").lower().replace("_", "-").split("-")[0]
        return next((voice.name for voice in self._synthesizer.voices() if tongue and voice.native == tongue), None)

    def _write(self, text: str) -> None:
        if self._deltas is None:
            raise SpeechError("send synthesize-start before synthesize-chunk")
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            self._end()
            raise SpeechError(f"a text may have {MAX_CHARACTERS} characters")
        self._deltas.put_nowait(text)

    def _end(self) -> None:
        if self._deltas is not None:
            self._deltas.put_nowait(None)
            self._deltas = None

    def _hear(self, chunk: AudioChunk) -> None:
        if self._heard_as is None:
            self._heard_as = AudioStart(rate=chunk.rate, width=chunk.width, channels=chunk.channels)
        limit = MAX_HEARD * chunk.rate * chunk.width * chunk.channels
        if len(self._heard) < limit:
            self._heard += chunk.audio

    async def _understood(self) -> str:
        form, data = self._heard_as, bytes(self._heard)
        self._heard.clear()
        if self._transcribe is None:
            raise SpeechError("this server only speaks; start it without --no-ears")
        if form is None or not data:
            return ""
        if form.width != 2 or not 1 <= form.channels <= 8 or not 4000 <= form.rate <= 192_000:
            raise SpeechError("send 16-bit audio of 4 to 192 kHz")
        whole = len(data) // (2 * form.channels) * 2 * form.channels
        samples = np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768
        mono = samples.reshape(-1, form.channels).mean(axis=1)
        return await asyncio.to_thread(self._transcribe, mono, form.rate)

    def _info(self) -> Info:
        release = version("pipecat-glm-tts")
        voices = [
            TtsVoice(
                name=voice.name,
                attribution=_OURS,
                installed=True,
                description=voice.description,
                version=release,
                languages=list(voice.languages),
            )
            for voice in self._synthesizer.voices()
        ]
        speaks = TtsProgram(
            name="pipecat-glm-tts",
            attribution=_OURS,
            installed=True,
            description=f"pipecat-glm-tts ({self._synthesizer.engine.name})",
            version=release,
            voices=voices,
            supports_synthesize_streaming=True,
        )
        model = AsrModel(
            name="whisper-base",
            attribution=Attribution(name="OpenAI", url="https://github.com/openai/whisper"),
            installed=True,
            description="Whisper base",
            version=None,
            languages=["zh", "en"],
        )
        hears = AsrProgram(
            name="pipecat-glm-tts",
            attribution=_OURS,
            installed=True,
            description="Whisper base (int8)",
            version=release,
            models=[model],
        )
        return Info(tts=[speaks], asr=[hears] if self._transcribe else [])


async def _until_none(deltas: asyncio.Queue[str | None]) -> AsyncIterator[str]:
    while (delta := await deltas.get()) is not None:
        yield delta
