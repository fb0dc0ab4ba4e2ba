"""Home Assistant's road, with the client of the protocol's own package."""

import asyncio

import numpy as np
import pytest
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeStopped, SynthesizeVoice

from tests.tts_service.tone_engine import TOKEN_SECONDS
from tts_service import SpeechError
from tts_service.serving.wyoming import serve
from tts_service.voices.library import Library

TEXT = "今天天气很好我们去公园"


def heard(samples, rate):
    return f"{len(samples) / rate:.1f} s"


@pytest.fixture
def wyoming(tmp_path):
    """Serve a synthesizer; gives a connected client."""
    tasks, clients = [], []

    async def start(synthesizer, transcribe=heard, **options):
        ready = asyncio.get_running_loop().create_future()
        options = {"port": 0, "library": Library(tmp_path / "voices"), "ready": ready.set_result, **options}
        tasks.append(asyncio.create_task(serve(synthesizer, transcribe, **options)))
        client = AsyncTcpClient("127.0.0.1", await ready)
        clients.append(client)
        await client.connect()
        return client

    yield start
    for task in tasks:
        task.cancel()


async def until(client, kind):
    """Events up to the first of a kind."""
    events = []
    async with asyncio.timeout(30):
        while not (events and kind.is_type(events[-1].type)):
            event = await client.read_event()
            assert event is not None, events
            events.append(event)
    return events


def sound(events):
    return np.frombuffer(b"".join(event.payload for event in events if AudioChunk.is_type(event.type)), "<i2")


async def test_it_says_what_it_offers(wyoming, tone):
    client = await wyoming(tone)
    await client.write_event(Describe().event())
    info = Info.from_event((await until(client, Info))[-1])
    assert [voice.name for voice in info.tts[0].voices] == ["low", "high"]
    assert info.tts[0].supports_synthesize_streaming
    assert info.asr[0].models[0].languages == ["zh", "en"]


async def test_a_whole_text(wyoming, tone):
    client = await wyoming(tone)
    await client.write_event(Synthesize(text=TEXT, voice=SynthesizeVoice(name="high")).event())
    events = await until(client, AudioStop)
    assert AudioStart.from_event(events[0]).rate == 24000
    samples = sound(events)
    assert len(samples) / 24000 == pytest.approx(len(TEXT) * TOKEN_SECONDS)
    assert np.abs(np.fft.rfft(samples)).argmax() * 24000 / len(samples) == pytest.approx(400, abs=5)


async def test_a_text_in_pieces_is_spoken_once_and_before_its_end(wyoming, tone):
    client = await wyoming(tone)
    await client.write_event(SynthesizeStart(voice=SynthesizeVoice(language="zh")).event())
    await client.write_event(SynthesizeChunk(text="今天天气很好，").event())
    early = await until(client, AudioChunk)
    await client.write_event(SynthesizeChunk(text="我们去公园。").event())
    await client.write_event(Synthesize(text="今天天气很好，我们去公园。").event())  # as Home Assistant does
    await client.write_event(SynthesizeStop().event())
    events = early + await until(client, SynthesizeStopped)
    assert len(sound(events)) / 24000 == pytest.approx(11 * TOKEN_SECONDS)
    assert sum(AudioStop.is_type(event.type) for event in events) == 1


async def test_what_is_said_is_transcribed(wyoming, tone):
    client = await wyoming(tone)
    form = {"rate": 16000, "width": 2, "channels": 2}
    await client.write_event(Transcribe(language="zh").event())
    await client.write_event(AudioStart(**form).event())
    for _ in range(10):
        await client.write_event(AudioChunk(**form, audio=bytes(4 * 1600)).event())
    await client.write_event(AudioStop().event())
    assert Transcript.from_event((await until(client, Transcript))[-1]).text == "1.0 s"


async def test_a_client_that_leaves_frees_the_engine(wyoming, paced):
    client = await wyoming(paced)
    paced.engine.permits.release(2)
    await client.write_event(Synthesize(text=TEXT).event())
    await until(client, AudioChunk)
    await client.disconnect()
    assert await asyncio.to_thread(paced.engine.stopped.wait, 10)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Synthesize(text=TEXT, voice=SynthesizeVoice(name="nobody")).event(), "available: low, high"),
        (Synthesize(text="坏").event(), "坏"),
        (SynthesizeChunk(text="x").event(), "synthesize-start"),
        (Event("synthesize", {}), "synthesize"),
        (Event("audio-chunk", {"rate": "x"}), "audio-chunk"),
        (Synthesize(text="好" * 20_001).event(), "20000"),
    ],
)
async def test_what_is_wrong_is_told_and_the_connection_goes_on(wyoming, tone, event, said):
    client = await wyoming(tone)
    await client.write_event(event)
    assert said in Error.from_event((await until(client, Error))[-1]).text
    await client.write_event(Synthesize(text="好").event())
    assert len(sound(await until(client, AudioStop))) or len(sound(await until(client, AudioStop)))


async def test_strangers_are_not_let_in(wyoming, tone, monkeypatch):
    monkeypatch.setattr("tts_service.serving.wyoming.LOCAL", ("192.0.2.0/24",))
    client = await wyoming(tone)
    await client.write_event(Describe().event())
    async with asyncio.timeout(10):
        assert await client.read_event() is None
    with pytest.raises(SpeechError, match=r"192\.168\.1\.0/24"):
        await serve(tone, None, allow=["everybody"])
