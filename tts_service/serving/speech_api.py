"""The speech API: `/v1/audio/speech` and what clients of OpenAI's and Kokoro-FastAPI's ask around it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from pipecat_glm_tts.extras import needs
from tts_service.audio import load_audio
from tts_service.engine import AudioChunk, Busy, SpeechError, UnknownVoice, Voice
from tts_service.speech.captions import Captions
from tts_service.speech.synthesizer import Synthesizer
from tts_service.voices.library import Library, can_clone
from tts_service.workshop.audio_file import MEDIA_TYPES
from tts_service.workshop.label import Label

with needs("api"):
    from fastapi import APIRouter, File, Form, Request, Response, UploadFile, WebSocket
    from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

    from tts_service.serving.answered import Piece, caption_object, captioned, encoded, events, sound
    from tts_service.serving.asked import MAX_LEAD, MODELS, OFFICIAL_VOICES, SpeechRequest, chosen, model_known
    from tts_service.serving.refusals import loading, refusal
    from tts_service.serving.socket import converse

BORN = 1735689600
"""When the models came into being, as far as clients want to know: the first day of 2025."""

Provider = Callable[[], Synthesizer | None]
Transcribe = Callable[[NDArray[np.float32], int], str]
MAX_RECORDING = 600.0
"""Seconds that one transcription may hear."""


def router(
    synthesizer: Provider,
    library: Library | None = None,
    *,
    renamed: Mapping[str, str] | None = None,
    transcribe: Transcribe | None = None,
) -> APIRouter:
    """The routes, to be mounted with `app.include_router`.

    Args:
        synthesizer: Called for every request; None means: still loading.
        library: Recorded voices, for engines that can clone; None: the user's.
        renamed: Names of voices that clients send -> ours, beside OpenAI's.
        transcribe: Samples [n] and their rate in Hz -> what was said; None: there is no `/v1/audio/transcriptions`.
    """
    routes = APIRouter()
    api = _Speech(synthesizer, library or Library(), renamed or {})

    @routes.get("/v1/models")
    async def models() -> Response:
        return api.models()

    @routes.get("/v1/models/{name:path}")
    async def model(name: str) -> Response:
        return api.model(name)

    @routes.get("/v1/audio/models")
    async def audio_models() -> Response:
        return api.audio_models()

    @routes.get("/v1/voices")
    async def voices() -> Response:
        return await api.voices()

    @routes.get("/v1/audio/voices")
    async def audio_voices() -> Response:
        return await api.audio_voices()

    @routes.post("/v1/audio/speech")
    @routes.post("/v1/audio/speech/", include_in_schema=False)
    async def speech(request: Request) -> Response:
        return await api.answer(request, _spoken)

    @routes.post("/dev/captioned_speech")
    async def captioned_speech(request: Request) -> Response:
        return await api.answer(request, _captioned)

    @routes.websocket("/v1/audio/speech/stream")
    async def speech_stream(socket: WebSocket) -> None:
        await converse(socket, synthesizer, api.library, api.renamed)

    if transcribe is not None:

        @routes.post("/v1/audio/transcriptions")
        async def transcriptions(
            file: Annotated[UploadFile, File()], response_format: Annotated[str, Form()] = "json"
        ) -> Response:
            return await _transcribed(file, response_format, transcribe)

    return routes


@dataclass(frozen=True, slots=True)
class _Speech:
    """What the routes share."""

    synthesizer: Provider
    library: Library
    renamed: Mapping[str, str]

    def models(self) -> Response:
        voice = self.synthesizer()
        if voice is None:
            return loading()
        names = dict.fromkeys((voice.engine.name, *MODELS))
        return JSONResponse({"object": "list", "data": [_model(name) for name in names]})

    def model(self, name: str) -> Response:
        voice = self.synthesizer()
        if voice is None:
            return loading()
        return JSONResponse(_model(name)) if model_known(name, voice.engine.name) else _no_model(name, voice)

    def audio_models(self) -> Response:
        voice = self.synthesizer()
        if voice is None:
            return loading()
        names = dict.fromkeys((voice.engine.name, *MODELS))
        return JSONResponse({"models": [{"id": name, "name": name} for name in names]})

    async def voices(self) -> Response:
        voice = self.synthesizer()
        if voice is None:
            return loading()
        listed = await asyncio.to_thread(_listed, voice, self.library)
        return JSONResponse({"object": "list", "engine": voice.engine.name, "data": listed})

    async def audio_voices(self) -> Response:
        voice = self.synthesizer()
        if voice is None:
            return loading()
        listed = await asyncio.to_thread(_listed, voice, self.library)
        names = [{"id": one["id"], "name": one["id"]} for one in listed if one["usable"]]
        return JSONResponse({"voices": names + [{"id": name, "name": name} for name in OFFICIAL_VOICES]})

    async def answer(self, request: Request, form: Callable[[SpeechRequest, Pieces], Awaitable[Response]]) -> Response:
        """Wait for the first chunk, so that what goes wrong by then is told with a status; then answer in a form."""
        synthesizer = self.synthesizer()
        if synthesizer is None:
            return loading()
        try:
            asked = SpeechRequest.model_validate_json(await request.body())
            if not model_known(asked.model, synthesizer.engine.name):
                return _no_model(asked.model, synthesizer)
            who = await asyncio.to_thread(chosen, synthesizer, self.library, str(asked.voice), self.renamed)
            chunks = synthesizer.astream(
                asked.input, who, speed=asked.speed, language=asked.language, max_lead=MAX_LEAD
            )
            return await _begun(request, asked, chunks, synthesizer, who, form)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or None
            return refusal(400, f"{field or 'the body'}: {first['msg']}", field)
        except UnknownVoice as error:
            return refusal(400, str(error), "voice")
        except Busy as error:
            return refusal(429, str(error), None, {"Retry-After": str(max(1, math.ceil(error.wait or 1)))})
        except SpeechError as error:
            return refusal(400, str(error), "input")


Pieces = AsyncGenerator[Piece, None]


async def _begun(
    request: Request,
    asked: SpeechRequest,
    chunks: AsyncGenerator[AudioChunk, None],
    synthesizer: Synthesizer,
    who: Voice,
    form: Callable[[SpeechRequest, Pieces], Awaitable[Response]],
) -> Response:
    try:
        first = await _unless_gone(request, anext(chunks, None))
    except BaseException:
        await chunks.aclose()
        raise
    if first is None:
        await chunks.aclose()
        if await request.is_disconnected():
            return Response(status_code=499)
        return refusal(400, "there is nothing to say in the input", "input")
    label = Label(synthesizer.engine.name, who.name)
    pieces = encoded(
        _after(first, chunks), Captions(asked.input), asked.response_format, synthesizer.sample_rate, label
    )
    return await form(asked, pieces)


async def _spoken(asked: SpeechRequest, pieces: Pieces) -> Response:
    """As audio or as server-sent events."""
    if asked.stream_format == "sse":
        return StreamingResponse(events(pieces, asked.input, asked.timestamps), media_type="text/event-stream")
    media_type = MEDIA_TYPES[asked.response_format]
    if asked.stream:
        return StreamingResponse(sound(pieces), media_type=media_type)
    return Response(b"".join([data async for data in sound(pieces)]), media_type=media_type)


async def _captioned(asked: SpeechRequest, pieces: Pieces) -> Response:
    """As Kokoro-FastAPI's captioned speech."""
    if asked.stream:
        return StreamingResponse(captioned(pieces, asked.response_format), media_type="application/x-ndjson")
    whole = [piece async for piece in pieces]
    words = [caption for piece in whole for caption in piece.captions]
    return JSONResponse(caption_object(b"".join(piece.data for piece in whole), words, asked.response_format))


async def _after(first: AudioChunk, rest: AsyncGenerator[AudioChunk, None]) -> AsyncGenerator[AudioChunk, None]:
    try:
        yield first
        async for chunk in rest:
            yield chunk
    finally:
        await rest.aclose()


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


async def _transcribed(file: UploadFile, form: str, transcribe: Transcribe) -> Response:
    """What is said in an upload, in one of OpenAI's forms."""
    if form not in ("json", "text", "verbose_json"):
        return refusal(400, f"response_format is {form[:40]!r}; use json, text or verbose_json", "response_format")

    def listen() -> tuple[str, float]:
        samples, rate = load_audio(file.file, max_seconds=MAX_RECORDING)
        return transcribe(samples.mean(axis=0), rate), samples.shape[1] / rate

    try:
        text, seconds = await asyncio.to_thread(listen)
    except SpeechError as error:
        return refusal(400, str(error), "file")
    if form == "text":
        return PlainTextResponse(text + "\n")
    if form == "json":
        return JSONResponse({"text": text})
    segments = [{"id": 0, "start": 0.0, "end": seconds, "text": text}] if text else []
    return JSONResponse({"task": "transcribe", "duration": seconds, "text": text, "segments": segments})


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": BORN, "owned_by": "pipecat-glm-tts"}


def _no_model(name: str, synthesizer: Synthesizer) -> Response:
    known = ", ".join((synthesizer.engine.name, *MODELS))
    return refusal(404, f"there is no model {name[:100]!r}; use one of {known}", "model")


def _listed(synthesizer: Synthesizer, library: Library) -> list[dict[str, Any]]:
    own = [
        {"id": voice.name, "languages": voice.languages, "description": voice.description, "usable": True}
        for voice in synthesizer.voices()
    ]
    usable, known = can_clone(synthesizer), {voice["id"] for voice in own}
    recorded = [name for name in library.names() if name not in known]
    return [*own, *({"id": name, "description": "克隆 / cloned", "usable": usable} for name in recorded)]
