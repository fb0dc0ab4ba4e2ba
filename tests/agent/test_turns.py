import pytest
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)

from agent.settings import TurnSettings
from agent.stt import NothingHeardFrame
from agent.turns import WORST_TRANSCRIPTION_SECONDS, NothingHeardStop, UserTurnStart, character_count, turn_taking


def said(text):
    return TranscriptionFrame(text, "", "")


async def turns_begun(strategy, *frames):
    """Which of the frames begin a turn, by index."""
    begun = []
    where = 0

    async def on_started(_, params):
        assert params.enable_interruptions
        begun.append(where)

    strategy.add_event_handler("on_user_turn_started", on_started)
    for where, frame in enumerate(frames):  # noqa: B007 (read by the handler)
        await strategy.process_frame(frame)
    return begun


@pytest.mark.parametrize(
    ("interrupt", "frames", "begun"),
    [
        ("voice", [VADUserStartedSpeakingFrame()], [0]),
        ("voice", [BotStartedSpeakingFrame(), VADUserStartedSpeakingFrame()], [1]),
        ("words", [VADUserStartedSpeakingFrame()], [0]),
        ("words", [BotStartedSpeakingFrame(), VADUserStartedSpeakingFrame()], []),
        ("words", [BotStartedSpeakingFrame(), said("嗯。")], []),
        ("words", [BotStartedSpeakingFrame(), said("uh, ...")], []),
        ("words", [BotStartedSpeakingFrame(), said("等一下！")], [1]),
        ("words", [BotStartedSpeakingFrame(), said("wait")], [1]),
        ("words", [BotStartedSpeakingFrame(), InterimTranscriptionFrame("等一下", "", "")], [1]),
        ("words", [BotStartedSpeakingFrame(), BotStoppedSpeakingFrame(), said("嗯。")], [2]),
        ("voice", [said("嗯。")], [0]),
    ],
)
async def test_what_begins_a_turn(interrupt, frames, begun):
    assert await turns_begun(UserTurnStart(interrupt=interrupt, min_characters=3), *frames) == begun


@pytest.mark.parametrize(
    ("text", "count"), [("等一下！", 3), ("嗯……", 1), ("", 0), ("uh huh", 5), ("12点，OK", 5), ("。？！", 0)]
)
def test_characters_are_counted_without_punctuation(text, count):
    assert character_count(text) == count


@pytest.mark.parametrize(
    ("frames", "ended"),
    [
        ([VADUserStartedSpeakingFrame(), VADUserStoppedSpeakingFrame(), NothingHeardFrame()], True),
        ([VADUserStartedSpeakingFrame(), VADUserStoppedSpeakingFrame(), said("你好"), NothingHeardFrame()], False),
        ([VADUserStartedSpeakingFrame(), NothingHeardFrame()], False),
        ([VADUserStartedSpeakingFrame(), VADUserStoppedSpeakingFrame()], False),
    ],
)
async def test_a_turn_without_words_ends_at_once(frames, ended):
    strategy = NothingHeardStop()
    ends = []

    async def on_stopped(*_):
        ends.append(True)

    strategy.add_event_handler("on_user_turn_stopped", on_stopped)
    strategy.add_event_handler("on_user_turn_inference_triggered", on_stopped)
    await strategy.handle_user_turn_started()
    for frame in frames:
        await strategy.process_frame(frame)
    assert bool(ends) is ended
    assert len(ends) <= 1, "an empty turn must not ask the brain for anything"


async def test_words_of_the_last_turn_do_not_count_in_the_next():
    strategy = NothingHeardStop()
    ends = []

    async def on_stopped(*_):
        ends.append(True)

    strategy.add_event_handler("on_user_turn_stopped", on_stopped)
    await strategy.handle_user_turn_started()
    await strategy.process_frame(said("你好"))
    await strategy.handle_user_turn_started()
    await strategy.process_frame(NothingHeardFrame())
    assert ends


def test_settings_reach_the_analyzers():
    params = turn_taking(
        TurnSettings(start_seconds=0.3, stop_seconds=0.4, max_pause=1.5, confidence=0.8, min_volume=0.2)
    )
    vad = params.vad_analyzer.params
    assert (vad.start_secs, vad.stop_secs, vad.confidence, vad.min_volume) == (0.3, 0.4, 0.8, 0.2)
    assert params.user_turn_strategies.stop[0]._turn_analyzer.params.stop_secs == 1.5
    assert params.user_turn_stop_timeout == WORST_TRANSCRIPTION_SECONDS
