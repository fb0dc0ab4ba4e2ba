"""The speech API and the studio on the agent's server, with the voice and the ears that the conversations use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from importlib.util import find_spec

import numpy as np
from fastapi import FastAPI
from numpy.typing import NDArray
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.switchboard import Switchboard
from pipecat_glm_tts.extras import missing
from pipecat_glm_tts.wording import tr
from tts_service.audio import resample
from tts_service.engine import SpeechError
from tts_service.serving import speech_api
from tts_service.speech.synthesizer import Synthesizer

OPEN_PATHS = ("/studio", "/studio/")
"""The studio asks for the token with a page of its own: browsers cannot send it as a header."""
ROOMY_PATHS = {"/studio/": 256 << 20, "/v1/audio/transcriptions": 25 << 20, "/v1/": 256 << 10, "/dev/": 256 << 10}
"""Bytes of body accepted below these."""


def add_workshop(app: FastAPI, switchboard: Switchboard) -> None:
    """Serve `/v1` and, where the extra `studio` is installed, `/studio`."""

    def synthesizer() -> Synthesizer | None:
        return switchboard.models.synthesizer if switchboard.models else None

    def transcribe(samples: NDArray[np.float32], rate: int) -> str:
        if switchboard.models is None:
            raise SpeechError(tr("the recogniser is still loading"))
        return switchboard.models.recogniser.transcribe(resample(samples, rate, 16000)).text

    def build() -> FastAPI:
        from tts_service import studio

        inner = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        token = switchboard.settings.server.token
        studio.mount(
            inner,
            synthesizer,
            engine=switchboard.settings.voice.engine,
            transcribe=transcribe,
            token=token.get_secret_value() if token else None,
        )
        switchboard.keep()
        return inner

    voices = switchboard.settings.api.voices
    app.include_router(speech_api.router(synthesizer, renamed=voices, transcribe=transcribe))
    app.add_middleware(_Studio, build=build if find_spec("gradio") else None)


class _Studio:
    """Passes what lies below `/studio` to an application that is built when somebody first asks for it.

    Gradio takes seconds to import; nobody who only wants to talk should wait for that.
    """

    def __init__(self, app: ASGIApp, build: Callable[[], FastAPI] | None) -> None:
        self.app = app
        self._build = build
        self._built: FastAPI | None = None
        self._building = asyncio.Lock()
        self._open = AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":

            async def send_when_closed(message: Message) -> None:
                if message["type"] == "lifespan.shutdown.complete":
                    await self._open.aclose()
                await send(message)

            return await self.app(scope, receive, send_when_closed)
        if scope["type"] != "http" or not (scope["path"] + "/").startswith("/studio/"):
            return await self.app(scope, receive, send)
        if self._build is None:
            sorry = PlainTextResponse(missing("studio", "gradio") + "\n", 404)
            return await sorry(scope, receive, send)
        async with self._building:
            if self._built is None:
                built = await asyncio.to_thread(self._build)
                await self._open.enter_async_context(built.router.lifespan_context(built))
                self._built = built
        await self._built(scope, receive, send)
