"""What was heard is what is remembered and shown, whatever is said and whenever it is interrupted."""

import asyncio
import time

import pytest
from pipecat.frames.frames import (
    AggregatedTextFrame,
    AggregatedTextProgressFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TextFrame,
    TTSSpeakFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.processors.aggregators.llm_text_processor import LLMTextProcessor
from pipecat.services.tts_service import TextAggregationMode

from tests.tts_service.stage import stage
from tests.tts_service.tone_engine import TOKEN_SECONDS

ANSWERS = [
    "她问：“几点了？”我说：“三点。”",
    "你读过《红楼梦》。《活着》呢？",
    "No! (Well.) Maybe?  Two  spaces.",
    "**要点**：先看。**然后**再说。",
    "等等...让我想想……好了。",
    "太好了！🎉明天见👋",
    "（一）看书；（二）写字。",
    "第一行。\n\n- 第二行\n- 第三行",
    "It's 3.5 km. OK，走吧！",
    "「是的」，他说。【完】",
    "A。B。C!",
    "嗯——好的～再见。",
]
CUTS = {
    "whole": lambda text: [text],
    "token": lambda text: [text[i : i + 3] for i in range(0, len(text), 3)],
    "character": list,
}


def letters(text):
    return [char for char in text if char.isalnum()]


@pytest.mark.parametrize("mode", [None, TextAggregationMode.SENTENCE])
@pytest.mark.parametrize("cut", CUTS)
async def test_answers_are_remembered_and_shown_as_they_were_written(cut, mode):
    async with stage(token_seconds=0.02, service={"text_aggregation_mode": mode}) as it:
        for text in ANSWERS:
            await it.say(*CUTS[cut](text))
        await it.end()
        assert it.messages == ANSWERS
        words = [frame for frame in it.downstream.frames if isinstance(frame, TTSTextFrame)]
        assert "".join(frame.text for frame in words) == "".join(ANSWERS)
        for progress in (f for f in it.downstream.frames if isinstance(f, AggregatedTextProgressFrame)):
            assert progress.accumulated_text + progress.remaining_text == progress.text


@pytest.mark.parametrize("heard", [1, 3, 7])
async def test_what_was_heard_of_a_sentence_that_is_still_being_written_is_remembered(heard):
    async with stage() as it:
        await it.write(*"今天我想给你介绍一下，")
        await it.loudspeaker.played((heard - 0.5) * TOKEN_SECONDS)
        await it.interrupt()
        sounded = it.loudspeaker.seconds / TOKEN_SECONDS
        await it.end()
        assert "今天我想给你介绍一下，".startswith(it.remembered)
        assert abs(len(letters(it.remembered)) - sounded) <= 1.5, (it.remembered, sounded)
        assert it.remembered


async def test_captions_come_with_the_sound_while_the_sentence_is_being_written():
    async with stage() as it:
        await it.write(*"今天我想给你介绍，")
        await it.loudspeaker.heard.wait()
        began = time.monotonic()
        await it.downstream.saw(TTSTextFrame)
        assert time.monotonic() - began < 0.2
        announced = [f for f in it.downstream.frames if type(f) is AggregatedTextFrame]
        assert announced[0].text == "今天我想给你介绍，"


async def test_memory_does_not_run_ahead_behind_other_speech():
    """Pipecat's own clock forgets the length of each last word, and is seconds ahead after a few speeches."""
    async with stage() as it:
        for _ in range(6):
            await it.worker.queue_frame(TTSSpeakFrame("Hello.", append_to_context=False))
        await it.say("一二三四五六七八九十。" * 3)
        await it.loudspeaker.played((6 + 4.5) * TOKEN_SECONDS)
        await it.interrupt()
        sounded = it.loudspeaker.seconds / TOKEN_SECONDS - 6
        await it.end()
        assert -1.5 <= len(letters(it.remembered)) - sounded <= 1.5, (it.remembered, sounded)


async def test_sentences_of_an_aggregator_keep_their_space():
    async with stage(before=[LLMTextProcessor()], token_seconds=0.05) as it:
        await it.say("Hello there. ", "How are you?", "你好。", "再见。Bye.")
        await it.end()
        assert it.messages == ["Hello there. How are you?你好。再见。Bye."]


async def test_transforms_see_sentences_and_the_memory_keeps_what_was_written():
    async def spoken(text, _):
        return text.replace("**", "").replace("$24", "twenty four dollars")

    text = "I have **exactly** $24 today. And **more** tomorrow. 还有 $24。"
    async with stage(token_seconds=0.05, service={"text_transforms": [("*", spoken)]}) as it:
        await it.say(*text)
        await it.end()
        assert it.messages == [text]
        assert it.loudspeaker.seconds == pytest.approx(15 * 0.05, abs=0.03)


async def test_silent_and_skipped_answers_keep_their_order():
    async with stage(token_seconds=0.05) as it:
        await it.say("😀👍")
        await it.say("一二三。")
        for frame in (LLMFullResponseStartFrame(), LLMTextFrame("不说。"), LLMFullResponseEndFrame()):
            frame.skip_tts = True
            await it.worker.queue_frame(frame)
        await it.say("🤔")
        await it.say("……")
        await it.say("四五六。")
        await it.end()
        assert it.messages == ["😀👍", "一二三。", "不说。", "🤔", "……", "四五六。"]
        assert not it.errors


async def test_the_end_of_the_pipeline_in_mid_answer_waits_for_what_was_written_and_no_longer():
    async with stage() as it:
        await it.write("一二三四五。")
        began = time.monotonic()
        await it.end()
        assert time.monotonic() - began < 10  # Pipecat's timeout does not come into it, let alone a minute
        assert it.messages == ["一二三四五。"]
        assert it.loudspeaker.seconds == pytest.approx(5 * TOKEN_SECONDS, abs=0.05)


async def test_text_outside_of_answers_holds_nothing_up():
    async with stage() as it:
        await it.write("一二三四五六七八。")
        await it.loudspeaker.heard.wait()
        await it.interrupt()
        began, heard = time.monotonic(), it.loudspeaker.seconds
        await it.worker.queue_frames([LLMTextFrame("晚了。"), LLMFullResponseEndFrame(), TextFrame("路过。")])
        await it.say("一二三。")
        await it.loudspeaker.played(heard + 6.5 * TOKEN_SECONDS)
        assert time.monotonic() - began < 4


async def test_a_pause_of_the_llm_beyond_the_timeout_loses_nothing():
    async with stage(service={"stop_frame_timeout_s": 0.4}) as it:
        await it.write("第一句。")
        await it.downstream.saw(TTSStoppedFrame)
        await it.worker.queue_frames([LLMTextFrame("第二句。"), LLMFullResponseEndFrame()])
        await it.end()
        assert it.messages == ["第一句。第二句。"]
        assert it.loudspeaker.seconds == pytest.approx(6 * TOKEN_SECONDS, abs=0.05)


async def test_an_engine_that_takes_longer_than_the_timeout_is_waited_for():
    async with stage(service={"stop_frame_timeout_s": 0.4}) as it:
        it.synthesizer.engine.gate.clear()
        await it.say("一二三。")
        await asyncio.sleep(1.2)
        it.synthesizer.engine.gate.set()
        await it.end()
        assert it.messages == ["一二三。"]
        assert not it.errors


async def test_twenty_thousand_characters_at_once_begin_to_sound_at_once():
    async with stage() as it:
        await it.say("天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。" * 1000)
        began = time.monotonic()
        await it.loudspeaker.heard.wait()
        assert time.monotonic() - began < 5
