"""The plugin of LiveKit Agents, driven as its sessions drive one."""

import asyncio

import numpy as np
import pytest
from livekit.agents import APIError
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT, APIConnectOptions

from tests.tts_service.tone_engine import TOKEN_SECONDS
from tts_service import SpeechError, UnknownVoice
from tts_service.livekit import TTS

TEXT = "今天天气很好，我们去公园。"


async def heard(stream):
    samples, transcript = [], []
    async with asyncio.timeout(30):
        async for event in stream:
            samples.append(np.frombuffer(event.frame.data, np.int16))
            transcript += event.frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])
    return np.concatenate(samples), transcript


async def test_a_text_in_pieces_with_its_transcript_aligned(tone):
    voice = TTS(tone, voice="high")
    async with voice.stream() as stream:
        for character in TEXT:
            stream.push_text(character)
        stream.end_input()
        samples, transcript = await heard(stream)
    assert len(samples) / 24000 == pytest.approx(11 * TOKEN_SECONDS, abs=0.01)
    assert np.abs(np.fft.rfft(samples)).argmax() * 24000 / len(samples) == pytest.approx(400, abs=5)
    assert "".join(transcript) == TEXT
    starts = [timing.seconds for chunk in tone.stream(TEXT) for timing in chunk.timings]
    assert [word.start_time for word in transcript[:11]] == pytest.approx(starts)


async def test_sound_comes_while_the_answer_is_being_written(tone):
    async with TTS(tone).stream() as stream:
        stream.push_text("今天天气很好，")
        async with asyncio.timeout(10):
            assert (await anext(stream)).frame.duration > 0
        stream.push_text("我们去公园。")
        stream.end_input()
        _, transcript = await heard(stream)
    assert "".join(transcript).endswith("我们去公园。")


async def test_a_whole_text_and_its_metrics(tone):
    voice, counted = TTS(tone), []
    voice.on("metrics_collected", counted.append)
    async with voice.synthesize(TEXT) as stream:
        samples, _ = await heard(stream)
    assert len(samples) / 24000 == pytest.approx(11 * TOKEN_SECONDS, abs=0.01)
    assert counted[0].metadata.model_name == "tone"


async def test_closing_the_stream_stops_the_engine(paced):
    paced.engine.permits.release(3)
    stream = TTS(paced).stream()
    stream.push_text(TEXT)
    stream.end_input()
    async with asyncio.timeout(10):
        await anext(stream)
    await stream.aclose()
    assert await asyncio.to_thread(paced.engine.stopped.wait, 10)
    assert len(paced.engine.steps) <= 4


async def test_changes_hold_for_the_next_answer_and_mistakes_change_nothing(tone):
    voice = TTS(tone)
    voice.update_options(voice="high", speed=2)
    with pytest.raises(UnknownVoice, match="available: low, high"):
        voice.update_options(voice="nobody", speed=1)
    with pytest.raises(SpeechError, match="speed"):
        voice.update_options(voice="low", speed=9)
    async with voice.synthesize(TEXT) as stream:
        samples, _ = await heard(stream)
    assert len(samples) / 24000 == pytest.approx(11 * TOKEN_SECONDS / 2, abs=0.02)
    assert np.abs(np.fft.rfft(samples)).argmax() * 24000 / len(samples) == pytest.approx(400, abs=8)


async def test_an_engine_s_error_is_livekit_s(tone):
    stream = TTS(tone).synthesize("坏", conn_options=APIConnectOptions(max_retry=0))
    with pytest.raises(APIError, match="坏 cannot be spoken"):
        await heard(stream)
    await stream.aclose()
