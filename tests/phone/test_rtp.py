"""The media path piece by piece: resampling, level, order, and the stream over real sockets."""

import asyncio
import itertools
import random
import socket
import struct
import time

import numpy as np
import pytest
from aiortp import RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from agent.transports.loudness import TARGET, Loudness
from agent.transports.resample import Resampler
from agent.transports.sip.reorder import Reorder
from agent.transports.sip.rtp import INPUT_RATE, NoFreePort, Peer, RtpStream
from tests.agent_process import free_ports
from tests.phone.softphone import linear, mulaw, tone


def pcm(samples):
    return (np.asarray(samples) * 32767).astype(np.int16).tobytes()


def sine(hertz, rate, seconds=0.5, level=0.3):
    return level * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def decibel(data, rate, hertz):
    """Level of one frequency in s16le PCM, dB relative to full scale, edges left out."""
    x = np.frombuffer(data, np.int16)[rate // 10 : -rate // 10] / 32768
    x = x * np.hanning(len(x))
    phase = np.exp(-2j * np.pi * hertz * np.arange(len(x)) / rate)
    return 20 * np.log10(4 * abs(x @ phase) / len(x) + 1e-9)


class TestResampler:
    @pytest.mark.parametrize(("rate", "to"), [(24000, 8000), (24000, 16000), (16000, 8000), (8000, 16000)])
    def test_speech_passes_untouched_and_nothing_folds_back(self, rate, to):
        nyquist = min(rate, to) / 2
        speech = Resampler(rate, to)(pcm(sine(0.8 * nyquist, rate)))
        assert decibel(speech, to, 0.8 * nyquist) == pytest.approx(20 * np.log10(0.3), abs=0.1)
        if to < rate:
            beyond = 1.3 * nyquist
            folded = Resampler(rate, to)(pcm(sine(beyond, rate)))
            assert decibel(folded, to, 2 * nyquist - beyond) < -65
        else:
            image = 2 * nyquist - 0.5 * nyquist
            assert decibel(Resampler(rate, to)(pcm(sine(0.5 * nyquist, rate))), to, image) < -65

    @given(st.lists(st.integers(0, 700), min_size=1, max_size=20), st.sampled_from([(24000, 8000), (8000, 16000)]))
    def test_the_cuts_between_pieces_cannot_be_heard(self, cuts, rates):
        signal = pcm(np.random.default_rng(1).uniform(-0.5, 0.5, sum(cuts)))
        whole, pieces = Resampler(*rates), Resampler(*rates)
        edges = np.cumsum([0, *cuts]) * 2
        joined = b"".join(pieces(signal[a:b]) for a, b in itertools.pairwise(edges))
        assert joined == whole(signal)

    def test_a_live_line_is_not_held_back(self):
        resampler = Resampler(8000, INPUT_RATE)
        for _ in range(5):
            assert len(resampler(bytes(320))) == 640
        loud = np.frombuffer(resampler(pcm(np.full(160, 0.5))), np.int16)
        assert np.argmax(np.abs(loud) > 8000) / INPUT_RATE < 0.005


class TestLoudness:
    @pytest.mark.parametrize("level", [0.02, 0.08, 0.4])
    async def test_quiet_and_loud_voices_come_out_alike(self, level):
        filter_ = Loudness()
        await filter_.start(24000)
        voice = sine(300, 24000, 4, level * 2**0.5)
        out = b"".join([await filter_.filter(pcm(voice[n : n + 480])) for n in range(0, len(voice), 480)])
        end = np.frombuffer(out, np.int16)[-24000:] / 32768
        assert 20 * np.log10(np.sqrt(np.mean(end**2))) == pytest.approx(TARGET, abs=3.1)
        assert np.abs(end).max() < 0.9

    async def test_pauses_are_not_pumped_up(self):
        filter_ = Loudness()
        await filter_.start(8000)
        for _ in range(100):
            await filter_.filter(pcm(sine(300, 8000, 0.02, 0.1)))
        hiss = pcm(np.random.default_rng(2).normal(0, 0.001, 160))
        quiet = [np.frombuffer(await filter_.filter(hiss), np.int16).std() for _ in range(200)]
        assert quiet[-1] == pytest.approx(quiet[1], rel=0.05)


def numbered(*numbers):
    return [RtpPacket(sequence_number=number % 65536) for number in numbers]


def order(*numbers):
    buffer = Reorder()
    out = [ready for packet in numbered(*numbers) for ready in buffer.push(packet)]
    return [packet and packet.sequence_number for packet in out]


class TestReorder:
    def test_in_order_passes_at_once(self):
        buffer = Reorder()
        for packet in numbered(*range(65530, 65545)):
            assert buffer.push(packet) == [packet]

    def test_swapped_packets_are_put_right(self):
        assert order(1, 3, 2, 4) == [1, 2, 3, 4]

    def test_a_lost_packet_is_given_up_after_a_few_more(self):
        assert order(1, 2, 4, 5, 6, 7) == [1, 2, None, 4, 5, 6, 7]

    def test_repeats_and_stragglers_are_dropped(self):
        assert order(1, 1, 2, 1, 3, 2) == [1, 2, 3]

    def test_a_restarted_sender_is_followed(self):
        assert order(40000, 40001, 7, 8) == [40000, 40001, 7, 8]

    @given(st.lists(st.integers(0, 65535), max_size=300))
    def test_anything_may_come(self, numbers):
        delivered = [number for number in order(*numbers) if number is not None]
        assert set(delivered) <= set(numbers)
        assert len(order(*numbers)) <= 105 * (len(numbers) + 1)


class Far:
    """The other end of a stream: a bare socket."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.address = self.socket.getsockname()
        self.sequence = 100

    def send(self, port, payload=b"\xff" * 160, payload_type=0, ssrc=1):
        header = struct.pack("!BBHII", 0x80, payload_type, self.sequence & 0xFFFF, self.sequence * 160, ssrc)
        self.socket.sendto(header + payload, ("127.0.0.1", port))
        self.sequence += 1

    async def receive(self):
        data = await asyncio.get_running_loop().sock_recv(self.socket, 2048)
        return data[1] & 0x7F, *struct.unpack("!HII", data[2:12]), data[12:]


@pytest.fixture
async def stream():
    heard, keys = bytearray(), []
    stream = RtpStream(heard.extend, keys.append)
    stream.heard, stream.pressed = heard, keys
    await stream.open("127.0.0.1", (30000, 31000))
    far = stream.far = Far()
    yield stream
    await stream.close()
    far.socket.close()


class TestStream:
    async def test_our_clock_runs_whether_or_not_anybody_speaks(self, stream):
        stream.connect(Peer(stream.far.address, 0), set())
        async with asyncio.timeout(10):
            packets = [await stream.far.receive() for _ in range(25)]
        kinds, sequences, stamps, ssrcs, payloads = zip(*packets, strict=True)
        assert set(kinds) == {0}
        assert len(set(ssrcs)) == 1
        assert all(np.abs(linear(payload)).max() < 0.001 for payload in payloads)
        assert all((b - a) % 65536 == 1 for a, b in itertools.pairwise(sequences))
        assert all((b - a) % 2**32 == 160 for a, b in itertools.pairwise(stamps))
        assert len(stream.heard) > 0, "silence is handed on for a peer that sends nothing"

    @pytest.mark.parametrize(("payload_type", "rate"), [(0, 8000), (8, 8000), (9, 16000)])
    async def test_what_is_played_arrives(self, stream, payload_type, rate):
        from aiortp import get_codec

        stream.connect(Peer(stream.far.address, payload_type), set())
        playing = asyncio.create_task(stream.play(pcm(sine(1000, 24000, 0.6)), 24000))
        decoder, arrived, stamps = get_codec(payload_type), b"", []
        async with asyncio.timeout(10):
            while len(arrived) < rate:
                kind, _, stamp, _, payload = await stream.far.receive()
                assert (kind, len(payload)) == (payload_type, 160)
                arrived += decoder.decode(payload)
                stamps.append(stamp)
        await playing
        assert all((b - a) % 2**32 == 160 for a, b in itertools.pairwise(stamps))
        assert decibel(arrived[: rate // 2 * 2], rate, 1000) == pytest.approx(20 * np.log10(0.3), abs=1)

    async def test_a_flush_leaves_nothing_to_say(self, stream):
        stream.connect(Peer(stream.far.address, 0), set())
        playing = asyncio.create_task(stream.play(pcm(sine(440, 8000, 30)), 8000))
        async with asyncio.timeout(10):
            while np.abs(linear((await stream.far.receive())[4])).max() < 0.1:
                pass
            stream.flush()
            await playing
            levels = [np.abs(linear((await stream.far.receive())[4])).max() for _ in range(10)]
        assert max(levels[-8:]) < 0.001

    async def test_losses_are_bridged(self, stream):
        stream.connect(Peer(stream.far.address, 0), set())
        for number in range(30):
            if number == 10:
                stream.far.sequence += 1
            stream.far.send(stream.port, mulaw(tone(0.02)))
        async with asyncio.timeout(10):
            while len(stream.heard) < 30 * 640:
                await asyncio.sleep(0.01)
        assert stream.statistics.lost == 1

    async def test_nobody_can_talk_over_a_live_stream(self, stream):
        stream.connect(Peer(stream.far.address, 0), set())
        stranger = Far()
        for _ in range(10):
            stream.far.send(stream.port)
            await asyncio.sleep(0.02)
            stranger.send(stream.port, ssrc=2)
        async with asyncio.timeout(5):
            while stream.statistics.refused < 10:
                await asyncio.sleep(0.01)
        assert stream.statistics.received == 10
        with pytest.raises(BlockingIOError):
            stranger.socket.recv(2048)
        stranger.socket.close()

    async def test_symmetric_rtp_follows_a_peer_behind_nat(self, stream):
        """The SDP names a port where nobody listens; audio goes to where audio comes from."""
        nowhere = Far()
        stream.connect(Peer(nowhere.address, 0), set())
        stream.far.send(stream.port)
        async with asyncio.timeout(5):
            assert (await stream.far.receive())[0] == 0
        nowhere.socket.close()

    async def test_malformed_packets_are_counted_and_survived(self, stream):
        stream.connect(Peer(stream.far.address, 0, 101), set())
        chance = random.Random(7)
        for _ in range(400):
            data = bytearray(chance.randbytes(chance.randrange(0, 200)))
            if data and chance.random() < 0.7:
                data[0] = 0x80 | chance.randrange(64)
            if len(data) > 1 and chance.random() < 0.5:
                data[1] = chance.choice([0, 101, 13, 200, 96])
            stream.far.socket.sendto(bytes(data), ("127.0.0.1", stream.port))
            if chance.random() < 0.2:
                await asyncio.sleep(0)
        await asyncio.sleep(0.3)  # long enough for the source to change back
        before = len(stream.heard)
        stream.far.send(stream.port, mulaw(tone(0.02)), ssrc=9)
        stream.far.send(stream.port, mulaw(tone(0.02)), ssrc=9)
        async with asyncio.timeout(5):
            while not np.any(np.abs(np.frombuffer(bytes(stream.heard[before:]), np.int16)) > 5000):
                await asyncio.sleep(0.01)
        assert stream.statistics.refused > 100

    async def test_ports_come_from_the_range_and_go_back(self):
        streams, first = [], free_ports(4)
        for _ in range(2):
            streams.append(RtpStream(lambda _: None, lambda _: None))
            await streams[-1].open("127.0.0.1", (first, first + 3))
        assert {s.port for s in streams} == {first, first + 2}
        late = RtpStream(lambda _: None, lambda _: None)
        with pytest.raises(NoFreePort, match=str(first)):
            await late.open("127.0.0.1", (first, first + 3))
        await streams[0].close()
        await asyncio.sleep(0)
        await late.open("127.0.0.1", (first, first + 3))
        assert late.port == streams[0].port
        await late.close()
        await streams[1].close()

    async def test_a_stalled_loop_makes_no_burst(self, stream):
        stream.connect(Peer(stream.far.address, 0), set())
        await stream.far.receive()
        time.sleep(1.5)  # noqa: ASYNC251  the stall is the subject
        sent = stream.statistics.sent
        await asyncio.sleep(0.1)
        assert stream.statistics.sent - sent < 40
