import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
    OutputAudioRawFrame,
    StartFrame,
    TTSSpeakFrame,
    TTSUpdateSettingsFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner

from tests.tts_service.tone_engine import TOKEN_SECONDS, ToneEngine
from tts_service import Synthesizer
from tts_service.engine import Busy
from tts_service.service import GLMTTSService, SpeechMetricsData


class Loudspeaker(BaseOutputTransport):
    """Plays in real time, like a sound card, and keeps what it played."""

    def __init__(self):
        super().__init__(TransportParams(audio_out_enabled=True, audio_out_10ms_chunks=2))
        self.pcm = bytearray()
        self.heard = asyncio.Event()
        self._free_at = 0.0

    async def start(self, frame: StartFrame):
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + len(frame.audio) / 2 / frame.sample_rate
        await asyncio.sleep(self._free_at - now)
        self.pcm += frame.audio
        if any(frame.audio):
            self.heard.set()
        return True

    @property
    def seconds(self) -> float:
        return np.count_nonzero(np.frombuffer(bytes(self.pcm), "<i2")) / self.sample_rate


class Witness(FrameProcessor):
    """Keeps every frame that passes and lets a test wait for one."""

    def __init__(self):
        super().__init__()
        self.frames = []
        self._changed = asyncio.Condition()

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        async with self._changed:
            self.frames.append(frame)
            self._changed.notify_all()
        await self.push_frame(frame, direction)

    async def saw(self, kind, count=1):
        async with self._changed:
            await self._changed.wait_for(lambda: sum(isinstance(f, kind) for f in self.frames) >= count)
        return [f for f in self.frames if isinstance(f, kind)]


class Stage:
    """A pipeline with a voice, a loudspeaker and the memory of what was said."""

    def __init__(self, max_lead=10.0, **settings):
        self.synthesizer = Synthesizer(ToneEngine())
        self.tts = GLMTTSService(
            synthesizer=self.synthesizer, settings=GLMTTSService.Settings(**settings), max_lead=max_lead
        )
        self.context = LLMContext()
        self.loudspeaker = Loudspeaker()
        self.upstream, self.downstream = Witness(), Witness()
        assistant = LLMContextAggregatorPair(self.context).assistant()
        self.worker = PipelineWorker(
            Pipeline([self.upstream, self.tts, self.loudspeaker, self.downstream, assistant]),
            params=PipelineParams(enable_metrics=True, audio_out_sample_rate=24000),
            enable_rtvi=False,
        )

    async def say(self, *deltas):
        frames = [LLMTextFrame(delta) for delta in deltas]
        await self.worker.queue_frames([LLMFullResponseStartFrame(), *frames, LLMFullResponseEndFrame()])

    @property
    def remembered(self):
        return "".join(m["content"] for m in self.context.get_messages() if m["role"] == "assistant")


@asynccontextmanager
async def stage(**settings):
    it = Stage(**settings)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(it.worker)
    running = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(40):
            yield it
    finally:
        await it.worker.cancel()
        await running
        it.synthesizer.close()


async def test_an_answer_is_spoken_and_remembered_word_for_word():
    text = "你好，世界。Today is 3 度，“真的”！"
    async with stage() as it:
        await it.say(*text)
        await it.worker.queue_frame(EndFrame())
        await it.downstream.saw(EndFrame)
        assert it.remembered == text


async def test_words_keep_their_order_when_the_end_of_their_sentence_comes_late(monkeypatch):
    """Pipecat holds words back until their sentence is whole; here that happens while later words are in the queue."""
    async with stage() as it:
        add = it.tts.add_word_timestamps

        async def add_then_end_the_sentence(words, *args, **kwargs):
            second = words and words[0][0] == "会"
            if second:
                await asyncio.sleep(0.05)  # the first is being held back by now
            await add(words, *args, **kwargs)
            if second:
                await it.tts.process_frame(LLMTextFrame("。好 "), FrameDirection.DOWNSTREAM)

        monkeypatch.setattr(it.tts, "add_word_timestamps", add_then_end_the_sentence)
        await it.worker.queue_frames([LLMFullResponseStartFrame(), LLMTextFrame("我会报时间")])
        await it.loudspeaker.heard.wait()
        await asyncio.sleep(1.0)
        await it.worker.queue_frames([LLMTextFrame("OK。"), LLMFullResponseEndFrame(), EndFrame()])
        await it.downstream.saw(EndFrame)
        assert it.remembered == "我会报时间。好 OK。"


async def test_an_interrupted_answer_is_remembered_as_far_as_it_was_heard():
    text = "一二三四五六七八九十，" * 10
    async with stage() as it:
        await it.say(text)
        await it.loudspeaker.heard.wait()
        await asyncio.sleep(5.1 * TOKEN_SECONDS)
        await it.worker.queue_frame(InterruptionFrame())
        await it.downstream.saw(InterruptionFrame)
        heard = it.loudspeaker.seconds / TOKEN_SECONDS
        assert await asyncio.to_thread(it.synthesizer.engine.stopped.wait, 10)
        await it.say("好的。")
        await it.worker.queue_frame(EndFrame())
        await it.downstream.saw(EndFrame)
        spoken = it.remembered.removesuffix("好的。")
        assert text.startswith(spoken.strip())
        hanzi = sum(char.isalnum() for char in spoken)
        assert abs(hanzi - heard) * TOKEN_SECONDS <= 0.6, (spoken, heard)


async def test_what_a_slow_engine_has_not_said_yet_is_not_remembered():
    text = "一二三四五六七八九十，" * 10
    async with stage(max_lead=0.4) as it:
        await it.say(text)
        await it.loudspeaker.heard.wait()
        it.synthesizer.engine.gate.clear()
        await asyncio.sleep(2.0)  # playback runs dry and waits
        it.loudspeaker.heard.clear()
        it.synthesizer.engine.gate.set()
        await it.loudspeaker.heard.wait()
        await asyncio.sleep(3 * TOKEN_SECONDS)
        await it.worker.queue_frame(InterruptionFrame())
        await it.downstream.saw(InterruptionFrame)
        heard = it.loudspeaker.seconds
        await it.worker.queue_frame(EndFrame())
        await it.downstream.saw(EndFrame)
        remembered = sum(char.isalnum() for char in it.remembered) * TOKEN_SECONDS
        assert remembered <= heard + 0.6, (it.remembered, heard)


async def test_the_engine_stops_and_the_next_answer_is_whole():
    async with stage() as it:
        for _ in range(3):
            it.loudspeaker.heard.clear()
            await it.say("一二三四五六七八九十，" * 20)
            await it.loudspeaker.heard.wait()
            await it.worker.queue_frame(InterruptionFrame())
        await it.downstream.saw(InterruptionFrame, 3)
        before = it.loudspeaker.seconds
        await it.say("一二三四五。")
        await it.worker.queue_frame(EndFrame())
        await it.downstream.saw(EndFrame)
        assert it.loudspeaker.seconds - before == pytest.approx(5 * TOKEN_SECONDS, abs=0.05)
        assert it.synthesizer.active == 0


async def test_uninterruptible_speech_goes_on_while_the_rest_is_dropped():
    async with stage() as it:
        notice = TTSSpeakFrame("一二三四五六七八。")
        notice.interruptible = False
        await it.worker.queue_frame(notice)
        await it.loudspeaker.heard.wait()
        await it.say("九十" * 50)
        assert await asyncio.to_thread(it.synthesizer.engine.began("九十").wait, 10)
        await it.worker.queue_frame(InterruptionFrame())
        await it.worker.queue_frame(EndFrame())
        await it.downstream.saw(EndFrame)
        assert it.loudspeaker.seconds == pytest.approx(8 * TOKEN_SECONDS, abs=0.05)
        assert "九" not in it.remembered


async def test_text_with_nothing_to_say_is_no_failure():
    async with stage() as it:
        for _ in range(4):
            await it.say("😀……")
        await it.say("好。")
        await it.worker.queue_frame(EndFrame())
        await it.downstream.saw(EndFrame)
        assert not [f for f in it.upstream.frames if isinstance(f, ErrorFrame)]
        assert it.loudspeaker.seconds == pytest.approx(TOKEN_SECONDS, abs=0.02)


async def test_an_engine_error_is_reported_and_the_next_answer_is_not_held_up():
    async with stage() as it:
        await it.say("一二坏四。")
        [error] = await it.upstream.saw(ErrorFrame)
        assert "坏 cannot be spoken" in error.error
        await it.say("一二三。")
        await it.worker.queue_frame(EndFrame())
        await it.downstream.saw(EndFrame)
        assert it.remembered.endswith("一二三。")


@pytest.mark.parametrize("cut", [None, 1], ids=["at once", "token by token"])
async def test_after_an_engine_error_only_what_was_heard_is_remembered(cut):
    text = "一二三四，五六坏八。九十。"
    async with stage() as it:
        await it.say(*(text if cut else [text]))
        await it.upstream.saw(ErrorFrame)
        await it.worker.queue_frame(EndFrame())
        await it.downstream.saw(EndFrame)
        assert it.remembered.strip("，") == text[: round(it.loudspeaker.seconds / TOKEN_SECONDS) + 1].strip("，")
        assert "坏" not in it.remembered


async def test_a_busy_synthesizer_is_reported_once_a_turn_and_the_service_speaks_again(monkeypatch):
    async with stage() as it:

        def refuse(**_):
            raise Busy("the voice is busy")

        with monkeypatch.context() as patch:
            patch.setattr(it.synthesizer, "open", refuse)
            for turn in range(4):
                await it.say(*"一二三，四五六。")
                assert len(await it.upstream.saw(ErrorFrame, turn + 1)) == turn + 1
            await it.downstream.saw(LLMFullResponseEndFrame, 4)
        await it.say("一二三。")
        await it.worker.queue_frame(EndFrame())
        await it.downstream.saw(EndFrame)
        assert len([f for f in it.upstream.frames if isinstance(f, ErrorFrame)]) == 4
        assert it.remembered == "一二三。"
        assert it.loudspeaker.seconds == pytest.approx(3 * TOKEN_SECONDS, abs=0.02)


async def test_settings_change_the_next_answer_and_bad_ones_are_refused():
    async with stage(speed=1.0) as it:
        await it.worker.queue_frame(TTSUpdateSettingsFrame(delta=GLMTTSService.Settings(voice="nobody", speed=2.0)))
        [error] = await it.upstream.saw(ErrorFrame)
        assert "available: low, high" in error.error
        await it.worker.queue_frame(TTSUpdateSettingsFrame(delta=GLMTTSService.Settings(voice="high", speed=2.0)))
        await it.say("一二三四五。")
        await it.worker.queue_frame(EndFrame())
        await it.downstream.saw(EndFrame)
        pcm = np.frombuffer(bytes(it.loudspeaker.pcm), "<i2").astype(float)
        spoken = pcm[np.flatnonzero(pcm)[0] :][:4800]
        assert np.argmax(np.abs(np.fft.rfft(spoken))) * 24000 / len(spoken) == pytest.approx(400, abs=5)
        assert it.loudspeaker.seconds == pytest.approx(5 * TOKEN_SECONDS / 2, abs=0.05)


def test_settings_are_checked_at_construction():
    with Synthesizer(ToneEngine()) as synthesizer, pytest.raises(Exception, match="available: low, high"):
        GLMTTSService(synthesizer=synthesizer, settings=GLMTTSService.Settings(voice="nobody"))


async def test_metrics_tell_time_to_first_audio_and_real_time_factor():
    async with stage() as it:
        await it.say("一二三四五。")
        await it.worker.queue_frame(EndFrame())
        await it.downstream.saw(EndFrame)
        data = [d for frame in it.downstream.frames if isinstance(frame, MetricsFrame) for d in frame.data]
        [speech] = [d for d in data if isinstance(d, SpeechMetricsData)]
        assert speech.audio == pytest.approx(5 * TOKEN_SECONDS)
        assert speech.first_audio > 0
        assert 0 < speech.real_time_factor < 1
        assert any(type(d).__name__ == "TTFBMetricsData" and d.value > 0 for d in data)


async def test_other_sample_rates_keep_pitch_and_length():
    synthesizer = Synthesizer(ToneEngine())
    tts = GLMTTSService(synthesizer=synthesizer, sample_rate=8000)
    loudspeaker, witness = Loudspeaker(), Witness()
    worker = PipelineWorker(
        Pipeline([tts, loudspeaker, witness]), params=PipelineParams(audio_out_sample_rate=8000), enable_rtvi=False
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await worker.queue_frames([TTSSpeakFrame("一二三四五。"), EndFrame()])
    async with asyncio.timeout(20):
        await runner.run()
    synthesizer.close()
    pcm = np.frombuffer(bytes(loudspeaker.pcm), "<i2").astype(float)
    spoken = pcm[np.flatnonzero(np.abs(pcm) > 100)[0] : np.flatnonzero(np.abs(pcm) > 100)[-1]]
    assert len(spoken) / 8000 == pytest.approx(5 * TOKEN_SECONDS, abs=0.03)
    assert np.argmax(np.abs(np.fft.rfft(spoken))) * 8000 / len(spoken) == pytest.approx(200, abs=5)


async def test_two_sessions_share_one_engine():
    async with stage() as one:
        two = GLMTTSService(synthesizer=one.synthesizer)
        loudspeaker, witness = Loudspeaker(), Witness()
        worker = PipelineWorker(
            Pipeline([two, loudspeaker, witness]), params=PipelineParams(audio_out_sample_rate=24000), enable_rtvi=False
        )
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        await one.say("一二三四五六七八。")
        await worker.queue_frames([TTSSpeakFrame("一二三四五六七八。"), EndFrame()])
        await runner.run()
        await one.worker.queue_frame(EndFrame())
        await one.downstream.saw(EndFrame)
        assert loudspeaker.seconds == pytest.approx(8 * TOKEN_SECONDS, abs=0.05)
        assert one.loudspeaker.seconds == pytest.approx(8 * TOKEN_SECONDS, abs=0.05)
