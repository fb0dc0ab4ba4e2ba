"""Calls through a telephone provider: a webhook that says where to stream a call, and the websocket it streams to."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, HTTPException, Request, Response, WebSocket, WebSocketDisconnect
from loguru import logger
from pipecat.frames.frames import Frame, InterruptionFrame, OutputAudioRawFrame
from pipecat.processors.frame_processor import FrameDirection
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.transports.websocket.fastapi import (
    FastAPIWebsocketOutputTransport,
    FastAPIWebsocketParams,
    FastAPIWebsocketTransport,
)
from pipecat.utils.utils import obj_id

from agent.switchboard import Refused, Switchboard
from agent.transports.clean import CleanLine, clean_line
from agent.transports.ducking import Ducking
from agent.transports.loudness import Loudness
from agent.transports.providers import Provider, Webhook, providers

RATE = 8000
"""Hz, both ways: what every provider streams."""
START_SECONDS = 10.0
"""A websocket that has not said which call it carries by then is closed."""
START_MESSAGES = 5
START_BYTES = 64 * 1024
TICKET_SECONDS = 120.0
"""From the webhook to the websocket: the provider still has to connect the call."""
MAX_TICKETS = 1000
CLOSE_SECONDS = 1.0
BUSY = 1013
REFUSED = 1008


class Telephony:
    """The line of all four providers.

    `POST` or `GET /phone/<provider>` answers a provider's webhook and `/ws` takes the stream; whose it is shows in its
    first messages. Where a provider's secret is set, its webhook is verified and names a websocket that can be used
    once, and a stream of that provider that comes without such a ticket is turned away. Where the server has a token,
    providers without a secret are turned away.
    """

    open_paths: tuple[str, ...] = ("/phone/", "/ws", "/ws/")

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard
        self._settings = switchboard.settings.phone
        self._providers = providers(self._settings)
        self._guarded = switchboard.settings.server.token is not None
        self._tickets: dict[str, tuple[str, float]] = {}
        self._calls: set[asyncio.Task[Any]] = set()
        self.router = APIRouter()
        self.router.add_api_route("/phone/{name}", self.ring, methods=["GET", "POST"])
        self.router.add_api_websocket_route("/ws", self.stream)
        self.router.add_api_websocket_route("/ws/{ticket}", self.stream)

    async def open(self) -> None:
        """Calls come in as HTTP requests; there is nothing to start."""

    async def close(self) -> None:
        """Hang up on everybody."""
        for call in self._calls:
            call.cancel()
        if self._calls:
            await asyncio.wait(self._calls, timeout=CLOSE_SECONDS)

    # The webhook

    async def ring(self, name: str, request: Request) -> Response:
        """Tell a provider where to stream the call to."""
        provider = self._providers.get(name)
        if provider is None:
            raise HTTPException(404, f"there is no provider {name!r}; known: {', '.join(self._providers)}")
        base = self._base(request)
        if not provider.checks() and self._guarded:
            raise HTTPException(403, f"this agent asks for a token, so set the secret that {name} can be checked with")
        if provider.checks() and not provider.genuine(await _webhook(request, base)):
            logger.warning(f"{name}: a webhook with a bad signature was refused; is phone.public_url right ({base})?")
            raise HTTPException(403, f"the signature is not {name}'s, or not for {base}{request.url.path}")
        stream = base.replace("http", "ws", 1) + "/ws"
        if provider.checks():
            stream += "/" + self._ticket(name)
        media_type, text = provider.answer(stream)
        return Response(text, media_type=media_type)

    def _base(self, request: Request) -> str:
        """The address that the provider used, without a path."""
        if self._settings.public_url is not None:
            return str(self._settings.public_url).rstrip("/")
        return f"{request.url.scheme}://{request.url.netloc}"

    def _ticket(self, name: str) -> str:
        now = time.monotonic()
        self._tickets = {t: (n, until) for t, (n, until) in self._tickets.items() if until > now}
        while len(self._tickets) >= MAX_TICKETS:
            del self._tickets[next(iter(self._tickets))]
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = (name, now + TICKET_SECONDS)
        return ticket

    def _holder(self, ticket: str | None) -> str | None:
        """The provider that a ticket was given to. A ticket is good once."""
        name, until = self._tickets.pop(ticket or "", (None, 0.0))
        return name if until > time.monotonic() else None

    # The stream

    async def stream(self, websocket: WebSocket, ticket: str | None = None) -> None:
        """Take one call, from the provider's first message to the end of the conversation."""
        holder = self._holder(ticket)
        if ticket is not None and holder is None:
            await websocket.close(REFUSED, "this address has been used or is too old")
            return
        await websocket.accept()
        try:
            provider, serializer = await self._identify(websocket)
        except (ValueError, TimeoutError, WebSocketDisconnect) as error:
            logger.info(f"a media stream was refused: {error or 'it did not begin in time'}")
            await _close(websocket, REFUSED, str(error))
            return
        checked = provider.checks() or self._guarded
        if checked and holder != provider.name and not self._carries_secret(provider, websocket):
            logger.warning(f"{provider.name}: a stream without a ticket from the webhook was refused")
            await _close(websocket, REFUSED, "streams of this provider begin with its signed webhook")
            return
        try:
            seat = self._switchboard.seat(provider.name)
        except Refused as refusal:
            await _close(websocket, BUSY, refusal.en)
            return
        ducking = Ducking(Loudness())
        transport = StreamTransport(
            websocket,
            FastAPIWebsocketParams(
                serializer=serializer,
                audio_in_enabled=True,
                audio_out_enabled=True,
                audio_out_10ms_chunks=provider.chunk,
                audio_out_end_silence_secs=0,
                audio_out_filter=ducking,
                audio_in_filter=clean_line(self._switchboard.settings.audio),
                allowed_origins=[],  # the gate has looked already
            ),
        )
        call = asyncio.current_task()
        assert call is not None
        self._calls.add(call)
        try:
            await self._switchboard.converse(
                seat,
                transport,
                rtvi=False,
                audio_in_sample_rate=RATE,
                audio_out_sample_rate=RATE,
                duck=ducking.to,
            )
        finally:
            self._calls.discard(call)

    async def _identify(self, websocket: WebSocket) -> tuple[Provider, FrameSerializer]:
        """Read until a message says whose call this is."""
        async with asyncio.timeout(START_SECONDS):
            for _ in range(START_MESSAGES):
                text = await websocket.receive_text()
                if len(text) > START_BYTES:
                    raise ValueError(f"a first message of more than {START_BYTES} bytes")
                try:
                    message = json.loads(text)
                except (ValueError, RecursionError):
                    raise ValueError("the first messages must be JSON") from None
                if not isinstance(message, dict):
                    raise ValueError("the first messages must be JSON objects")
                for provider in self._providers.values():
                    if (serializer := provider.serializer(message)) is not None:
                        return provider, serializer
        raise ValueError(f"none of the first {START_MESSAGES} messages starts a stream of {', '.join(self._providers)}")

    def _carries_secret(self, provider: Provider, websocket: WebSocket) -> bool:
        """Exotel can be given the websocket's address itself, with our secret in it."""
        opening = Webhook("GET", str(websocket.url), {}, [], b"")
        return provider.name == "exotel" and provider.checks() and provider.genuine(opening)


class StreamTransport(FastAPIWebsocketTransport):
    """A provider's media stream."""

    def __init__(self, websocket: WebSocket, params: FastAPIWebsocketParams) -> None:
        super().__init__(websocket, params)
        self._output = StreamOutput(self, self._client, params)


class StreamOutput(FastAPIWebsocketOutputTransport):
    """The agent's side of a stream: after the `clear` of an interruption comes nothing that was said before it.

    Pipecat empties its queue at an interruption, but still writes the piece that it has already taken from there.
    """

    _silenced = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Note when an interruption comes; frames are numbered in the order they are made."""
        if isinstance(frame, InterruptionFrame):
            self._silenced = obj_id()
        await super().process_frame(frame, direction)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        """Send a piece, unless it was interrupted."""
        if frame.interruptible and frame.id < self._silenced:
            return False
        if isinstance(cleaner := self._params.audio_in_filter, CleanLine):
            cleaner.sent(frame.audio, frame.sample_rate)
        return await super().write_audio_frame(frame)


async def _webhook(request: Request, base: str) -> Webhook:
    body = await request.body()
    query = f"?{request.url.query}" if request.url.query else ""
    is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    try:
        form = parse_qsl(body.decode(), keep_blank_values=True) if is_form else []
    except ValueError:
        raise HTTPException(400, "the form is not UTF-8") from None
    return Webhook(
        request.method,
        f"{base}{request.url.path}{query}",
        {name.lower(): value for name, value in request.headers.items()},
        form,
        body,
    )


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    if websocket.client_state.name == "CONNECTED":
        await websocket.close(code, reason[:120])
