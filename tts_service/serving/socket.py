"""Text in while it is written, speech out while it is made: `/v1/audio/speech/stream`, a websocket.

The client sends JSON objects:

    {"type": "start", "id": "a1", "voice": "lian", "response_format": "pcm", "speed": 1.0, "audio": "binary"}
    {"type": "text", "text": "你好，"}       any split, down to single characters
    {"type": "flush"}                      the text makes a pause: say what is there
    {"type": "end"}                        no more text
    {"type": "cancel"}                     stop at once

and is sent `started`, then sound (binary messages, or `audio` objects with base64 where `start` asked for that) and
`timestamps` of the characters in it, then `done` or `cancelled`. `error` says what was wrong with a message or with the
speech; the connection goes on. One utterance follows the other, as many as one likes.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from tts_service.engine import SPEEDS, SpeechError
from tts_service.serving.answered import encoded
from tts_service.serving.asked import MAX_CHARACTERS, MAX_LEAD, chosen
from tts_service.speech.captions import Captions
from tts_service.speech.synthesizer import Synthesizer
from tts_service.voices.library import Library
from tts_service.workshop.audio_file import Format
from tts_service.workshop.label import Label


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Start(_Message):
    """Begins an utterance."""

    type: Literal["start"]
    id: str = Field("", max_length=100)
    """Comes back in everything that belongs to it."""
    voice: str = ""
    response_format: Format = "pcm"
    """`pcm`: 16-bit little-endian mono."""
    speed: float = Field(1.0, ge=SPEEDS[0], le=SPEEDS[1])
    language: Literal["zh", "en"] | None = None
    audio: Literal["binary", "base64"] = "binary"


class Text(_Message):
    """A piece of the text."""

    type: Literal["text"]
    text: str


class Sign(_Message):
    """Something that needs no words."""

    type: Literal["flush", "end", "cancel"]


_MESSAGES: TypeAdapter[Start | Text | Sign] = TypeAdapter(Annotated[Start | Text | Sign, Field(discriminator="type")])


async def converse(
    socket: WebSocket,
    synthesizer: Callable[[], Synthesizer | None],
    library: Library,
    renamed: Mapping[str, str],
) -> None:
    """Serve one connection until the client leaves; whatever is being spoken then stops within a step.

    Args:
        socket: Not accepted yet.
        synthesizer: None means: still loading.
        library: Recorded voices.
        renamed: Names of voices that clients send -> ours.
    """
    await socket.accept()
    voice = synthesizer()
    if voice is None:
        await socket.send_json({"type": "error", "message": "the voice is still loading; try again in a few seconds"})
        await socket.close(1013)
        return
    connection = _Connection(socket, voice, library, renamed)
    try:
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            await connection.take(message.get("text") or message.get("bytes") or "")
    except WebSocketDisconnect:  # it left while it was being answered
        pass
    finally:
        await connection.stop()


class _Connection:
    """One client, and the utterance that it has begun."""

    def __init__(
        self, socket: WebSocket, synthesizer: Synthesizer, library: Library, renamed: Mapping[str, str]
    ) -> None:
        self._socket = socket
        self._synthesizer = synthesizer
        self._library = library
        self._renamed = renamed
        self._utterance: _Utterance | None = None
        self._speaking: asyncio.Task[None] | None = None

    async def take(self, message: str | bytes) -> None:
        """Do what a message asks."""
        try:
            asked = _MESSAGES.validate_json(message)
            if isinstance(asked, Start):
                await self._start(asked)
            elif self._utterance is None or self._speaking is None or self._speaking.done():
                if asked.type != "cancel":  # which may cross with the end of the speech
                    raise SpeechError(f"{asked.type!r} belongs to no utterance; send 'start' first")
            elif asked.type == "cancel":
                await self.stop()
                await self._send("cancelled", id=self._utterance.id)
            elif isinstance(asked, Text):
                self._utterance.write(asked.text)
            else:
                self._utterance.sign(asked.type)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "the message"
            await self._send("error", message=f"{field}: {first['msg']}")
        except SpeechError as error:
            await self._send("error", message=str(error))

    async def stop(self) -> None:
        """End the speech, if there is any."""
        if self._speaking is not None and not self._speaking.done():
            self._speaking.cancel()
            await asyncio.wait({self._speaking})

    async def _start(self, asked: Start) -> None:
        if self._speaking is not None and not self._speaking.done():
            raise SpeechError("an utterance is being spoken; wait for 'done', or send 'cancel' first")
        self._utterance = utterance = _Utterance(asked.id)
        who = await asyncio.to_thread(chosen, self._synthesizer, self._library, asked.voice.strip(), self._renamed)
        rate = self._synthesizer.sample_rate
        await self._send(
            "started", id=asked.id, voice=who.name, sample_rate=rate, response_format=asked.response_format
        )
        chunks = self._synthesizer.astream(
            utterance.deltas(), who, speed=asked.speed, language=asked.language, max_lead=MAX_LEAD
        )
        label = Label(self._synthesizer.engine.name, who.name)
        pieces = encoded(chunks, utterance.captions, asked.response_format, rate, label)

        async def speak() -> None:
            try:
                async with aclosing(pieces):
                    async for piece in pieces:
                        if piece.captions:
                            times = [asdict(caption) for caption in piece.captions]
                            await self._send("timestamps", id=asked.id, timestamps=times)
                        if piece.data and asked.audio == "binary":
                            await self._socket.send_bytes(piece.data)
                        elif piece.data:
                            await self._send("audio", id=asked.id, audio=base64.b64encode(piece.data).decode())
                await self._send("done", id=asked.id, seconds=utterance.captions.seconds)
            except Exception as error:  # the engine's, which has been logged; or the client is gone
                told = str(error) if isinstance(error, SpeechError) else "the engine failed; the server's log says how"
                with suppress(WebSocketDisconnect, RuntimeError):
                    await self._send("error", id=asked.id, message=told)

        self._speaking = asyncio.create_task(speak())

    async def _send(self, kind: str, **fields: Any) -> None:
        await self._socket.send_text(json.dumps({"type": kind, **fields}, ensure_ascii=False))


class _Utterance:
    """The text of one utterance on its way from the client to the synthesizer."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.captions = Captions()
        self._ended = False
        self._deltas: asyncio.Queue[str | None] = asyncio.Queue()

    def write(self, text: str) -> None:
        """Add to the text.

        Raises:
            SpeechError: It has ended, or would become too long.
        """
        if self._ended:
            raise SpeechError("the text has ended; send 'start' for another one")
        if len(self.captions.text) + len(text) > MAX_CHARACTERS:
            raise SpeechError(f"an utterance may have {MAX_CHARACTERS} characters; send 'end' and 'start' another one")
        self.captions.text += text
        self._deltas.put_nowait(text)

    def sign(self, kind: Literal["flush", "end"]) -> None:
        """A pause, or the end."""
        if kind == "end":
            self._ended = True
        self._deltas.put_nowait(None)

    async def deltas(self) -> AsyncIterator[str | None]:
        """The pieces as they come; None for a pause."""
        while not self._ended or not self._deltas.empty():
            yield await self._deltas.get()
