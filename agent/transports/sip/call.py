"""One telephone call: its SIP dialog, what was agreed in SDP, and its audio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Literal, Protocol

from aiosipua.dialog import Dialog, dialog_matches, remote_cseq_valid
from aiosipua.message import SipRequest, SipResponse
from loguru import logger

from agent.transports.sip.rtp import Peer, RtpStream
from agent.transports.sip.sdp import MalformedSdp, NotAcceptable, SdpSession
from agent.transports.sip.wire import T1, T2, Hop, NoAnswer, SipWire

if TYPE_CHECKING:
    from agent.settings import SipSettings

METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE")
USER_AGENT = "pipecat-glm-tts"


class Telephone(Protocol):
    """What a call asks of the telephone that it is made with; `SipEndpoint` is one."""

    settings: SipSettings
    wire: SipWire
    codecs: tuple[str, ...]

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something for as long as the telephone lives."""
        ...

    def contact(self, hop: Hop) -> str:
        """Where a peer on that hop reaches us."""
        ...


class SipCall:
    """A call in progress, incoming or outgoing.

    `media` carries the sound. The call is over when `ended` is set; `reason` then says why.
    """

    def __init__(self, telephone: Telephone, dialog: Dialog, hop: Hop, direction: Literal["in", "out"]) -> None:
        self.dialog = dialog
        self.hop = hop
        self.direction = direction
        self.ended = asyncio.Event()
        self.reason = ""
        self.answered_at: float | None = None
        """`time.monotonic()` of the 200 OK."""
        self.on_audio: Callable[[bytes], None] = lambda _: None
        self.on_dtmf: Callable[[str], None] = lambda _: None
        self.on_hold: Callable[[bool], None] = lambda _: None
        self.media = RtpStream(lambda pcm: self.on_audio(pcm), lambda digit: self.on_dtmf(digit))
        self.session: SdpSession
        self.invite: SipRequest | None = None
        """The INVITE that is being answered, the first or a later one."""
        self._telephone = telephone
        self._peer: Peer | None = None
        self._answer = ""
        self._expects_answer = False
        self._acknowledged = asyncio.Event()

    @property
    def id(self) -> str:
        """The Call-ID."""
        return self.dialog.call_id

    @property
    def caller(self) -> str:
        """SIP URI of whoever called."""
        return self.dialog.remote_uri if self.direction == "in" else self.dialog.local_uri

    @property
    def callee(self) -> str:
        """SIP URI of whoever was called."""
        return self.dialog.local_uri if self.direction == "in" else self.dialog.remote_uri

    async def open(self) -> None:
        """Take a port for the audio. Raises NoFreePort."""
        settings = self._telephone.settings
        await self.media.open(self._telephone.wire.host, settings.rtp_ports)
        self.session = SdpSession(self._telephone.wire.advertise, self.media.port, self._telephone.codecs)

    # An incoming call

    def ring(self, invite: SipRequest) -> None:
        """Look at the offer and tell the caller that it rings.

        Raises:
            MalformedSdp, NotAcceptable: The offer cannot be taken.
        """
        self.invite = invite
        self._negotiate(invite)
        self.respond(invite, 180, "Ringing")

    def answer(self) -> None:
        """Pick up. Does nothing when the call was answered already or is over."""
        if self.answered_at is not None or self.ended.is_set() or self.invite is None:
            return
        self.answered_at = time.monotonic()
        self.dialog.confirm()
        self._accept(self.invite)
        self._telephone.spawn(self._watch_for_silence())

    def _negotiate(self, request: SipRequest) -> None:
        if request.body:
            self._answer, self._peer = self.session.answer(request.text)
            self._expects_answer = False
        else:
            self._answer = self.session.offer()
            self._expects_answer = True

    def _accept(self, invite: SipRequest) -> None:
        if not self._expects_answer and self._peer is not None:
            self._connect(self._peer)
        self._acknowledged.clear()
        response = self.respond(invite, 200, "OK", body=self._answer)
        self._telephone.spawn(self._repeat_until_acknowledged(invite, response))

    async def _repeat_until_acknowledged(self, invite: SipRequest, response: SipResponse) -> None:
        interval, deadline = T1, time.monotonic() + self._telephone.settings.ack_timeout
        while not self.ended.is_set():
            try:
                async with asyncio.timeout(min(interval, max(0.0, deadline - time.monotonic()))):
                    await self._acknowledged.wait()
                return
            except TimeoutError:
                if time.monotonic() >= deadline:
                    self.hang_up("the answer was never acknowledged")
                    return
                self._telephone.wire.respond(invite, response)
            interval = min(interval * 2, T2)

    # Requests within the call

    def belongs(self, request: SipRequest) -> bool:
        """Whether a request has this call's tags."""
        return dialog_matches(self.dialog, request)

    def handle(self, request: SipRequest) -> None:
        """Take a request of this dialog."""
        if request.method == "ACK":
            self._take_ack(request)
        elif not remote_cseq_valid(self.dialog, request):
            self.respond(request, 500, "CSeq Out Of Order")
        elif request.method == "BYE":
            self.respond(request, 200, "OK")
            self.end("the other side hung up")
        elif request.method == "INFO":
            self.respond(request, 200, "OK")
            if digit := _info_digit(request):
                self.on_dtmf(digit)
        else:
            self._renegotiate(request)

    def _take_ack(self, ack: SipRequest) -> None:
        if self._acknowledged.is_set():
            return
        self._acknowledged.set()
        if self._expects_answer:
            self._expects_answer = False
            try:
                self._peer = self.session.accept(ack.text)
            except (MalformedSdp, NotAcceptable) as error:
                self.hang_up(f"the answer to our offer cannot be used: {error}")
                return
            self._connect(self._peer)

    def _renegotiate(self, request: SipRequest) -> None:
        """re-INVITE or UPDATE: hold, resume, another codec or address."""
        if request.method == "UPDATE" and not request.body:
            self.respond(request, 200, "OK")  # a sign of life
            return
        if request.method == "INVITE" and self.answered_at is not None and not self._acknowledged.is_set():
            self.respond(request, 491, "Request Pending")
            return
        try:
            self._negotiate(request)
        except MalformedSdp as error:
            self.respond(request, 400, "Bad Request", warning=str(error))
        except NotAcceptable as error:
            self.respond(request, 488, "Not Acceptable Here", warning=str(error))
        else:
            if request.method == "INVITE":
                self.invite = request
                self._accept(request)
            else:
                assert self._peer is not None
                self._connect(self._peer)
                self.respond(request, 200, "OK", body=self._answer)

    def _connect(self, peer: Peer) -> None:
        held = self.media.on_hold
        self.media.connect(peer, {self.hop.host})
        if held != self.media.on_hold:
            logger.info(f"SIP call {self.id}: {'resumed' if held else 'on hold'}")
            self.on_hold(not held)

    # An outgoing call

    def answered(self, response: SipResponse) -> None:
        """The other side picked up an outgoing call.

        Raises:
            MalformedSdp, NotAcceptable: The answer cannot be used.
        """
        self.answered_at = time.monotonic()
        self._acknowledged.set()
        self._peer = self.session.accept(response.text)
        self._connect(self._peer)
        self._telephone.spawn(self._watch_for_silence())

    # The end

    def end(self, reason: str) -> None:
        """The call is over, for whatever reason. Idempotent."""
        if not self.ended.is_set():
            self.reason = reason
            self.dialog.terminate()
            self.media.flush()
            self.ended.set()
            logger.info(f"SIP call {self.id} ended: {reason}")

    def hang_up(self, reason: str = "we hung up") -> None:
        """End the call from our side: BYE when it was answered, a rejection when it still rings. Idempotent."""
        if self.ended.is_set():
            return
        if self.answered_at is not None:
            self._telephone.spawn(self._bye())
        elif self.invite is not None:
            self.respond(self.invite, 480, "Temporarily Unavailable")
        self.end(reason)

    def reject(self, status: int, phrase: str, warning: str = "") -> None:
        """Refuse an incoming call."""
        if self.invite is not None and not self.ended.is_set() and self.answered_at is None:
            self.respond(self.invite, status, phrase, warning=warning)
            self.end(f"refused with {status} {phrase}{': ' if warning else ''}{warning}")

    async def _bye(self) -> None:
        try:
            await self._telephone.wire.ask(self.dialog.create_request("BYE"), self.hop)
        except NoAnswer as error:
            logger.warning(f"SIP call {self.id}: {error}")

    async def _watch_for_silence(self) -> None:
        timeout = self._telephone.settings.rtp_timeout
        while not self.ended.is_set():
            quiet = 0.0 if self.media.on_hold else time.monotonic() - self.media.last_received
            if quiet >= timeout:
                self.hang_up(f"no audio came for {timeout:g} seconds")
                return
            try:
                async with asyncio.timeout(min(timeout - quiet, timeout / 4)):
                    await self.ended.wait()
            except TimeoutError:
                continue

    def respond(
        self, request: SipRequest, status: int, phrase: str, *, body: str = "", warning: str = ""
    ) -> SipResponse:
        """Answer a request of this call."""
        response = self.dialog.create_response(request, status, phrase, contact=self._telephone.contact(self.hop))
        for route in request.headers.get("record-route"):
            response.headers.append("Record-Route", route)
        response.headers.set_single("User-Agent", USER_AGENT)
        response.headers.set_single("Allow", ", ".join(METHODS))
        if warning:
            response.headers.set_single("Warning", f'399 agent "{_quoted(warning)}"')
        if body:
            response.headers.set_single("Content-Type", "application/sdp")
            response.text = body
        self._telephone.wire.respond(request, response)
        return response


def _quoted(text: str) -> str:
    return text.replace("\\", "").replace('"', "'").replace("\r", " ").replace("\n", " ")


def _info_digit(request: SipRequest) -> str | None:
    """The key in a SIP INFO, for phones that send keys that way."""
    for line in request.text.splitlines():
        name, equals, value = line.partition("=")
        key = (value if equals else name).strip().upper()
        if (not equals or name.strip().lower() == "signal") and len(key) == 1 and key in "0123456789*#ABCD":
            return key
    return None
