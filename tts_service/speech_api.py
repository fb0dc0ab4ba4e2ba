"""`/v1/audio/speech` and `/v1/voices`: speech for programs that call OpenAI's, while it is being made."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from io import RawIOBase
from typing import Any, BinaryIO, Literal, cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tts_service.audio_file import MEDIA_TYPES, Format, SpeechWriter
from tts_service.engine import AudioChunk, SpeechError, UnknownVoice, Voice
from tts_service.label import Label
from tts_service.synthesizer import Busy, Synthesizer
from tts_service.voices import Library, can_clone, speaker

MAX_LEAD = 5.0
"""Seconds of speech made ahead of a client that reads slowly."""
MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
"""Names under which OpenAI's clients ask for a voice; they mean whichever engine is loaded, as its own name does."""

Provider = Callable[[], Synthesizer | None]


class SpeechRequest(BaseModel):
    """The body of `POST /v1/audio/speech`."""

    model_config = ConfigDict(extra="forbid")

    model: str
    input: str = Field(min_length=1, max_length=20_000)
    voice: str | dict[Literal["id"], str] | None = None
    """Name; None: the engine's default."""
    response_format: Format = "mp3"
    speed: float = Field(1.0, ge=0.5, le=2.0)
    language: Literal["zh", "en"] | None = None
    """How numbers are read where the text does not tell; None: Mandarin unless it has English words. Not OpenAI's."""
    stream_format: Literal["audio", "sse"] = "audio"


def router(synthesizer: Provider, library: Library | None = None) -> APIRouter:
    """The routes, to be mounted with `app.include_router`.

    Args:
        synthesizer: Called for every request; None means: still loading.
        library: Recorded voices, for engines that can clone; None: the user's.
    """
    routes = APIRouter(prefix="/v1")
    library = library or Library()

    @routes.get("/voices")
    async def voices() -> Response:
        voice = synthesizer()
        if voice is None:
            return _loading()
        return JSONResponse({"object": "list", "engine": voice.engine.name, "data": _listed(voice, library)})

    @routes.post("/audio/speech")
    async def speech(request: Request) -> Response:
        voice = synthesizer()
        if voice is None:
            return _loading()
        try:
            asked = SpeechRequest.model_validate_json(await request.body())
            return await _respond(request, voice, library, asked)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or None
            return _refusal(400, f"{field or 'the body'}: {first['msg']}", field)
        except UnknownVoice as error:
            return _refusal(400, str(error), "voice")
        except Busy as error:
            return _refusal(429, str(error), None, {"Retry-After": "1"})
        except SpeechError as error:
            return _refusal(400, str(error), "input")

    return routes


async def _respond(request: Request, synthesizer: Synthesizer, library: Library, asked: SpeechRequest) -> Response:
    """Wait for the first chunk, so that what goes wrong by then is told with a status; then stream."""
    if asked.model not in (*MODELS, synthesizer.engine.name):
        known = ", ".join((synthesizer.engine.name, *MODELS))
        return _refusal(404, f"there is no model {asked.model!r}; use one of {known}", "model")
    name = asked.voice["id"] if isinstance(asked.voice, dict) else asked.voice
    who = await asyncio.to_thread(speaker, synthesizer, library, name)
    chunks = synthesizer.astream(asked.input, who, speed=asked.speed, language=asked.language, max_lead=MAX_LEAD)
    try:
        first = await _unless_gone(request, anext(chunks, None))
    except BaseException:
        await chunks.aclose()
        raise
    if first is None:
        await chunks.aclose()
        if await request.is_disconnected():
            return Response(status_code=499)
        return _refusal(400, "there is nothing to say in the input", "input")
    encoded = _encoded(first, chunks, synthesizer, who, asked.response_format)
    if asked.stream_format == "sse":
        return StreamingResponse(_events(encoded, len(asked.input)), media_type="text/event-stream")
    return StreamingResponse(encoded, media_type=MEDIA_TYPES[asked.response_format])


async def _unless_gone(request: Request, first: Awaitable[AudioChunk | None]) -> AudioChunk | None:
    """The first chunk, or None as soon as the client has disconnected; then the work is cancelled."""
    chunk = asyncio.ensure_future(first)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({chunk, gone}, return_when=asyncio.FIRST_COMPLETED)
        return chunk.result() if chunk.done() else None
    finally:
        gone.cancel()
        if not chunk.done():
            chunk.cancel()
            await asyncio.wait({chunk})


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Buffer(RawIOBase):
    """Holds what a writer has produced until it is taken."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, data: Any) -> int:
        self._bytes += data
        return len(data)

    def seekable(self) -> bool:
        return False

    def take(self) -> bytes:
        taken = bytes(self._bytes)
        self._bytes.clear()
        return taken


async def _encoded(
    first: AudioChunk, chunks: AsyncGenerator[AudioChunk, None], synthesizer: Synthesizer, who: Voice, format: Format
) -> AsyncGenerator[bytes, None]:
    """Bytes of the file as they come into being. Closing it cancels the speech."""
    buffer = _Buffer()
    async with aclosing(chunks):
        writer = SpeechWriter(
            cast(BinaryIO, buffer), format, synthesizer.sample_rate, Label(synthesizer.engine.name, who.name)
        )
        writer.write(first)
        yield buffer.take()
        async for chunk in chunks:
            writer.write(chunk)
            if data := buffer.take():
                yield data
        writer.close()
        if data := buffer.take():
            yield data


async def _events(encoded: AsyncGenerator[bytes, None], characters: int) -> AsyncIterator[str]:
    """The same bytes as OpenAI's server-sent events. Tokens are counted as characters, for want of better."""
    async with aclosing(encoded):
        async for data in encoded:
            yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})
    usage = {"input_tokens": characters, "output_tokens": 0, "total_tokens": characters}
    yield _event({"type": "speech.audio.done", "usage": usage})


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content)}\n\n"


def _listed(synthesizer: Synthesizer, library: Library) -> list[dict[str, Any]]:
    own = [
        {"id": voice.name, "languages": voice.languages, "description": voice.description, "usable": True}
        for voice in synthesizer.voices()
    ]
    usable, known = can_clone(synthesizer), {voice["id"] for voice in own}
    recorded = [name for name in library.names() if name not in known]
    return [*own, *({"id": name, "description": "克隆 / cloned", "usable": usable} for name in recorded)]


def _loading() -> JSONResponse:
    return _refusal(503, "the voice is still loading; try again in a few seconds", None, {"Retry-After": "3"})


def _refusal(status: int, message: str, field: str | None, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error as OpenAI's clients read it."""
    kind = "invalid_request_error" if status < 429 else "server_error"
    return JSONResponse({"error": {"message": message, "type": kind, "param": field, "code": None}}, status, headers)
