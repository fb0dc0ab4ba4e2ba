"""Calls from a browser: one HTTP exchange of session descriptions, then audio and messages peer to peer."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from aiortc.exceptions import InvalidStateError
from aiortc.jitterbuffer import JitterBuffer
from aiortc.sdp import SessionDescription
from fastapi import APIRouter, HTTPException
from loguru import logger
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport
from pydantic import BaseModel, Field

from agent.pipeline import OUTPUT_CHUNKS
from agent.switchboard import Seat, Switchboard
from agent.transports.ducking import Ducking

CONNECT_SECONDS = 15.0
"""From our answer to media flowing; a caller that takes longer has gone."""
VANISHED_SECONDS = 12.0
"""How long a connected caller may be silent on the data channel. Long enough to come back after a change of network."""
CLOSE_SECONDS = 1.0
LOOK_SECONDS = 0.5
"""Between two looks for a caller."""
CLOSED_LOOKS = 3
"""How many looks in a row find the connection closed until the caller counts as gone."""
MAX_MEDIA = 4
KEPT_BACK = 1
"""Packets behind each one that have to be there before it is heard."""
WAITED_FOR = 4
"""Packets behind a lost one after which it is given up."""


class Offer(BaseModel):
    """The browser's session description."""

    sdp: str = Field(min_length=1, max_length=64 * 1024)
    type: Literal["offer"]
    pc_id: str | None = Field(None, max_length=200)
    """Given in our answer; sent again to come back to a call whose connection was lost."""


class WebRTC:
    """The browser line."""

    open_paths: tuple[str, ...] = ()

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard
        self._connections: dict[str, SmallWebRTCConnection] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self.router = APIRouter()
        self.router.add_api_route("/api/offer", self.answer, methods=["POST"])

    async def open(self) -> None:
        """Nothing to start, calls come in as HTTP requests; but see to what aiortc's own tasks leave behind."""
        asyncio.get_running_loop().set_exception_handler(_report)

    async def close(self) -> None:
        """Hang up on everybody."""
        for call in self._calls:
            call.cancel()
        if self._calls:
            await asyncio.wait(self._calls, timeout=CLOSE_SECONDS)

    async def answer(self, offer: Offer) -> dict[str, str]:
        """Answer an offer: begin a call, or renew the connection of one that was lost."""
        check_offer(offer.sdp)
        connection = self._connections.get(offer.pc_id or "")
        try:
            if connection:
                await self._renew(connection, offer)
            else:
                connection = await self._begin(offer)
        except (
            ValueError,
            ArithmeticError,
            LookupError,
            AttributeError,
            AssertionError,
            TypeError,
            InvalidStateError,
        ) as error:
            # What aiortc raises on a description that parses but cannot be used.
            raise HTTPException(400, f"the session description cannot be used: {error}") from error
        answer: dict[str, str] = connection.get_answer()
        return answer

    async def _begin(self, offer: Offer) -> SmallWebRTCConnection:
        """A new call, if there is a seat."""
        seat = self._switchboard.seat("webrtc")
        # No ICE servers: on one computer or network host candidates do, and a STUN server that is silent costs seconds.
        connection = SmallWebRTCConnection()
        try:
            await connection.initialize(offer.sdp, offer.type)
            hear_at_once(connection)
        except BaseException:
            seat.leave()
            await connection.pc.close()
            raise
        self._connections[connection.pc_id] = connection
        call = asyncio.create_task(self._call(seat, connection), name=f"call {connection.pc_id}")
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return connection

    async def _renew(self, connection: SmallWebRTCConnection, offer: Offer) -> None:
        """A new peer connection under a conversation that goes on."""
        old = connection.pc_id
        await connection.renegotiate(offer.sdp, offer.type, restart_pc=True)
        hear_at_once(connection)
        self._connections[connection.pc_id] = self._connections.pop(old)

    async def _call(self, seat: Seat, connection: SmallWebRTCConnection) -> None:
        """One call from its answer to its end.

        A caller may go at any moment, also before the conversation listens for that: what ends the call for certain is
        that the caller is looked for, and the conversation cancelled when nobody is there.
        """
        ducking = Ducking()
        params = TransportParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            audio_out_10ms_chunks=OUTPUT_CHUNKS,
            audio_out_filter=ducking,
        )
        transport = SmallWebRTCTransport(connection, params)
        talk = asyncio.create_task(self._switchboard.converse(seat, transport, duck=ducking.to))
        watch = asyncio.create_task(_until_gone(connection))
        try:
            await asyncio.wait((talk, watch), return_when=asyncio.FIRST_COMPLETED)
        finally:
            seat.leave()
            watch.cancel()
            talk.cancel()
            await asyncio.wait((talk,), timeout=CLOSE_SECONDS)
            self._connections.pop(connection.pc_id, None)
            await connection.disconnect()


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what no task awaited, as the loop does, but for callers who have left.

    aiortc connects, and sends again what was lost, in tasks of its own that nobody awaits; their errors tell only that
    the other side has gone.
    """
    task = context.get("future")
    name = getattr(task.get_coro(), "__qualname__", "") if isinstance(task, asyncio.Task) else ""
    aiortcs = name.startswith(("RTCPeerConnection.", "RTCSctpTransport."))
    if aiortcs and isinstance(context.get("exception"), (InvalidStateError, ConnectionError)):
        logger.info("a caller has left: {}", context["exception"])
    else:
        loop.default_exception_handler(context)


async def _until_gone(connection: SmallWebRTCConnection) -> None:
    """Return when the caller never arrived, has hung up, or has gone without saying so.

    ICE alone takes half a minute to notice that a browser is gone; the page's pings tell in seconds. `is_connected`
    covers both. A closed connection is one that stays closed: a call that is renewed has none for a moment.
    """
    clock = asyncio.get_running_loop().time
    patience = CONNECT_SECONDS
    last_seen = clock()
    closed = 0
    while closed < CLOSED_LOOKS and clock() - last_seen < patience:
        await asyncio.sleep(LOOK_SECONDS)
        closed = closed + 1 if connection.pc.connectionState == "closed" else 0
        if connection.is_connected():
            patience, last_seen = VANISHED_SECONDS, clock()
    logger.info("the caller is gone; hanging up")


def hear_at_once(connection: SmallWebRTCConnection) -> None:
    """Spare the caller 60 ms, and 240 after the first lost packet.

    aiortc keeps four packets back for a loudspeaker that must not stutter, waits for sixteen behind a lost one, and is
    as late for the rest of the call. Ears do not mind a gap. Packets that overtake each other are put in order.
    """
    for receiver in connection.pc.getReceivers():
        if receiver.track and receiver.track.kind == "audio":
            buffer = JitterBuffer(capacity=WAITED_FOR, prefetch=KEPT_BACK)
            receiver._RTCRtpReceiver__jitter_buffer = buffer  # type: ignore[attr-defined]  # no public way


def check_offer(sdp: str) -> None:
    """Refuse what is not a description of a call, before anything is started for it.

    Raises:
        HTTPException: 400, with what is missing.
    """
    try:
        description = SessionDescription.parse(sdp)
    except Exception as error:
        # The parser asserts, indexes and converts; on junk it can raise any of their exceptions.
        raise HTTPException(400, "this is not a session description (SDP)") from error
    audio = [media for media in description.media if media.kind == "audio"]
    if not audio:
        raise HTTPException(400, "the session description offers no audio")
    if len(description.media) > MAX_MEDIA:
        raise HTTPException(400, f"the session description has more than {MAX_MEDIA} media sections")
    if not all(media.ice and media.ice.usernameFragment and media.dtls and media.dtls.fingerprints for media in audio):
        raise HTTPException(400, "the session description has no ICE credentials or DTLS fingerprint")
