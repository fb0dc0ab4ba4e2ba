"""Answers that are held back until the turn is certain: their first sound is ready, and is theirs alone."""

import asyncio
import time
from functools import partial

import pytest
from pipecat.frames.frames import InterruptionFrame, LLMTextFrame, TTSSpeakFrame, TTSUpdateSettingsFrame
from pipecat.processors.frame_processor import FrameProcessor

from tests.tts_service import stage as theatre
from tests.tts_service.tone_engine import ToneEngine
from tts_service import Synthesizer
from tts_service.rehearsal import HeldAnswerFrame
from tts_service.service import GLMTTSService
from tts_service.speech.audible import APART, UNIT, Audible

TEXT = "一二三四五，六七八。"
TOKEN_SECONDS = 0.05
SPOKEN = 8 * TOKEN_SECONDS
stage = partial(theatre.stage, token_seconds=TOKEN_SECONDS)


async def hold(it, *frames):
    """Tell of an answer, and wait until its first sound has been made."""
    await it.worker.queue_frames(frames)
    assert await asyncio.to_thread(it.synthesizer.engine.began(frames[0].text[:2]).wait, 10)


def growing(text):
    return [HeldAnswerFrame(text[:length]) for length in range(2, len(text) + 1)]


@pytest.mark.parametrize(
    "frames",
    [growing(TEXT), [HeldAnswerFrame(TEXT, complete=True)], [HeldAnswerFrame(f" {TEXT}")]],
    ids=["growing", "complete", "spaced"],
)
async def test_the_first_sound_alone_is_made_and_nothing_is_said_twice(frames):
    async with stage() as it:
        await it.worker.queue_frames(frames)
        steps = it.synthesizer.engine.steps
        assert await asyncio.to_thread(it.synthesizer.engine.began("一二").wait, 10)
        await asyncio.to_thread(lambda: list(it.synthesizer.stream("九八七。")))  # the engine has time for others
        assert [step for step in steps if step[0] == "一二"] == [("一二", 0)]
        assert not it.loudspeaker.pcm.strip(b"\0")
        assert not it.remembered
        made = len(steps)
        await it.say(*TEXT)
        await it.end()
        assert it.remembered == TEXT
        assert it.loudspeaker.seconds == pytest.approx(SPOKEN, abs=0.02)
        assert len(steps) == made + 7, "the first was not made again"


async def test_an_english_answer_is_cut_where_it_would_have_been():
    text = "It is late. Really."
    async with stage() as it:
        await hold(it, HeldAnswerFrame("It is late.", complete=False), HeldAnswerFrame(text, complete=True))
        await it.say(*text)
        await it.end()
        assert it.remembered == text
        assert it.loudspeaker.seconds == pytest.approx(4 * TOKEN_SECONDS, abs=0.02)


@pytest.mark.parametrize("drop", [HeldAnswerFrame(""), InterruptionFrame(), HeldAnswerFrame("十九八，")])
async def test_what_is_dropped_costs_nothing_audible_and_is_not_remembered(drop):
    async with stage() as it:
        await hold(it, HeldAnswerFrame(TEXT))
        await it.worker.queue_frame(drop)
        assert await asyncio.to_thread(it.synthesizer.engine.stopped.wait, 10)
        await it.say("三二一。")
        await it.end()
        assert it.remembered == "三二一。"
        assert it.loudspeaker.seconds == pytest.approx(3 * TOKEN_SECONDS, abs=0.02)
        assert it.synthesizer.active == 0


class Rewriter(FrameProcessor):
    """Stands between brain and voice."""

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMTextFrame):
            frame.text = frame.text.replace("四", "九九")
        await self.push_frame(frame, direction)


async def test_what_is_rewritten_on_the_way_is_spoken_as_rewritten():
    async with stage(before=[Rewriter()]) as it:
        await hold(it, HeldAnswerFrame(TEXT))
        await it.say(*TEXT)
        await it.end()
        assert it.remembered == TEXT.replace("四", "九九")
        assert it.loudspeaker.seconds == pytest.approx(SPOKEN + TOKEN_SECONDS, abs=0.02)


@pytest.mark.parametrize(
    ("said", "complete"), [("一二。", True), ("一二。", False), ("一二三四五，六七八。九。", True), ("七", False)]
)
async def test_another_answer_is_spoken_as_it_is(said, complete):
    async with stage() as it:
        await hold(it, HeldAnswerFrame(TEXT, complete))
        await it.say(*said)
        await it.say("十。")
        await it.end()
        assert it.messages == [said, "十。"]
        spoken = (sum(map(str.isalnum, said)) + 1) * TOKEN_SECONDS
        assert it.loudspeaker.seconds == pytest.approx(spoken, abs=0.02)


async def test_something_said_meanwhile_comes_first_and_the_answer_whole():
    async with stage() as it:
        await hold(it, HeldAnswerFrame(TEXT))
        await it.worker.queue_frame(TTSSpeakFrame("九八。"))
        await it.say(*TEXT)
        await it.end()
        assert it.remembered == f"九八。{TEXT}"
        assert it.loudspeaker.seconds == pytest.approx(SPOKEN + 2 * TOKEN_SECONDS, abs=0.02)


async def test_an_answer_is_spoken_with_the_settings_of_its_own_time():
    async with stage() as it:
        await hold(it, HeldAnswerFrame(TEXT))
        await it.worker.queue_frame(TTSUpdateSettingsFrame(delta=GLMTTSService.Settings(voice="high")))
        await it.say(*TEXT)
        await it.end()
        assert it.remembered == TEXT
        assert it.loudspeaker.seconds == pytest.approx(SPOKEN, abs=0.02)
        assert it.loudspeaker.pitch(0, 0.3) == pytest.approx(400, abs=10)


async def test_a_label_is_heard_before_a_held_answer_too_and_once():
    async with stage(service={"audible": Audible("rhythm", "beginning")}) as it:
        await it.worker.queue_frames([HeldAnswerFrame("你好。", complete=True), HeldAnswerFrame("")])  # dropped
        await it.worker.queue_frame(HeldAnswerFrame("你好。", complete=True))
        await it.say("你好。")
        await it.say("你好。")
        await it.end()
        label = it.loudspeaker.seconds - 4 * TOKEN_SECONDS
        assert 3 * UNIT - 0.05 < label < 6 * UNIT + APART
        assert it.remembered == "你好。你好。"


async def test_where_text_is_transformed_nothing_is_got_ready():
    async def louder(text, _):
        return text.replace("三", "九")

    async with stage(service={"text_transforms": [("*", louder)]}) as it:
        await it.worker.queue_frame(HeldAnswerFrame(TEXT, complete=True))
        await it.downstream.saw(HeldAnswerFrame)
        assert it.synthesizer.active == 0
        await it.say(*TEXT)
        await it.end()
        assert it.remembered == TEXT


async def test_a_call_that_ends_drops_what_it_holds():
    async with stage() as it:
        await hold(it, HeldAnswerFrame(TEXT))
        await it.end()
        await it.worker.cancel()
        assert await asyncio.to_thread(it.synthesizer.engine.stopped.wait, 10)


async def test_playback_begins_when_it_is_told_to():
    chunks = asyncio.Queue()
    loop = asyncio.get_running_loop()
    with Synthesizer(ToneEngine()) as synthesizer:

        def deliver(chunk):
            loop.call_soon_threadsafe(chunks.put_nowait, chunk)

        utterance = synthesizer.open(on_chunk=deliver, on_end=deliver, real_time=False, max_lead=0.0)
        utterance.feed("一二三。")
        utterance.end()
        await asyncio.wait_for(chunks.get(), 10)
        utterance._heard_since -= 60  # it was held for a minute
        utterance.play(10.0)
        assert utterance.lead(time.monotonic()) > 0
        for _ in range(3):
            last = await asyncio.wait_for(chunks.get(), 10)
        assert last is None, "all of it, and its end"
        assert utterance.report.underruns == 0
