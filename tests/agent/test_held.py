"""A brain that answers ahead tells the voice what it holds back, and when that is dropped."""

import pytest
from pipecat.frames.frames import (
    EagerEndOfTurnCancelFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection

from agent.brain.held import LONGEST_BEGINNING, TellingGate
from agent.pipeline import make_brain
from agent.settings import BrainSettings
from tests.pipeline import SleepFrame, run_test
from tts_service.rehearsal import HeldAnswerFrame


@pytest.fixture
def gate():
    gate = TellingGate(name="gate")
    gate.process(UserStartedSpeakingFrame(), FrameDirection.DOWNSTREAM)
    gate.begin_speculation(True)
    return gate


def through(gate, *frames):
    """What comes out, as (text, complete) where it is told and as types where it is passed on."""
    out = [frame for given in frames for frame, _ in gate.process(given, FrameDirection.DOWNSTREAM)]
    return [(f.text, f.complete) if isinstance(f, HeldAnswerFrame) else type(f) for f in out]


START, END = LLMFullResponseStartFrame, LLMFullResponseEndFrame


def test_an_answer_is_told_as_it_grows_and_passed_on_once_it_may_be(gate):
    told = through(gate, START(), LLMTextFrame("你好，"), LLMTextFrame("世界。"), END())
    assert told == [("你好，", False), ("你好，世界。", False), ("你好，世界。", True)]
    released = through(gate, UserStoppedSpeakingFrame(), LLMTextFrame("。"))
    assert released == [UserStoppedSpeakingFrame, START, LLMTextFrame, LLMTextFrame, END, LLMTextFrame]


@pytest.mark.parametrize("complete", [True, False])
def test_what_is_dropped_is_told_to_be(gate, complete):
    through(gate, START(), LLMTextFrame("你好，"), *([END()] if complete else []))
    assert through(gate, EagerEndOfTurnCancelFrame()) == [EagerEndOfTurnCancelFrame, ("", False)]


def test_another_answer_is_told_from_its_beginning(gate):
    through(gate, START(), LLMTextFrame("你好，"))
    assert through(gate, START(), LLMTextFrame("再见。")) == [("再见。", False)]


def test_no_more_is_told_than_a_voice_makes_ahead_and_nothing_that_is_not_spoken(gate):
    silent = LLMTextFrame("不说")
    silent.skip_tts = True
    told = through(gate, START(), silent, *(LLMTextFrame("一二三四五") for _ in range(100)), END())
    assert told[0] == ("一二三四五", False)
    assert LONGEST_BEGINNING < len(told[-1][0]) <= LONGEST_BEGINNING + 5
    assert told[-1][1] is False, "there is more"


def test_an_answer_that_is_not_held_is_not_told(gate):
    gate.begin_speculation(False)
    assert through(gate, START(), LLMTextFrame("你好。"), END()) == [START, LLMTextFrame, END]


async def test_the_agent_s_brain_tells():
    context = LLMContext([{"role": "user", "content": "谢谢"}])
    down, _ = await run_test(
        make_brain(BrainSettings()),
        frames_to_send=[
            UserStartedSpeakingFrame(),
            LLMContextFrame(context, speculation=True),
            SleepFrame(0.3),
            UserStoppedSpeakingFrame(),
        ],
    )
    kinds = [type(frame) for frame in down]
    held = [frame for frame in down if isinstance(frame, HeldAnswerFrame)]
    assert kinds.index(HeldAnswerFrame) < kinds.index(UserStoppedSpeakingFrame) < kinds.index(LLMTextFrame)
    assert held[-1].text == "".join(frame.text for frame in down if isinstance(frame, LLMTextFrame)) == "不客气。"
