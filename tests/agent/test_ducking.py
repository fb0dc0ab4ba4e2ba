"""The agent gives way at once, and comes back slowly."""

import asyncio

import numpy as np
import pytest
from pipecat.frames.frames import BotStartedSpeakingFrame, BotStoppedSpeakingFrame

from agent.transports import ducking
from agent.transports.ducking import Ducking
from agent.transports.loudness import Loudness
from agent.turns.reaction import ReactionFrame
from agent.turns.start import UserTurnStart
from agent.turns.stop import NothingHeardFrame
from tests.agent.test_turns import began, ended, loud, said, set_up

RATE = 24000
PIECE = np.full(RATE // 50, 10000, np.int16).tobytes()
"""20 ms."""


async def played(filter_, pieces):
    """The samples of as many pieces, behind the filter."""
    return np.concatenate([np.frombuffer(await filter_.filter(PIECE), np.int16) for _ in range(pieces)])


async def started(behind=None):
    filter_ = Ducking(behind)
    await filter_.start(RATE)
    return filter_


async def test_a_voice_that_nobody_interrupts_is_left_alone():
    filter_ = await started()
    assert await filter_.filter(PIECE) is PIECE


async def test_it_gives_way_within_two_pieces_and_comes_back_without_a_jump():
    filter_ = await started()
    before = await played(filter_, 2)
    filter_.to(12)
    low = await played(filter_, 3)
    filter_.to(0)
    back = await played(filter_, 15)
    assert low[2 * len(PIECE) // 2 :] == pytest.approx(10000 * 10 ** (-12 / 20), abs=20)
    assert back[-1] == 10000
    whole = np.concatenate([before, low, back]).astype(float)
    assert np.abs(np.diff(whole)).max() < 20, "a click"
    assert (np.diff(back) >= -1).all()


async def test_the_next_utterance_begins_as_loud_as_ever(monkeypatch):
    filter_, now = await started(), [0.0]
    monkeypatch.setattr(ducking.time, "monotonic", lambda: now[0])
    await played(filter_, 1)
    filter_.to(60)
    await played(filter_, 3)
    filter_.to(0)
    now[0] += 1
    assert (await played(filter_, 1) == 10000).all()


async def test_the_telephones_level_is_made_before():
    filter_, alone = await started(Loudness()), Loudness()
    await alone.start(RATE)
    assert await filter_.filter(PIECE) == await alone.filter(PIECE)
    await filter_.stop()


SPEAKS, STOPS = BotStartedSpeakingFrame, BotStoppedSpeakingFrame
ANSWERED = [loud(0), began(), loud(0), ended(), said("讲个故事。"), SPEAKS()]
"""The caller's loudness is known, and the agent speaks."""


@pytest.mark.parametrize(
    ("frames", "ducked"),
    [
        ([began()], [True]),
        ([began(), ended(), said("嗯。")], [True, False]),
        ([began(), ended(), NothingHeardFrame()], [True, False]),
        ([began(), ReactionFrame(0.1)], [True]),
        ([began(), ReactionFrame(0.1), ReactionFrame(0.1, whole=True)], [True, False]),
        ([began(), ReactionFrame(0.6, whole=True)], [True]),
        ([began(), ReactionFrame(0.95), STOPS()], [True, False]),
        ([began(), ReactionFrame(0.5), ended(), began(), ReactionFrame(0.1)], [True, True]),
    ],
)
async def test_when_it_gives_way(frames, ducked):
    changes = []
    strategy = await set_up(UserTurnStart(duck=changes.append))
    for frame in ANSWERED:
        await strategy.process_frame(frame)
    changes.clear()
    for frame in [loud(0), *frames]:
        await strategy.process_frame(frame)
    await strategy.cleanup()
    assert changes == ducked


async def test_not_to_a_television():
    changes = []
    strategy = await set_up(UserTurnStart(duck=changes.append))
    for frame in [*ANSWERED, loud(-20), began()]:
        await strategy.process_frame(frame)
    await strategy.cleanup()
    assert not any(changes)


@pytest.mark.parametrize("interrupt", ["voice", "words"])
async def test_only_where_nods_are_told_apart(interrupt):
    changes = []
    strategy = await set_up(UserTurnStart(interrupt=interrupt, duck=changes.append))
    for frame in (SPEAKS(), began(), ended()):
        await strategy.process_frame(frame)
    await strategy.cleanup()
    assert not any(changes)


async def test_words_that_never_come_are_not_waited_for(monkeypatch):
    monkeypatch.setattr("agent.turns.start.LATEST_WORDS", 0.01)
    changes, over = [], asyncio.Event()
    strategy = await set_up(UserTurnStart(duck=lambda doubtful: changes.append(doubtful) or doubtful or over.set()))
    for frame in (SPEAKS(), began(), ended()):
        await strategy.process_frame(frame)
    await asyncio.wait_for(over.wait(), 5)
    assert changes == [True, False]
    await strategy.cleanup()
