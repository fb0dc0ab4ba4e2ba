"""A SIP telephone: answers, places and registers, and keeps the list of its calls."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from aiosipua.auth import SipDigestAuth, answer_challenge
from aiosipua.dialog import Dialog, create_dialog_from_request
from aiosipua.headers import SipUri, parse_uri, stringify_uri
from aiosipua.message import SipRequest, SipResponse
from aiosipua.utils import format_addr, generate_call_id, generate_tag
from loguru import logger

from agent.transports.sip.call import METHODS, USER_AGENT, SipCall
from agent.transports.sip.rtp import NoFreePort
from agent.transports.sip.sdp import MalformedSdp, NotAcceptable, installed
from agent.transports.sip.wire import Hop, NoAnswer, SipWire

if TYPE_CHECKING:
    from agent.settings import SipSettings

REASONS = {
    "busy": (486, 600),
    "declined": (403, 603),
    "not found": (404, 410, 484, 604),
    "no answer": (408, 480, 487),
    "no common codec": (415, 488, 606),
    "not authorised": (401, 407),
}

CLOSE_SECONDS = 0.4
"""Time for the last BYEs, and for signing off, to be answered."""


class CallFailed(Exception):
    """An outgoing call was not answered.

    Attributes:
        status: SIP status code; 0 when no response came at all.
        outcome: `busy`, `declined`, `not found`, `no answer`, `no common codec`, `not authorised` or `failed`.
    """

    def __init__(self, status: int, phrase: str) -> None:
        self.status = status
        self.outcome = next((word for word, codes in REASONS.items() if status in codes), "failed")
        super().__init__(f"{self.outcome} ({status} {phrase})" if status else f"{self.outcome} ({phrase})")


class SipEndpoint:
    """Listens on one address for calls and places others from it.

    Args:
        settings: See there.
        on_call: Awaited for every incoming call that can be taken, while it rings; it answers the call or rejects it.
            When it returns the call is hung up.
    """

    def __init__(self, settings: SipSettings, on_call: Callable[[SipCall], Awaitable[None]]) -> None:
        self.settings = settings
        self.calls: dict[str, SipCall] = {}
        self.codecs = installed(settings.codecs)
        self.registered = asyncio.Event()
        host, _, port = settings.listen.rpartition(":")
        self.wire = SipWire(
            host.strip("[]"),
            int(port),
            list(settings.allow),
            self._request,
            advertise=settings.advertise,
            tcp=settings.tcp,
        )
        self._on_call = on_call
        self._registration: Dialog | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def start(self) -> None:
        """Bind, and register where the settings say so. Raises OSError when the address is taken."""
        await self.wire.start()
        logger.info(
            f"SIP: listening on {self.wire.host}:{self.wire.port} ({'UDP and TCP' if self.settings.tcp else 'UDP'})"
        )
        if self.settings.register_as:
            self.spawn(self._stay_registered())

    async def close(self) -> None:
        """Hang up everywhere, sign off from the registrar and free the address."""
        self._closing = True
        for call in list(self.calls.values()):
            call.hang_up("the agent was shut down")
        if self.registered.is_set():
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._register(0)
            except (TimeoutError, NoAnswer, CallFailed, OSError) as error:
                logger.debug(f"SIP: could not sign off: {error}")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.wire.close()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something for as long as the endpoint lives."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("SIP: a call failed")

    def contact(self, hop: Hop) -> str:
        """Where a peer on that hop reaches us."""
        transport = ";transport=tcp" if hop.protocol == "tcp" else ""
        return f"<sip:agent@{format_addr(self.wire.advertise, self.wire.port)}{transport}>"

    # Incoming

    def _request(self, request: SipRequest, hop: Hop) -> None:
        call = self.calls.get(request.call_id or "")
        in_dialog = bool(request.to_addr and request.to_addr.tag)
        if request.method == "CANCEL":
            self._cancelled(request)
        elif request.method == "OPTIONS":
            self._reply(request, 200, "OK")
        elif request.method not in METHODS:
            self._reply(request, 405, "Method Not Allowed")
        elif call is not None and in_dialog and call.belongs(request):
            call.handle(request)
        elif request.method == "ACK":
            pass  # of a call that is over; an ACK is never answered
        elif request.method != "INVITE" or in_dialog:
            self._reply(request, 481, "Call/Transaction Does Not Exist")
        elif call is not None:
            self._reply(request, 482, "Loop Detected")
        elif required := request.headers.get("require"):
            self._reply(request, 420, "Bad Extension", {"Unsupported": ", ".join(required)})
        elif self._closing or len(self.calls) >= self.settings.max_calls:
            self._reply(request, 486, "Busy Here")
        else:
            call = SipCall(self, create_dialog_from_request(request), hop, "in")
            self.calls[call.id] = call
            self.spawn(self._incoming(call, request))

    async def _incoming(self, call: SipCall, invite: SipRequest) -> None:
        try:
            call.invite = invite
            call.respond(invite, 100, "Trying")
            await call.open()
            call.ring(invite)
            logger.info(f"SIP call {call.id} from {call.caller} at {call.hop.host}")
            await self._on_call(call)
            call.hang_up()
        except MalformedSdp as error:
            call.reject(400, "Bad Request", str(error))
        except NotAcceptable as error:
            call.reject(488, "Not Acceptable Here", str(error))
        except NoFreePort as error:
            logger.error(f"SIP: {error}")
            call.reject(503, "Service Unavailable")
        finally:
            await self.release(call)

    async def release(self, call: SipCall) -> None:
        """Hang up and free the call's ports. Idempotent."""
        call.hang_up("the conversation ended")
        await call.media.close()
        self.calls.pop(call.id, None)

    def _cancelled(self, cancel: SipRequest) -> None:
        invite = self.wire.invite_of(cancel)
        call = self.calls.get(cancel.call_id or "")
        if invite is None or call is None:
            self._reply(cancel, 481, "Call/Transaction Does Not Exist")
            return
        self._reply(cancel, 200, "OK")
        if call.answered_at is None and not call.ended.is_set():
            call.respond(invite, 487, "Request Terminated")
            call.end("the caller gave up")

    def _reply(self, request: SipRequest, status: int, phrase: str, headers: dict[str, str] | None = None) -> None:
        """Answer a request that belongs to no call."""
        dialog = Dialog(call_id=request.call_id or "", local_tag=generate_tag())
        response = dialog.create_response(request, status, phrase)
        extra = {"Allow": ", ".join(METHODS), "Accept": "application/sdp", "User-Agent": USER_AGENT} | (headers or {})
        for name, value in extra.items():
            response.headers.set_single(name, value)
        self.wire.respond(request, response)

    # Outgoing

    async def dial(self, uri: str, ring_timeout: float | None = None) -> SipCall:
        """Place a call and wait until it is answered. Whoever called this hangs it up with `release`.

        Args:
            uri: `sip:user@host[:port][;transport=tcp]`.
            ring_timeout: Seconds; None: as in the settings.

        Raises:
            CallFailed: Busy, declined, not answered, or unreachable.
        """
        target = parse_uri(uri)
        if not uri.startswith("sip:") or not target.host or any(c.isspace() or c in "<>" for c in uri):
            raise CallFailed(
                0, f"{uri!r} is not a SIP address; write sip:user@host, or sip:user@host:port;transport=tcp"
            )
        if self._closing or len(self.calls) >= self.settings.max_calls:
            raise CallFailed(0, f"all {self.settings.max_calls} lines are in use")
        hop = await self._resolve(parse_uri(self.settings.proxy) if self.settings.proxy else target)
        dialog = Dialog(
            call_id=generate_call_id(self.wire.advertise),
            local_tag=generate_tag(),
            local_uri=self.settings.register_as or f"sip:agent@{format_addr(self.wire.advertise, self.wire.port)}",
            remote_uri=uri,
            remote_target=uri,
        )
        call = SipCall(self, dialog, hop, "out")
        self.calls[call.id] = call
        try:
            await call.open()
            await self._invite(call, ring_timeout or self.settings.ring_timeout)
        except (NoAnswer, NoFreePort) as error:
            await self.release(call)
            raise CallFailed(0, str(error)) from None
        except BaseException:
            await self.release(call)
            raise
        return call

    async def _invite(self, call: SipCall, ring_timeout: float) -> None:
        invite = self._request_with_offer(call)
        response = await self._ring(call, invite, ring_timeout)
        if response.status_code in (401, 407) and (proof := self._proof(response, "INVITE", invite.uri)):
            invite = self._request_with_offer(call)
            invite.headers.set_single(*proof)
            response = await self._ring(call, invite, ring_timeout)
        if response.status_code >= 300:
            raise CallFailed(response.status_code, response.reason_phrase)
        self._confirm(call, invite, response)
        try:
            call.answered(response)
        except (MalformedSdp, NotAcceptable) as error:
            raise CallFailed(488, str(error)) from None

    async def _ring(self, call: SipCall, invite: SipRequest, ring_timeout: float) -> SipResponse:
        asking = asyncio.create_task(self.wire.ask(invite, call.hop))
        try:
            done, _ = await asyncio.wait({asking}, timeout=ring_timeout)
            if done:
                return asking.result()
            raise CallFailed(408, f"nobody picked up in {ring_timeout:g} seconds")
        except BaseException:
            if not asking.done():
                self.wire.cancel(invite, call.hop)
                self.spawn(self._see_off(call, invite, asking))
            raise

    async def _see_off(self, call: SipCall, invite: SipRequest, asking: asyncio.Task[SipResponse]) -> None:
        """After a CANCEL: should the other side have picked up at that very moment, it must still be told."""
        try:
            response = await asking
        except NoAnswer:
            return
        if response.status_code < 300:
            self._confirm(call, invite, response)
            await self.wire.ask(call.dialog.create_request("BYE"), call.hop)

    def _confirm(self, call: SipCall, invite: SipRequest, response: SipResponse) -> None:
        dialog = call.dialog
        if response.to_addr and response.to_addr.tag:
            dialog.remote_tag = response.to_addr.tag
        if response.contact:
            dialog.remote_target = stringify_uri(response.contact[0].uri)
        dialog.route_set = list(reversed(response.headers.get("record-route")))
        dialog.confirm()
        ack = dialog.create_request("ACK")
        ack.headers.set_single("CSeq", f"{(invite.get_header('cseq') or '1').split()[0]} ACK")
        self.wire.acknowledge(invite, ack, call.hop)

    def _request_with_offer(self, call: SipCall) -> SipRequest:
        invite = call.dialog.create_request("INVITE")
        for name, value in {
            "Contact": self.contact(call.hop),
            "Allow": ", ".join(METHODS),
            "User-Agent": USER_AGENT,
            "Content-Type": "application/sdp",
        }.items():
            invite.headers.set_single(name, value)
        invite.text = call.session.offer()
        return invite

    def _proof(self, response: SipResponse, method: str, uri: str) -> tuple[str, str] | None:
        password = self.settings.password
        if password is None:
            return None
        user = self.settings.username or parse_uri(self.settings.register_as or "").user or ""
        auth = SipDigestAuth(user, password.get_secret_value())
        return answer_challenge(auth, response, response.status_code, method, uri)

    async def _resolve(self, uri: SipUri) -> Hop:
        protocol = "tcp" if (uri.params.get("transport") or "").lower() == "tcp" else "udp"
        family = socket.AF_INET6 if ":" in self.wire.host else socket.AF_INET
        try:
            found = await asyncio.get_running_loop().getaddrinfo(uri.host.strip("[]"), uri.port or 5060, family=family)
        except OSError as error:
            raise CallFailed(0, f"{uri.host} cannot be found: {error}") from None
        return Hop(protocol, *found[0][4][:2])  # type: ignore[arg-type]

    # Registration

    async def _stay_registered(self) -> None:
        wait = 5.0
        while True:
            try:
                granted = await self._register(self.settings.register_seconds)
                self.registered.set()
                wait = 5.0
                await asyncio.sleep(max(5.0, granted * 0.9))
            except (NoAnswer, CallFailed) as error:
                self.registered.clear()
                logger.error(f"SIP: registration of {self.settings.register_as} failed: {error}; again in {wait:g} s")
                await asyncio.sleep(wait)
                wait = min(wait * 2, 300.0)

    async def _register(self, seconds: int) -> int:
        address = self.settings.register_as or ""
        uri = parse_uri(address)
        hop = await self._resolve(parse_uri(self.settings.proxy) if self.settings.proxy else uri)
        if not self.wire.allows(hop.host):
            self.wire.allow.append(ipaddress.ip_network(hop.host))  # or the calls we register for could not come in
        if self._registration is None:
            self._registration = Dialog(
                call_id=generate_call_id(self.wire.advertise),
                local_tag=generate_tag(),
                local_uri=address,
                remote_uri=address,
                remote_target=stringify_uri(SipUri(host=uri.host, port=uri.port)),
            )
        proof = None
        for _ in range(2):
            request = self._registration.create_request("REGISTER")
            request.headers.set_single("Contact", self.contact(hop))
            request.headers.set_single("Expires", str(seconds))
            if proof:
                request.headers.set_single(*proof)
            response = await self.wire.ask(request, hop)
            if response.status_code not in (401, 407):
                break
            proof = self._proof(response, "REGISTER", request.uri)
            if proof is None:
                break
        if response.status_code >= 300:
            raise CallFailed(response.status_code, response.reason_phrase)
        expires = next((c.params.get("expires") for c in response.contact if c.params.get("expires")), None)
        granted = expires or response.get_header("expires") or ""
        return int(granted) if granted.isdecimal() else seconds
