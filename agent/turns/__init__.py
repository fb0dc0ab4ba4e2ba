"""Turn-taking: when the user begins (`start`), when the user has finished (`stop`), and what interrupts the agent."""

from __future__ import annotations

from collections.abc import Callable

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregatorParams
from pipecat.turns.empty_user_turn import EmptyUserTurnConfig
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from agent.settings import TurnSettings
from agent.turns.interjections import is_stop
from agent.turns.start import UserTurnStart
from agent.turns.stop import EndOfTurnStop

WORST_TRANSCRIPTION_SECONDS = 15.0
"""Longer than the recogniser ever takes on two busy cores. A turn that closed earlier would close empty, and its
transcript would then interrupt the answer to nothing."""

RESUME = (
    "The user made a sound but said nothing, and your last answer was cut off by it. "
    "Go on exactly where you stopped, without repeating what was said and without mentioning the interruption."
)
"""What the brain is told when a cough or a door interrupted it."""

MOST_RESUMED = 8
"""How often in a row it goes on: who nods all the time may stop it more than once, and an echo not for ever."""


def turn_taking(
    settings: TurnSettings, context: LLMContext | None = None, duck: Callable[[bool], None] | None = None
) -> LLMUserAggregatorParams:
    """Everything the user side of the conversation needs: voice activity, turn start, turn end.

    Loads two small ONNX models (about 0.2 s) and what compares words by their sound: call it off the event loop.

    Args:
        settings: Of the conversation.
        context: Where the agent's questions stand, which tell what kind of answer to wait for.
        duck: Of `UserTurnStart`.
    """
    vad = SileroVADAnalyzer(
        params=VADParams(
            confidence=settings.confidence,
            start_secs=settings.start_seconds,
            stop_secs=settings.stop_seconds,
            min_volume=settings.min_volume,
        )
    )
    if settings.interrupt == "auto":
        is_stop("课试")  # the first comparison loads the readings of hanzi
    return LLMUserAggregatorParams(
        vad_analyzer=vad,
        user_turn_strategies=UserTurnStrategies(
            start=[UserTurnStart(interrupt=settings.interrupt, min_characters=settings.min_characters, duck=duck)],
            stop=[EndOfTurnStop(context=context, longest=settings.max_pause, speculate=settings.speculate)],
        ),
        user_turn_stop_timeout=WORST_TRANSCRIPTION_SECONDS,
        empty_user_turn=EmptyUserTurnConfig(interrupted_prompt=RESUME, max_consecutive_recoveries=MOST_RESUMED),
    )
