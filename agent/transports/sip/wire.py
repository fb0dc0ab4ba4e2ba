"""SIP messages on the wire: one address over UDP and TCP, with the transactions of RFC 3261, section 17.

aiosipua parses and writes the messages. Here they are sent until answered, answered again when the same request comes
twice, and dropped when they are malformed or come from an address that nobody allowed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from aiosipua.headers import Via, parse_via, stringify_via
from aiosipua.message import SipMessage, SipRequest, SipResponse, missing_required_headers
from loguru import logger

from agent.transports.sip.datagrams import bound, listen

T1 = 0.5
"""Seconds: the round-trip time that RFC 3261 assumes."""
T2 = 4.0
LIFETIME = 64 * T1
"""Seconds that an unanswered request is repeated and an answered one remembered."""
MAX_TRANSACTIONS = 2000
MAX_CONNECTIONS = 100
MAX_HEADER = 64 * 1024
MAX_BODY = 64 * 1024
IDLE_CONNECTION = 600.0

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Hop(NamedTuple):
    """The next machine along the way."""

    protocol: Literal["udp", "tcp"]
    host: str
    port: int


class NoAnswer(Exception):
    """A request was repeated for 32 seconds and nobody answered, or the connection cannot be made."""


@dataclass
class _Served:
    """A request that came in, and what it was answered."""

    request: SipRequest
    hop: Hop
    born: float = field(default_factory=time.monotonic)
    response: bytes | None = None
    repeating: asyncio.TimerHandle | None = None


@dataclass
class _Asked:
    """A request of ours that waits for its final response."""

    request: SipRequest
    hop: Hop
    final: asyncio.Future[SipResponse]
    on_provisional: Callable[[SipResponse], None] | None = None
    provisional: bool = False
    acknowledgement: bytes | None = None


class SipWire:
    """The sockets and transactions of one SIP address.

    Args:
        host: Address to bind.
        port: Port to bind, the same for UDP and TCP; 0 picks one.
        allow: Networks that requests are taken from; may grow while the line is open.
        advertise: Host that peers reach us at; None: `host`.
        on_request: Called for every new request and every ACK to a 2xx, with where it came from.
        tcp: Whether to listen on TCP too.
    """

    def __init__(
        self,
        host: str,
        port: int,
        allow: list[Network],
        on_request: Callable[[SipRequest, Hop], None],
        *,
        advertise: str | None = None,
        tcp: bool = True,
    ) -> None:
        self.host = host
        self.advertise = advertise or host
        self.port = port
        self.refused = 0
        """Messages dropped: malformed, or from a stranger."""
        self.allow = allow
        self._on_request = on_request
        self._tcp = tcp
        self._bound: list[socket.socket] = []
        self._udp: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._connections: dict[Hop, asyncio.StreamWriter] = {}
        self._readers: set[asyncio.Task[None]] = set()
        self._served: OrderedDict[tuple[str, str], _Served] = OrderedDict()
        self._asked: dict[tuple[str, str], _Asked] = {}

    def bind(self) -> None:
        """Take the address, so that it is known to be free before all else begins. Raises OSError when it is not."""
        if self._bound:
            return
        self._bound.append(bound(self.host, self.port))
        self.port = self._bound[0].getsockname()[1]
        if self._tcp:
            self._bound.append(bound(self.host, self.port, socket.SOCK_STREAM))

    async def start(self) -> None:
        """Listen. Raises OSError when the address is not free."""
        self.bind()
        udp, *tcp = self._bound
        self._udp = await listen(udp, self._datagram)
        for made in tcp:
            self._server = await asyncio.start_server(self._connected, sock=made, limit=MAX_HEADER)

    async def close(self) -> None:
        """Close every socket; requests still waiting end in `NoAnswer`."""
        for served in self._served.values():
            if served.repeating:
                served.repeating.cancel()
        for asked in self._asked.values():
            if not asked.final.done():
                asked.final.set_exception(NoAnswer("the phone line was closed"))
        if self._server is not None:
            self._server.close()
        for task in list(self._readers):
            task.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        if self._udp is not None:
            self._udp.close()

    # Requests that come in

    def respond(self, request: SipRequest, response: SipResponse) -> None:
        """Send a response the way its request came, and again whenever the request is repeated."""
        served = self._served.get(_key(request))
        if served is None:
            return  # so old that its transaction is forgotten
        served.response = bytes(response)
        self._send(served.response, served.hop)
        if request.method == "INVITE" and response.status_code >= 300 and served.hop.protocol == "udp":
            self._repeat_rejection(served, T1)

    def invite_of(self, cancel: SipRequest) -> SipRequest | None:
        """The INVITE that a CANCEL means: the one with the same branch."""
        served = self._served.get((_branch(cancel), "INVITE"))
        return served.request if served else None

    def _repeat_rejection(self, served: _Served, interval: float) -> None:
        def again() -> None:
            if time.monotonic() - served.born < LIFETIME and served.response is not None:
                self._send(served.response, served.hop)
                self._repeat_rejection(served, min(interval * 2, T2))

        served.repeating = asyncio.get_running_loop().call_later(interval, again)

    def _request(self, request: SipRequest, hop: Hop) -> None:
        if request.method == "ACK":
            invite = self._served.get((_branch(request), "INVITE"))
            if invite is not None and invite.repeating is not None:
                invite.repeating.cancel()  # this ACK closes a rejection and concerns nobody else
                return
            self._on_request(request, hop)
            return
        key = _key(request)
        served = self._served.get(key)
        if served is not None:
            if served.response is not None:
                self._send(served.response, served.hop)
            return
        self._forget_old()
        self._served[key] = _Served(request, hop)
        self._on_request(request, hop)

    def _forget_old(self) -> None:
        now = time.monotonic()
        while self._served:
            key, oldest = next(iter(self._served.items()))
            if now - oldest.born < LIFETIME and len(self._served) < MAX_TRANSACTIONS:
                break
            if oldest.repeating is not None:
                oldest.repeating.cancel()
            del self._served[key]

    # Requests that go out

    async def ask(
        self, request: SipRequest, hop: Hop, on_provisional: Callable[[SipResponse], None] | None = None
    ) -> SipResponse:
        """Send a request until it is answered.

        Args:
            request: Complete but for the Via, which is added here.
            hop: Where to.
            on_provisional: Called with every 1xx response.

        Raises:
            NoAnswer: See there.
        """
        await self._reach(hop)
        self.add_via(request, hop)
        asked = _Asked(request, hop, asyncio.get_running_loop().create_future(), on_provisional)
        key = _key(request)
        self._asked[key] = asked
        try:
            return await self._until_final(asked)
        finally:
            if request.method == "INVITE":  # a late 2xx must still be acknowledged
                asyncio.get_running_loop().call_later(LIFETIME, self._asked.pop, key, None)
            else:
                self._asked.pop(key, None)

    async def _until_final(self, asked: _Asked) -> SipResponse:
        data, interval, began = bytes(asked.request), T1, time.monotonic()
        self._send(data, asked.hop)
        invite = asked.request.method == "INVITE"
        while True:
            try:
                async with asyncio.timeout(interval):
                    return await asyncio.shield(asked.final)
            except TimeoutError:
                if time.monotonic() - began > LIFETIME and not (invite and asked.provisional):
                    raise NoAnswer(f"{asked.hop.host}:{asked.hop.port} did not answer {asked.request.method}") from None
            if asked.hop.protocol == "udp" and not (invite and asked.provisional):
                self._send(data, asked.hop)
            interval = min(interval * 2, T2)

    def cancel(self, request: SipRequest, hop: Hop) -> SipRequest:
        """The CANCEL of an INVITE of ours, already sent: same branch, same numbers."""
        cancel = SipRequest(method="CANCEL", uri=request.uri)
        cancel.headers.append("Via", request.headers.get("via")[0])
        for name in ("From", "To", "Call-ID", "Max-Forwards"):
            cancel.headers.set_single(name, request.get_header(name) or "")
        cancel.headers.set_single("CSeq", f"{(request.get_header('cseq') or '1').split()[0]} CANCEL")
        for route in request.headers.get("route"):
            cancel.headers.append("Route", route)
        self._send(bytes(cancel), hop)
        return cancel

    def acknowledge(self, invite: SipRequest, ack: SipRequest, hop: Hop) -> None:
        """Send the ACK of a 2xx, and again whenever the 2xx is repeated."""
        self.add_via(ack, hop)
        data = bytes(ack)
        if (asked := self._asked.get(_key(invite))) is not None:
            asked.acknowledgement = data
        self._send(data, hop)

    def add_via(self, request: SipRequest, hop: Hop) -> None:
        """Put our Via with a fresh branch on a request."""
        params: dict[str, str | None] = {"branch": f"z9hG4bK{os.urandom(8).hex()}", "rport": None}
        request.headers.remove("Via")
        request.headers.append(
            "Via", stringify_via(Via("SIP/2.0", hop.protocol.upper(), self.advertise, self.port, params))
        )

    def _response(self, response: SipResponse) -> None:
        cseq = response.cseq
        asked = self._asked.get((_branch(response), cseq.method if cseq else ""))
        if asked is None:
            return
        if response.status_code < 200:
            asked.provisional = True
            if asked.on_provisional:
                asked.on_provisional(response)
            return
        if asked.request.method == "INVITE":
            if response.status_code >= 300:
                self._send(bytes(_rejection_ack(asked.request, response)), asked.hop)
            elif asked.final.done() and asked.acknowledgement:
                self._send(asked.acknowledgement, asked.hop)
        if not asked.final.done():
            asked.final.set_result(response)

    # Sockets

    def allows(self, host: str) -> bool:
        """Whether an IP address may talk to us."""
        return any(ipaddress.ip_address(host) in network for network in self.allow)

    def _datagram(self, data: bytes, address: tuple[str, int]) -> None:
        if data.strip(b"\r\n\0"):  # keep-alives are nothing but these
            self._take(data, Hop("udp", *address))

    def _take(self, data: bytes, hop: Hop) -> None:
        """Handle one message from outside: nothing in it may bring the line down."""
        try:
            message = SipMessage.parse(data)
            if isinstance(message, SipResponse):
                self._response(message)
            elif missing := missing_required_headers(message):
                raise ValueError(f"no {', '.join(missing)} header")
            elif not self.allows(hop.host):
                raise ValueError("the address is not in sip.allow")
            else:
                _stamp(message, hop)
                self._request(message, hop)
        except Exception as error:
            self.refused += 1
            logger.debug(f"SIP: dropped {len(data)} bytes from {hop.host}:{hop.port}: {error!r}")

    def _send(self, data: bytes, hop: Hop) -> None:
        if hop.protocol == "udp":
            if self._udp is not None and not self._udp.is_closing():
                self._udp.sendto(data, (hop.host, hop.port))
        elif (writer := self._connections.get(hop)) is not None:
            writer.write(data)

    async def _reach(self, hop: Hop) -> None:
        if hop.protocol == "udp" or hop in self._connections:
            return
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection(hop.host, hop.port, limit=MAX_HEADER)
        except (OSError, TimeoutError) as error:
            raise NoAnswer(f"cannot connect to {hop.host}:{hop.port} over TCP: {error or 'timed out'}") from None
        self._connections[hop] = writer
        task = asyncio.create_task(self._read(reader, writer, hop))
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hop = Hop("tcp", *writer.get_extra_info("peername")[:2])
        if not self.allows(hop.host) or len(self._connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._connections[hop] = writer
        task = asyncio.current_task()
        assert task is not None
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)
        await self._read(reader, writer, hop)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hop: Hop) -> None:
        try:
            while True:
                async with asyncio.timeout(IDLE_CONNECTION):
                    head = (await reader.readuntil(b"\r\n\r\n")).lstrip(b"\r\n")
                    if not head:
                        writer.write(b"\r\n")  # a keep-alive ping, and its pong (RFC 5626)
                        continue
                    length = SipMessage.parse(head).content_length
                    if not 0 <= length <= MAX_BODY:
                        raise ValueError(f"Content-Length {length}")
                    self._take(head + await reader.readexactly(length), hop)
        except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError) as error:
            logger.debug(f"SIP: connection from {hop.host}:{hop.port} ends: {error!r}")
        finally:
            self._connections.pop(hop, None)
            writer.close()


def _stamp(request: SipRequest, hop: Hop) -> None:
    """Note in the topmost Via where the request really came from (RFC 3581)."""
    vias = request.headers.get("via")
    via = parse_via(vias[0])
    via.params["received"] = hop.host
    if "rport" in via.params:
        via.params["rport"] = str(hop.port)
    vias[0] = stringify_via(via)


def _branch(message: SipMessage) -> str:
    via = parse_via(message.headers.get("via")[0])
    # Before RFC 3261 there were no branches; call and sequence number then have to do.
    return f"{via.host}:{via.port}:{via.branch}" if via.branch else f"{message.call_id} {message.get_header('cseq')}"


def _key(message: SipRequest) -> tuple[str, str]:
    return _branch(message), message.method


def _rejection_ack(invite: SipRequest, response: SipResponse) -> SipRequest:
    """The ACK of a 3xx to 6xx is part of the INVITE's own transaction and has its branch."""
    ack = SipRequest(method="ACK", uri=invite.uri)
    ack.headers.append("Via", invite.headers.get("via")[0])
    for name, source in (("From", invite), ("To", response), ("Call-ID", invite)):
        ack.headers.set_single(name, source.get_header(name) or "")
    ack.headers.set_single("CSeq", f"{(invite.get_header('cseq') or '1').split()[0]} ACK")
    ack.headers.set_single("Max-Forwards", "70")
    return ack
