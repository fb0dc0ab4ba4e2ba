"""Calls by OpenAI's Realtime API: `/v1/realtime`, a websocket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import APIRouter, WebSocket

from agent.realtime.answer import event
from agent.realtime.session import IN_RATE, OUT_RATE, Session
from agent.realtime.transport import RealtimeTransport
from agent.switchboard import Refused, Switchboard

CLOSE_SECONDS = 1.0
BUSY = 1013
SUBPROTOCOL = "realtime"
"""What browsers offer beside the token, and have to be answered."""


class Realtime:
    """The line of clients that were written for OpenAI's voice API. It is always open, beside the speech API."""

    open_paths: tuple[str, ...] = ()

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard
        self._calls: set[asyncio.Task[Any]] = set()
        self.router = APIRouter()
        self.router.add_api_websocket_route("/v1/realtime", self.answer)

    async def open(self) -> None:
        """Calls come in as HTTP requests; there is nothing to start."""

    async def close(self) -> None:
        """Hang up on everybody."""
        for call in self._calls:
            call.cancel()
        if self._calls:
            await asyncio.wait(self._calls, timeout=CLOSE_SECONDS)

    async def answer(self, websocket: WebSocket) -> None:
        """Hold one session, from its first event until the client leaves."""
        offered = websocket.scope.get("subprotocols", [])
        await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        try:
            seat = self._switchboard.seat("realtime")
        except Refused as refusal:
            error = {"type": "server_error", "code": refusal.reason, "message": str(refusal), "param": None}
            await websocket.send_text(json.dumps(event("error", error={**error, "event_id": None}), ensure_ascii=False))
            await websocket.close(BUSY, refusal.en)
            return
        models = self._switchboard.models
        assert models is not None, "a seat is only given out once the models are loaded"
        model = websocket.query_params.get("model", models.synthesizer.engine.name)[:100]
        session = Session(models, self._switchboard.settings, model, lambda text: transport.say(text))
        transport = RealtimeTransport(websocket, session)
        call = asyncio.current_task()
        assert call is not None
        self._calls.add(call)
        await session.greet()
        try:
            await self._switchboard.converse(
                seat,
                transport,
                rtvi=False,
                greet=False,
                on_begin=session.attach,
                audio_in_sample_rate=IN_RATE,
                audio_out_sample_rate=OUT_RATE,
            )
        finally:
            self._calls.discard(call)
