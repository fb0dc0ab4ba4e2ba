import asyncio
import threading

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
    TTSSpeakFrame,
    TTSStoppedFrame,
    TTSUpdateSettingsFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.service_switcher import ServiceSwitcher, ServiceSwitcherStrategyFailover
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.tts_service import TextAggregationMode
from pipecat.transcriptions.language import Language
from pipecat.workers.runner import WorkerRunner

import tts_service
from tests.tts_service.stage import Loudspeaker, Witness, stage
from tests.tts_service.tone_engine import TOKEN_SECONDS, ToneEngine
from tts_service import Synthesizer
from tts_service.engine import Busy
from tts_service.service import GLMTTSService, SpeechMetricsData
from tts_service.speech.audible import APART, UNIT, Audible


async def test_an_answer_is_spoken_and_remembered_word_for_word():
    text = "你好，世界。Today is 3 度，“真的”！"
    async with stage() as it:
        await it.say(*text)
        await it.worker.queue_frame(EndFrame())
        await it.downstream.saw(EndFrame)
        assert it.remembered == text


async def test_a_label_is_heard_before_the_first_answer_alone_and_not_remembered():
    async with stage(service={"audible": Audible("rhythm", "both")}) as it:
        await it.say("你好。")
        await it.downstream.saw(TTSStoppedFrame)
        first = it.loudspeaker.seconds
        await it.say("你好。")
        await it.end()
        tones, whole = 6 * UNIT, 11 * UNIT + APART  # the watermark's echo of a tone lies in the gaps
        assert tones - 0.05 < first - (it.loudspeaker.seconds - first) < whole + 0.05
        assert it.remembered == "你好。你好。"


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
        assert it.remembered == "一二三四，五六九十。"
        assert it.loudspeaker.seconds == pytest.approx(8 * TOKEN_SECONDS, abs=0.05)


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


async def test_a_voice_changes_between_two_sentences_of_an_answer():
    async with stage() as it:
        await it.write("一二三。")
        await it.loudspeaker.heard.wait()
        update = TTSUpdateSettingsFrame(delta=GLMTTSService.Settings(voice="high", speed=2.0))
        await it.worker.queue_frames([update, LLMTextFrame("四五六七。"), LLMFullResponseEndFrame()])
        await it.end()
        assert it.loudspeaker.seconds == pytest.approx(3 * TOKEN_SECONDS + 4 * TOKEN_SECONDS / 2, abs=0.05)
        assert it.loudspeaker.pitch(0, 0.5) == pytest.approx(200, abs=5)
        assert it.loudspeaker.pitch(0.7, 1.0) == pytest.approx(400, abs=5)
        assert it.remembered == "一二三。四五六七。"


async def test_the_model_cannot_be_changed_and_foreign_languages_are_refused():
    async with stage() as it:
        await it.worker.queue_frame(TTSUpdateSettingsFrame(delta=GLMTTSService.Settings(model="other")))
        await it.worker.queue_frame(TTSUpdateSettingsFrame(delta=GLMTTSService.Settings(language=Language.JA)))
        [error] = await it.upstream.saw(ErrorFrame)
        assert "'ja'" in error.error
        assert it.tts.settings.model == "tone"
        await it.worker.queue_frame(TTSUpdateSettingsFrame(delta=GLMTTSService.Settings(language=Language.EN_GB)))
        await it.say("2026")
        await it.end()
        assert it.loudspeaker.seconds == pytest.approx(len(("twenty", "twenty", "six")) * TOKEN_SECONDS, abs=0.05)


@pytest.mark.parametrize(
    "chosen",
    [
        {"text_aggregation_mode": TextAggregationMode.SENTENCE},
        {"text_aggregation_mode": TextAggregationMode.TOKEN},
        {"stop_frame_timeout_s": 1.0},
        {"reuse_context_id_within_turn": False},
        {"push_silence_after_stop": True, "silence_time_s": 0.1},
        {"pause_frame_processing": True},
        {"push_text_frames": True, "push_start_frame": False},
    ],
    ids=str,
)
async def test_what_pipecat_s_services_take_can_be_passed(chosen):
    async with stage(token_seconds=0.05, service=chosen) as it:
        await it.say(*"一二三。四五六。")
        await it.say("七八。")
        await it.end()
        assert it.remembered == "一二三。四五六。七八。"
        assert it.loudspeaker.seconds == pytest.approx(8 * 0.05, abs=0.03)


async def test_without_a_synthesizer_all_sessions_share_the_embedded_voice(monkeypatch):
    loaded = []
    with Synthesizer(ToneEngine(0.05)) as shared:

        def load():
            loaded.append(threading.current_thread())
            return shared

        monkeypatch.setattr(tts_service, "embedded", load)
        async with stage(wrap=lambda _: GLMTTSService(settings=GLMTTSService.Settings(voice="high"))) as it:
            await it.say("一二三。")
            await it.end()
            assert it.remembered == "一二三。"
            assert it.loudspeaker.pitch(0, 0.15) == pytest.approx(400, abs=10)
    assert loaded
    assert threading.main_thread() not in loaded


async def test_the_embedded_voice_is_loaded_once(monkeypatch):
    made = []
    monkeypatch.setattr(tts_service, "load", lambda engine: made.append(engine) or object())
    tts_service._embedded.cache_clear()
    both = await asyncio.gather(*(asyncio.to_thread(tts_service.embedded) for _ in range(2)))
    tts_service._embedded.cache_clear()
    assert made == ["kokoro"]
    assert both[0] is both[1]


async def test_a_switcher_turns_to_the_next_service_when_the_engine_fails():
    with Synthesizer(ToneEngine(0.05)) as healthy:
        spare = GLMTTSService(synthesizer=healthy)
        async with stage(wrap=lambda tts: ServiceSwitcher([tts, spare], ServiceSwitcherStrategyFailover)) as it:
            for turn in range(3):
                await it.say("坏。")
                await it.downstream.saw(LLMFullResponseEndFrame, turn + 1)
            await it.say("一二三。")
            await it.end()
            assert it.remembered == "一二三。"


async def test_a_synthesizer_that_is_closed_says_so_and_what_it_did_not_say_is_not_remembered():
    async with stage(max_lead=0.4) as it:
        await it.say("一二三四五六七八九十，" * 5)
        await it.loudspeaker.played(2.5 * TOKEN_SECONDS)
        it.synthesizer.engine.gate.clear()
        closing = asyncio.create_task(asyncio.to_thread(it.synthesizer.close))
        [error] = await it.upstream.saw(ErrorFrame)
        await closing
        assert "closed" in error.error
        assert not it.tts.is_usable
        await it.end()
        assert len([c for c in it.remembered if c.isalnum()]) <= round(it.loudspeaker.seconds / TOKEN_SECONDS)


async def test_a_session_that_ends_while_the_engine_is_still_leaving_leaves_no_task_behind():
    async with stage() as it:
        await it.say("一二三四五六七八九十，" * 10)
        await it.loudspeaker.heard.wait()
        it.synthesizer.engine.gate.clear()  # the engine is in the middle of a long step
        await it.worker.queue_frame(InterruptionFrame())
        await it.downstream.saw(InterruptionFrame)
        await it.tts.cleanup()
        assert not [task.get_name() for task in asyncio.all_tasks() if "::speech" in task.get_name()]
        it.synthesizer.engine.gate.set()
