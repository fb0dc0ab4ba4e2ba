"""The studio: a page to try texts, make voices, run batches and edit the dictionary (extra `studio`).

It is mounted on any FastAPI application, loads nothing from elsewhere and reports to nobody.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from fastapi import FastAPI
from numpy.typing import NDArray
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from g2p.lexicon import own_dictionary
from pipecat_glm_tts.wording import tr
from tts_service.memory import trim
from tts_service.speech.synthesizer import Synthesizer
from tts_service.studio import batch, detect, dictionary, synthesize, voices
from tts_service.studio.desk import Desk
from tts_service.studio.words import BEGIN, SWITCH, told
from tts_service.voices.library import MAX_BYTES, Library

POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; connect-src 'self' data: blob:; font-src 'self' data:; "
    "worker-src 'self' blob:; manifest-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""Content-Security-Policy: Gradio needs inline scripts; nothing comes from another host."""
CSS = """
.ruby { font-size: 1.35rem; line-height: 2.3; overflow-wrap: anywhere; }
.ruby ruby { margin: 0 0.08em; }
.ruby rt { font-size: 0.5em; opacity: 0.7; }
#live audio { width: 100%; }
.dark #live audio { color-scheme: dark; }
.mono textarea { font-family: ui-monospace, monospace; }
#title { font-size: 1.5rem; }
.together { flex-wrap: nowrap !important; }
@media (max-width: 480px) { .tab-container button { font-size: 0.85rem; padding: 0 0.35rem; } }
footer { display: none !important; }
"""


def mount(
    app: FastAPI,
    synthesizer: Callable[[], Synthesizer | None],
    *,
    engine: str,
    transcribe: Callable[[NDArray[np.float32], int], str],
    dictionary: Path | None = None,
    library: Library | None = None,
    outputs: Path = Path("@outputs"),
    path: str = "/studio",
    token: str | None = None,
) -> None:
    """Put the studio on an application.

    Args:
        app: Gets the page at `path`; recordings that people leave there are deleted when its lifespan ends.
        synthesizer: Called for every request; None means: still loading.
        engine: Name of the engine that it will be.
        transcribe: For recordings: samples [n] and their rate in Hz -> what is said.
        dictionary: The dictionary file that the page edits; None: the user's own (`g2p.lexicon.own_dictionary`).
        library: Recorded voices; None: the user's.
        outputs: Where results are kept.
        path: Where.
        token: Asked for as the password of the user `studio`; None: no login.
    """
    dictionary = dictionary or own_dictionary()
    desk = Desk(synthesizer, engine, library or Library(), transcribe, dictionary, path, outputs)
    app.include_router(desk.station.routes(path))
    page = build(desk)
    opened = app.router.lifespan_context

    @asynccontextmanager
    async def until_closed(app: FastAPI) -> AsyncIterator[Any]:
        with closing(desk):
            async with opened(app) as state:
                yield state

    app.router.lifespan_context = until_closed
    gr.mount_gradio_app(
        app,
        page,
        path,
        auth=("studio", token) if token else None,
        auth_message="studio + GLM_TTS_API_KEY / server.token",
        max_file_size=4 * MAX_BYTES,
        show_error=True,
        ssr_mode=False,
        theme=gr.themes.Base(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")),
        css=CSS,
        i18n=desk.label.translations,
    )
    app.add_middleware(_Page, path=path)


class _Page:
    """States what pages below a path may load, and settles the language before anything of them runs."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        self.app = app
        self.path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        held: Message = {}

        async def send_ours(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = POLICY
                if headers.get("content-type", "").startswith("text/html") and "content-encoding" not in headers:
                    headers["content-length"] = str(int(headers["content-length"]) + len(BEGIN.encode()))
                    held.update(message)
            elif held:
                message = {**message, "body": message["body"].replace(b"<head>", b"<head>" + BEGIN.encode(), 1)}
                held.clear()
            await send(message)

        ours = scope["type"] == "http" and scope["path"].startswith(self.path)
        await self.app(scope, receive, send_ours if ours else send)


def build(desk: Desk) -> gr.Blocks:
    """The page."""
    label = desk.label
    about = {
        "kokoro": label("Embedded Kokoro (CPU): a cast of its own; no cloning, sampling, seed or KV cache."),
        "glm": label("GLM-TTS: zero-shot cloning, 24 or 32 kHz."),
    }
    with gr.Blocks(title="GLM-TTS", analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        with gr.Row(elem_classes="together"):
            gr.Markdown(label("**GLM-TTS studio**"), elem_id="title")
            switch = gr.Button(label("中文"), size="sm", elem_id="language", scale=0, min_width=80)
        gr.Markdown(about.get(desk.engine, desk.engine))
        with gr.Tab(label("Synthesize"), id="synthesize"):
            synthesize.tab(desk, page)
        with gr.Tab(label("Batch"), id="batch"):
            batch.tab(desk, page)
        with gr.Tab(label("Voices"), id="voices"):
            voices.tab(desk, page)
        with gr.Tab(label("Dictionary"), id="dictionary"):
            dictionary.tab(desk)
        with gr.Tab(label("Watermark"), id="watermark"):
            detect.tab(desk)
        with gr.Row():
            clean = gr.Button(label("Free memory"), size="sm", elem_id="free")
            freed = gr.Markdown(elem_id="freed")
        switch.click(None, None, None, js=SWITCH)
        clean.click(told(lambda: free_memory(desk)), None, freed)
    return page


def free_memory(desk: Desk) -> str:
    """Unload an idle GLM-TTS; give back what Python, the C library and CUDA keep for later; say what is left in use."""
    synthesizer = desk.synthesizer()
    if synthesizer is not None and not synthesizer.active and hasattr(synthesizer.engine, "unload"):
        synthesizer.engine.unload()
    gc.collect()
    trim()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
        reserved = tr("GPU memory: {megabytes:.0f} MB", megabytes=torch.cuda.memory_reserved() / 2**20)
        return f"{reserved} · {_resident()}"
    return _resident()


def _resident() -> str:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return tr("done")
    return tr("Memory: {megabytes:.0f} MB", megabytes=pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
