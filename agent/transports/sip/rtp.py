"""The sound of one call: RTP in and out over a pair of UDP sockets.

Built from aiortp's packets, codecs and telephone events. What is ours is the clock: one packet leaves every 20 ms
whether or not the peer sends anything and whether or not there is something to say, because an answering machine, a
muted phone and a caller on hold are all silent and none of them may stop the agent.
"""

from __future__ import annotations

import asyncio
import random
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from aiortp import (
    DtmfReceiver,
    PcmConcealer,
    RtcpByePacket,
    RtcpSdesPacket,
    RtcpSrPacket,
    RtpPacket,
    get_codec,
    is_rtcp,
)
from aiortp.clock import current_ntp_time
from aiortp.dtmf import DTMF_EVENTS
from aiortp.packet import RtcpSenderInfo, RtcpSourceInfo

from agent.transports.resample import Resampler
from agent.transports.sip.datagrams import bound, listen
from agent.transports.sip.keypress import KeyPress
from agent.transports.sip.reorder import Reorder

FRAME_SECONDS = 0.02
CLOCK_RATE = 8000
"""RTP clock of PCMU, PCMA and, by a historical accident that RFC 3551 keeps, of G.722 too."""
FRAME_TICKS = int(CLOCK_RATE * FRAME_SECONDS)
INPUT_RATE = 16000
"""Hz of the caller's audio as it is handed on, whatever the codec."""
QUEUE_SECONDS = 0.06
"""How far `play` may run ahead of the clock: enough to ride out a busy event loop, little enough to be silent soon."""
INPUT_GAP = 0.1
"""Seconds without a packet until silence is handed on in its place: a turn ends even if the phone stops sending."""
REBIND_SECONDS = 0.2
"""A new source address is believed once the old one has been silent for this long."""
LATE_SECONDS = 0.2
RTCP_SECONDS = 5.0


class NoFreePort(Exception):
    """Every port of the RTP range is taken."""


@dataclass(frozen=True)
class Peer:
    """Where a call's audio goes and how it is coded."""

    address: tuple[str, int]
    payload_type: int
    """0 PCMU, 8 PCMA, 9 G.722."""
    dtmf_payload_type: int | None = None
    """Of RFC 4733 telephone events; None: the peer takes none."""
    sends: bool = True
    """Whether the peer may send; False while it holds us inactive."""
    listens: bool = True
    """Whether the peer wants our audio; False while it has us on hold."""


@dataclass
class RtpStatistics:
    """Counters of one stream."""

    sent: int = 0
    received: int = 0
    lost: int = 0
    """Packets that never came and were concealed."""
    refused: int = 0
    """Datagrams that were malformed or came from a stranger."""
    clock_error: list[float] = field(default_factory=list, repr=False)
    """Seconds by which each of the last 500 packets left late."""


class RtpStream:
    """One call's audio, from the answer to the hang-up.

    Args:
        on_audio: Called with mono s16le PCM at `INPUT_RATE`, about 20 ms at a time and without gaps.
        on_dtmf: Called once for every key the caller presses: `0`-`9`, `*`, `#`, `A`-`D`.
    """

    def __init__(self, on_audio: Callable[[bytes], None], on_dtmf: Callable[[str], None]) -> None:
        self.on_audio = on_audio
        self.on_dtmf = on_dtmf
        self.on_sent: Callable[[bytes, int], None] = lambda pcm, rate: None
        """Called with every 20 ms that leave, silence too: mono s16le PCM and its rate in Hz."""
        self.statistics = RtpStatistics()
        self.port = 0
        self.last_received = 0.0
        """`time.monotonic()` of the last packet, or of the moment the stream was opened or redirected."""
        self._sockets: list[asyncio.DatagramTransport] = []
        self._clock: asyncio.Task[None] | None = None
        self._peer: Peer | None = None
        self._target: tuple[str, int] | None = None
        self._trusted: set[str] = set()
        self._heard_from: tuple[tuple[str, int], int] | None = None
        self._reorder = Reorder()
        self._dtmf_receiver = DtmfReceiver(lambda digit, _: self._digit(digit))
        self._ssrc = random.getrandbits(32)
        self._sequence = random.getrandbits(16)
        self._timestamp = random.getrandbits(32)
        self._talking = False
        self._connected = asyncio.Event()
        self._narrow = Resampler(CLOCK_RATE, CLOCK_RATE)
        self._queue = bytearray()
        self._room = asyncio.Event()
        self._room.set()
        self._keys: deque[str] = deque()
        self._key: KeyPress | None = None
        self._next_report = 0.0

    async def open(self, host: str, ports: tuple[int, int]) -> None:
        """Bind an even RTP port of the inclusive range `ports` and the odd RTCP port above it.

        Raises:
            NoFreePort: There is no free pair in the range.
        """
        pairs = list(range(ports[0] + ports[0] % 2, ports[1], 2))
        random.shuffle(pairs)
        for port in pairs:
            try:
                rtp = bound(host, port)
            except OSError:
                continue
            try:
                rtcp = bound(host, port + 1)
            except OSError:
                rtp.close()
                continue
            self._sockets = [await listen(rtp, self._receive), await listen(rtcp, self._receive_report)]
            self.port = port
            self.last_received = time.monotonic()
            return
        raise NoFreePort(f"no free RTP port between {ports[0]} and {ports[1]}; widen sip.rtp_ports or take fewer calls")

    def connect(self, peer: Peer, trusted: set[str]) -> None:
        """Point the stream at a peer, at the start of a call or after a re-INVITE.

        Args:
            peer: From the negotiated SDP.
            trusted: Hosts besides `peer.address` that audio is accepted from: the signalling peer, whose public address
                is the right one when the SDP was written behind a NAT.
        """
        codec_changes = self._peer is None or self._peer.payload_type != peer.payload_type
        if self._peer is None or self._peer.address != peer.address:
            self._target = peer.address
            self._heard_from = None
        self._peer = peer
        self._trusted = trusted | {peer.address[0]}
        self.last_received = time.monotonic()
        if codec_changes:
            self._codec = get_codec(peer.payload_type)
            self._concealer = PcmConcealer(self._codec.sample_rate)
            self._frame_bytes = int(self._codec.sample_rate * FRAME_SECONDS) * 2
            self._silence = bytes(self._frame_bytes)
            self._widen = Resampler(self._codec.sample_rate, INPUT_RATE)
            self._narrow = Resampler(self._narrow.rate, self._codec.sample_rate)
            self.flush()
        if self._clock is None:
            self._clock = asyncio.create_task(self._run())
        self._connected.set()

    @property
    def codec(self) -> str:
        """Name of the agreed codec."""
        return self._codec.name

    @property
    def takes_keys(self) -> bool:
        """Whether the peer agreed to RFC 4733 telephone events."""
        return self._peer is not None and self._peer.dtmf_payload_type is not None

    @property
    def on_hold(self) -> bool:
        """Whether the peer has stopped listening or sending."""
        return self._peer is not None and not (self._peer.listens and self._peer.sends)

    async def play(self, pcm: bytes, rate: int) -> None:
        """Queue mono s16le audio at any rate; returns once the clock has caught up to within `QUEUE_SECONDS`."""
        await self._connected.wait()
        if not self._sockets:
            return
        if rate != self._narrow.rate:
            self._narrow = Resampler(rate, self._codec.sample_rate)
        self._queue += self._narrow(pcm)
        if len(self._queue) > QUEUE_SECONDS / FRAME_SECONDS * self._frame_bytes:
            self._room.clear()
            await self._room.wait()

    async def drain(self) -> None:
        """Wait until everything queued has been sent."""
        while self._queue or self._keys or self._key:
            self._room.clear()
            await self._room.wait()

    def flush(self) -> None:
        """Forget what is queued: silence from the next packet on."""
        self._queue.clear()
        self._narrow.clear()
        self._room.set()

    def press(self, keys: str) -> None:
        """Send keys as RFC 4733 telephone events, one after the other.

        Raises:
            ValueError: A character is no telephone key, or the peer did not agree to telephone events.
        """
        if bad := [key for key in keys.upper() if key not in DTMF_EVENTS]:
            raise ValueError(f"{bad[0]!r} is not a telephone key; those are 0-9, *, # and A-D")
        if not self.takes_keys:
            raise ValueError("the other side does not take RFC 4733 telephone events")
        self._keys.extend(keys.upper())

    async def close(self) -> None:
        """Stop the clock and free the ports. Idempotent."""
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
            self._send_rtcp(bytes(RtcpByePacket([self._ssrc])))
        self.flush()
        self._keys.clear()
        self._key = None
        for transport in self._sockets:
            transport.close()
        self._sockets.clear()
        self._connected.set()

    # Receiving

    def _receive(self, data: bytes, address: tuple[str, int]) -> None:
        if self._peer is None or is_rtcp(data):
            return
        try:
            packet = RtpPacket.parse(data)
        except (ValueError, struct.error, IndexError):
            self.statistics.refused += 1
            return
        known = packet.payload_type in (self._peer.payload_type, self._peer.dtmf_payload_type, 13)
        if address[0] not in self._trusted or not known or not self._believe(address, packet.ssrc):
            self.statistics.refused += 1
            return
        self.last_received = time.monotonic()
        self.statistics.received += 1
        for ready in self._reorder.push(packet):
            self._consume(ready)

    def _believe(self, address: tuple[str, int], ssrc: int) -> bool:
        """Follow the peer to where it really sends from (symmetric RTP), but let nobody talk over a live stream."""
        source = (address, ssrc)
        if source != self._heard_from:
            if self._heard_from is not None and time.monotonic() - self.last_received < REBIND_SECONDS:
                return False
            self._heard_from = source
            self._target = address
            self._reorder = Reorder()
        return True

    def _consume(self, packet: RtpPacket | None) -> None:
        assert self._peer is not None
        if packet is None:
            self.statistics.lost += 1
            samples = self._concealer.frame_samples
            pcm = self._codec.conceal(samples) or self._concealer.conceal(samples)
        elif packet.payload_type == self._peer.dtmf_payload_type:
            if len(packet.payload) >= 4:
                self._dtmf_receiver.handle_packet(packet)
            return
        elif packet.payload_type == self._peer.payload_type and 0 < len(packet.payload) <= 960:
            pcm = self._codec.decode(packet.payload)
            self._concealer.update(pcm)
        else:
            return
        self._hand_on(pcm)

    def _hand_on(self, pcm: bytes) -> None:
        self.on_audio(self._widen(pcm))

    def _digit(self, digit: str) -> None:
        if digit in DTMF_EVENTS:  # the code space also has hook flash and modem tones
            self.on_dtmf(digit)

    def _receive_report(self, data: bytes, address: tuple[str, int]) -> None:
        """RTCP is received so that nobody gets an ICMP error; its figures are the peer's business."""

    # Sending

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self.last_received = time.monotonic()
        deadline = loop.time()
        while True:
            late = loop.time() - deadline
            self.statistics.clock_error.append(late)
            del self.statistics.clock_error[:-500]
            self._tick()
            deadline += FRAME_SECONDS
            if late > LATE_SECONDS:
                deadline = loop.time() + FRAME_SECONDS  # after a stall go on from now: a burst helps nobody
            await asyncio.sleep(max(0.0, deadline - loop.time()))

    def _tick(self) -> None:
        assert self._peer is not None
        if time.monotonic() - self.last_received > INPUT_GAP:
            self._hand_on(self._silence)
        if self._key is None and self._keys:
            self._key = KeyPress(self._keys.popleft(), self._timestamp)
        if self._key is not None and self._peer.dtmf_payload_type is not None:
            for event, first in self._key.step():
                self._send(self._peer.dtmf_payload_type, event.serialize(), self._key.timestamp, marker=first)
            if self._key.done:
                self._key = None
        else:
            self._send_audio()
        self._timestamp = (self._timestamp + FRAME_TICKS) & 0xFFFFFFFF
        if len(self._queue) <= QUEUE_SECONDS / FRAME_SECONDS * self._frame_bytes:
            self._room.set()
        if time.monotonic() > self._next_report:
            self._next_report = time.monotonic() + RTCP_SECONDS
            self._report()

    def _send_audio(self) -> None:
        assert self._peer is not None
        frame = bytes(self._queue[: self._frame_bytes]).ljust(self._frame_bytes, b"\0")
        talking = bool(self._queue)
        del self._queue[: self._frame_bytes]
        self.on_sent(frame, self._codec.sample_rate)
        payload = self._codec.encode(frame)
        self._send(self._peer.payload_type, payload, self._timestamp, marker=talking and not self._talking)
        self._talking = talking

    def _send(self, payload_type: int, payload: bytes, timestamp: int, *, marker: bool = False) -> None:
        if self._peer is None or not self._peer.listens or not self._sockets:
            return
        packet = RtpPacket(payload_type, int(marker), self._sequence, timestamp, self._ssrc, payload)
        self._sockets[0].sendto(packet.serialize(), self._target)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self.statistics.sent += 1

    def _report(self) -> None:
        """A sender report, so that the peer can line up clocks and see that we live (RFC 3550)."""
        sent = self.statistics.sent
        info = RtcpSenderInfo(current_ntp_time(), self._timestamp, sent & 0xFFFFFFFF, sent * 160 & 0xFFFFFFFF)
        description = RtcpSdesPacket([RtcpSourceInfo(self._ssrc, [(1, b"agent")])])
        self._send_rtcp(bytes(RtcpSrPacket(self._ssrc, info)) + bytes(description))

    def _send_rtcp(self, data: bytes) -> None:
        if self._target is not None and len(self._sockets) == 2:
            self._sockets[1].sendto(data, (self._target[0], min(self._target[1] + 1, 65535)))
