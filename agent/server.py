"""The agent's web server: the talk page, signalling, health and metrics, and the life of every line."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from agent.metrics import CONTENT_TYPE
from agent.switchboard import Refused, Switchboard
from agent.transports import Line
from agent.transports.realtime import Realtime
from agent.workshop import OPEN_PATHS, ROOMY_PATHS, add_workshop
from tts_service.serving.gate import API_PATHS, Gate
from tts_service.serving.refusals import refusal

WEB = Path(__file__).parent / "web"
GRACE_SECONDS = 1.5
"""From the first Ctrl-C to the end of the process, whatever still runs."""


def create_app(switchboard: Switchboard, lines: Sequence[Line]) -> FastAPI:
    """Put pages, signalling and lines together.

    Args:
        switchboard: Shared by all lines; closed with the app.
        lines: Their routes are mounted; they are opened and closed with the app. The Realtime API's comes with them.
    """
    lines = [*lines, Realtime(switchboard)]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for line in lines:
            await line.open()
        yield
        await asyncio.gather(*(line.close() for line in lines))
        switchboard.close()

    # The interactive documentation would load scripts from a CDN.
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    server = switchboard.settings.server
    add_workshop(app, switchboard)  # before the gate, which must stand in front of it
    app.add_middleware(
        Gate,
        host=server.host,
        public_host=public.host if (public := switchboard.settings.phone.public_url) else None,
        hosts=switchboard.settings.api.hosts,
        origins=switchboard.settings.api.origins,
        token=server.token.get_secret_value() if server.token else None,
        open_paths=("/", "/web/", "/health", *OPEN_PATHS, *(path for line in lines for path in line.open_paths)),
        roomy_paths=ROOMY_PATHS,
    )

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        detail = {"reason": error.reason, "zh": error.zh, "en": error.en}
        return JSONResponse({"error": str(error), **detail}, 503, {"Retry-After": "5"})

    @app.exception_handler(HTTPException)
    async def failed(request: Request, error: HTTPException) -> JSONResponse:
        if request.url.path.startswith(API_PATHS):
            return refusal(error.status_code, str(error.detail), None, error.headers)
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        complaints = (f"{'.'.join(map(str, e['loc'][1:])) or 'body'}: {e['msg']}" for e in error.errors()[:3])
        reason = "; ".join(complaints)
        if request.url.path.startswith(API_PATHS):
            return refusal(400, reason)
        return JSONResponse({"error": reason}, 400)

    @app.get("/")
    async def page() -> FileResponse:
        return FileResponse(WEB / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/health")
    async def health() -> JSONResponse:
        state = switchboard.state
        body = {"status": state, "step": switchboard.step, "sessions": switchboard.calls, "limit": server.max_sessions}
        return JSONResponse(body, 200 if state == "ready" else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(switchboard.metrics.render(), media_type=CONTENT_TYPE)

    @app.get("/api/agent")
    async def describe() -> dict[str, Any]:
        return {
            "state": switchboard.state,
            "step": switchboard.step,
            **switchboard.describe(),
        }

    app.mount("/web", StaticFiles(directory=WEB), name="web")
    for line in lines:
        app.include_router(line.router)
    return app


class Server(uvicorn.Server):
    """Uvicorn that keeps its word about ending: the first Ctrl-C within two seconds, the second at once."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM while serving."""
        taken = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, self.handle_exit) for number in taken]
        try:
            yield
        finally:
            # The default handlers come back only for a server that ended by itself.
            if not self.should_exit:
                for number, handler in zip(taken, before, strict=True):
                    signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End gracefully; the second time, or when that takes too long, abruptly."""
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True
        # A model in the middle of a long native call cannot be cancelled and would hold up the interpreter's exit.
        deadline = threading.Timer(GRACE_SECONDS, os._exit, (0,))
        deadline.daemon = True
        deadline.start()


def web_server(app: FastAPI) -> Server:
    """The server for `app`; `await serve(sockets=[...])` runs it until a signal comes or `should_exit` is set."""
    return Server(
        uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=256,
            ws_max_size=1 << 20,
            timeout_graceful_shutdown=1,
        )
    )
