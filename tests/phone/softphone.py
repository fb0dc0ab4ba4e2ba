"""A telephone for tests: SIP written by hand on a UDP socket, sound as bare RTP. It shares no code with the agent."""

import asyncio
import itertools
import random
import re
import socket
import struct
import time

import numpy as np

FRAME = 160


def mulaw(samples):
    """float -1..1 -> G.711 mu-law bytes."""
    x = np.clip(np.asarray(samples) * 32768, -32635, 32635).astype(np.int32)
    sign = (x < 0).astype(np.int32) * 0x80
    x = np.abs(x) + 132
    exponent = np.floor(np.log2(x)).astype(np.int32) - 7
    mantissa = (x >> (exponent + 3)) & 0x0F
    return (~(sign | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8).tobytes()


def linear(payload):
    """G.711 mu-law bytes -> float -1..1."""
    u = ~np.frombuffer(payload, np.uint8).astype(np.int32) & 0xFF
    magnitude = (((u & 0x0F) << 3) + 132 << ((u >> 4) & 7)) - 132
    return np.where(u & 0x80, -magnitude, magnitude) / 32768


def tone(seconds, hertz=440.0, level=0.3):
    return level * np.sin(2 * np.pi * hertz * np.arange(int(8000 * seconds)) / 8000)


class Message:
    def __init__(self, text):
        head, _, self.body = text.partition("\r\n\r\n")
        self.first, *lines = head.split("\r\n")
        self.headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines if ":" in line]

    def __getitem__(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    @property
    def status(self):
        return int(self.first.split()[1]) if self.first.startswith("SIP/2.0") else None

    @property
    def method(self):
        return None if self.first.startswith("SIP/2.0") else self.first.split()[0]


class Wire(asyncio.DatagramProtocol):
    def __init__(self):
        self.arrivals = asyncio.Queue()

    def datagram_received(self, data, addr):
        self.arrivals.put_nowait((time.perf_counter(), data, addr))


class Softphone:
    """One line: use as `async with Softphone(port) as phone`."""

    def __init__(self, agent_port, host="127.0.0.1"):
        self.agent = (host, agent_port)
        self.host = host
        self.user = "agent"
        self.call_id = f"{random.getrandbits(64):x}@test"
        self.tag = f"{random.getrandbits(32):x}"
        self.to_tag = ""
        self.cseq = 0
        self.branch = ""
        self.heard = []
        """(time, sequence, timestamp, payload type, payload, marker) of every RTP packet received."""
        self.stray = []
        self.sequence = random.getrandbits(16)
        self.timestamp = random.getrandbits(32)
        self.ssrc = random.getrandbits(32)
        self.remote = None
        self._tasks = []

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self.transport, self.wire = await loop.create_datagram_endpoint(Wire, local_addr=(self.host, 0))
        self.port = self.transport.get_extra_info("sockname")[1]
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp.bind((self.host, 0))
        self.rtp.setblocking(False)
        self.rtp_port = self.rtp.getsockname()[1]
        loop.add_reader(self.rtp, self._on_rtp)
        return self

    async def __aexit__(self, *_):
        for task in self._tasks:
            task.cancel()
        asyncio.get_running_loop().remove_reader(self.rtp)
        self.rtp.close()
        self.transport.close()

    def _on_rtp(self):
        while True:
            try:
                data = self.rtp.recv(2048)
            except BlockingIOError:
                return
            second, sequence, timestamp = struct.unpack("!BHI", data[1:8])
            self.heard.append((time.perf_counter(), sequence, timestamp, second & 0x7F, data[12:], bool(second & 0x80)))

    # SIP

    def sdp(self, formats="0 101", rtpmaps=("101 telephone-event/8000",), direction="sendrecv", proto="RTP/AVP"):
        lines = ["v=0", f"o=- 1 1 IN IP4 {self.host}", "s=-", f"c=IN IP4 {self.host}", "t=0 0"]
        lines += [f"m=audio {self.rtp_port} {proto} {formats}"]
        lines += [f"a=rtpmap:{m}" for m in rtpmaps] + [f"a={direction}"]
        return "\r\n".join(lines) + "\r\n"

    def request(self, method, body="", *, branch=None, cseq=None, extra=(), content="application/sdp"):
        if cseq is None and method not in ("ACK", "CANCEL"):
            self.cseq += 1
        self.branch = branch or f"z9hG4bK{random.getrandbits(64):x}"
        to_tag = f";tag={self.to_tag}" if self.to_tag and method != "CANCEL" else ""
        lines = [
            f"{method} sip:{self.user}@{self.agent[0]}:{self.agent[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.host}:{self.port};branch={self.branch};rport",
            f"From: <sip:tester@{self.host}>;tag={self.tag}",
            f"To: <sip:{self.user}@{self.agent[0]}>{to_tag}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {cseq or self.cseq} {method}",
            f"Contact: <sip:tester@{self.host}:{self.port}>",
            "Max-Forwards: 70",
            *extra,
        ]
        if body:
            lines.append(f"Content-Type: {content}")
        lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines) + "\r\n\r\n" + body

    def send(self, text):
        self.transport.sendto(text.encode() if isinstance(text, str) else text, self.agent)

    async def receive(self, timeout=10.0):
        async with asyncio.timeout(timeout):
            _, data, self.source = await self.wire.arrivals.get()
        return Message(data.decode())

    async def expect(self, *wanted, timeout=10.0):
        """The next message with one of these statuses or methods; others are kept in `stray`."""
        async with asyncio.timeout(timeout):
            while True:
                message = await self.receive(timeout)
                if message.status in wanted or message.method in wanted:
                    return message
                self.stray.append(message)

    def reply(self, request, status="200 OK", body="", to_tag=None):
        lines = [f"SIP/2.0 {status}"]
        for key, value in request.headers:
            if key.lower() in ("via", "from", "call-id", "cseq"):
                lines.append(f"{key}: {value}")
            elif key.lower() == "to":
                lines.append(f"To: {value}" + (f";tag={to_tag}" if to_tag else ""))
        lines += [f"Contact: <sip:tester@{self.host}:{self.port}>"]
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body)}")
        self.transport.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), self.source)

    def challenge(self, request):
        """Ask for a password."""
        lines = ["SIP/2.0 401 Unauthorized"]
        for key, value in request.headers:
            if key.lower() in ("via", "from", "to", "call-id", "cseq"):
                lines.append(f"{key}: {value}" + (";tag=asker" if key.lower() == "to" else ""))
        challenge = 'Digest realm="test", nonce="n0nce", algorithm=MD5, qop="auth"'
        lines += [f"WWW-Authenticate: {challenge}", "Content-Length: 0"]
        self.transport.sendto(("\r\n".join(lines) + "\r\n\r\n").encode(), self.source)

    async def invite(self, body=None, *, ack=True, timeout=15.0, extra=()):
        """Call and be answered. Returns the 200."""
        self.send(self.request("INVITE", self.sdp() if body is None else body, extra=extra))
        answer = await self.expect(200, 400, 420, 481, 486, 488, 503, timeout=timeout)
        self.to_tag = re.search(r"tag=([^;]+)", answer["To"]).group(1)
        if answer.status == 200:
            if answer.body:
                self.follow(answer.body)
            if ack:
                self.send(self.request("ACK"))
        return answer

    def follow(self, sdp):
        port = int(re.search(r"m=audio (\d+)", sdp).group(1))
        self.remote = (re.search(r"c=IN IP4 (\S+)", sdp).group(1), port)

    async def bye(self):
        self.send(self.request("BYE"))
        return await self.expect(200)

    # Sound

    def packet(self, payload, payload_type=0, *, sequence=None, timestamp=None, marker=False):
        sequence = self.sequence if sequence is None else sequence
        timestamp = self.timestamp if timestamp is None else timestamp
        numbers = (sequence & 0xFFFF, timestamp & 0xFFFFFFFF, self.ssrc)
        return struct.pack("!BBHII", 0x80, marker << 7 | payload_type, *numbers) + payload

    def send_rtp(self, data):
        self.rtp.sendto(data, self.remote)

    async def speak(self, samples, payload_type=0):
        """Send 8 kHz samples in real time; returns (time, sequence) of every packet."""
        coded = samples if isinstance(samples, bytes) else mulaw(samples)
        sent = []
        began = time.perf_counter()
        for number in range(len(coded) // FRAME):
            await asyncio.sleep(max(0.0, began + number * 0.02 - time.perf_counter()))
            sent.append((time.perf_counter(), self.sequence))
            self.send_rtp(self.packet(coded[number * FRAME : (number + 1) * FRAME], payload_type))
            self.advance()
        return sent

    def advance(self):
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.timestamp = (self.timestamp + FRAME) & 0xFFFFFFFF

    async def press(self, keys, payload_type=101):
        """RFC 4733 events as a phone sends them, with everything sent twice out of caution."""
        for key in keys:
            code = "0123456789*#ABCD".index(key)
            for step in range(1, 11):
                ending = step > 8
                event = struct.pack("!BBH", code, 0x80 * ending | 10, min(step, 8) * FRAME)
                self.send_rtp(self.packet(event, payload_type, marker=step == 1))
                self.sequence = (self.sequence + 1) & 0xFFFF
                await asyncio.sleep(0.02)
            self.timestamp = (self.timestamp + 12 * FRAME) & 0xFFFFFFFF

    def levels(self):
        """(time, RMS) of every mu-law packet heard."""
        return [(at, float(np.sqrt(np.mean(linear(p) ** 2)))) for at, _, _, kind, p, _ in self.heard if kind == 0 and p]

    async def until_heard(self, wanted, timeout=15.0):
        """Wait until a packet's (time, RMS) satisfies `wanted`; returns the time it came."""
        async with asyncio.timeout(timeout):
            for index in itertools.count():
                while len(self.heard) <= index:
                    await asyncio.sleep(0.005)
                at, _, _, kind, payload, _ = self.heard[index]
                if kind == 0 and payload and wanted(at, float(np.sqrt(np.mean(linear(payload) ** 2)))):
                    return at
