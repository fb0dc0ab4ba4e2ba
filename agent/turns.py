"""Turn-taking: when the user begins, when the user has finished, and what interrupts the agent."""

from __future__ import annotations

from pipecat.audio.turn.smart_turn.base_smart_turn import SmartTurnParams
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregatorParams
from pipecat.turns.empty_user_turn import EmptyUserTurnConfig
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy
from pipecat.turns.user_stop import BaseUserTurnStopStrategy, TurnAnalyzerUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from agent.settings import TurnSettings
from agent.stt import NothingHeardFrame

WORST_TRANSCRIPTION_SECONDS = 15.0
"""Longer than the recogniser ever takes on two busy cores. A turn that closed earlier would close empty, and its
transcript would then interrupt the answer to nothing."""

RESUME = (
    "The user made a sound but said nothing, and your last answer was cut off by it. "
    "Go on exactly where you stopped, without repeating what was said and without mentioning the interruption."
)
"""What the brain is told when a cough or a door interrupted it."""


class UserTurnStart(BaseUserTurnStartStrategy):
    """Begins the user's turn at their voice or, to interrupt a speaking agent, at their words.

    While the agent is silent any voice begins a turn. While it speaks, `interrupt="voice"` stops it at the first sign
    of speech, and `interrupt="words"` waits for a transcript of at least `min_characters` hanzi or letters: murmurs of
    agreement (嗯, 对, uh-huh) and noise then pass by. Pipecat's own minimum counts words between spaces, of which a
    Chinese sentence has one.
    """

    def __init__(self, *, interrupt: str = "voice", min_characters: int = 3) -> None:
        super().__init__()
        self._by_voice = interrupt == "voice"
        self._min_characters = min_characters
        self._bot_speaking = False

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Look at one frame; STOP when it begins a turn."""
        if isinstance(frame, BotStartedSpeakingFrame):
            self._bot_speaking = True
        elif isinstance(frame, BotStoppedSpeakingFrame):
            self._bot_speaking = False
        elif isinstance(frame, VADUserStartedSpeakingFrame):
            if self._by_voice or not self._bot_speaking:
                return await self._start()
        elif isinstance(frame, (TranscriptionFrame, InterimTranscriptionFrame)):
            if not self._bot_speaking or character_count(frame.text) >= self._min_characters:
                return await self._start()
            await self.trigger_reset_aggregation()
        return ProcessFrameResult.CONTINUE

    async def _start(self) -> ProcessFrameResult:
        await self.trigger_user_turn_started()
        return ProcessFrameResult.STOP


class NothingHeardStop(BaseUserTurnStopStrategy):
    """Ends a turn in which there was a sound but no word, as soon as the recogniser says so.

    Pipecat waits for a transcript, which never comes after a cough; the turn would hang until its timeout, and the
    agent with it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._speaking = False
        self._heard = False

    async def handle_user_turn_started(self) -> None:
        """A new turn has no words yet."""
        self._heard = False

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Look at one frame; finalise a turn that turned out to be empty."""
        if isinstance(frame, VADUserStartedSpeakingFrame):
            self._speaking = True
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self._speaking = False
        elif isinstance(frame, (TranscriptionFrame, InterimTranscriptionFrame)):
            self._heard = True
        elif isinstance(frame, NothingHeardFrame) and not self._heard and not self._speaking:
            await self.trigger_user_turn_finalized()
        return ProcessFrameResult.CONTINUE


def character_count(text: str) -> int:
    """Hanzi, letters and digits in a text; punctuation and spaces do not count."""
    return sum(char.isalnum() for char in text)


def turn_taking(settings: TurnSettings) -> LLMUserAggregatorParams:
    """Everything the user side of the conversation needs: voice activity, turn start, turn end.

    Loads two small ONNX models (about 0.2 s): call it off the event loop.
    """
    vad = SileroVADAnalyzer(
        params=VADParams(
            confidence=settings.confidence,
            start_secs=settings.start_seconds,
            stop_secs=settings.stop_seconds,
            min_volume=settings.min_volume,
        )
    )
    end_of_turn = LocalSmartTurnAnalyzerV3(params=SmartTurnParams(stop_secs=settings.max_pause))
    return LLMUserAggregatorParams(
        vad_analyzer=vad,
        user_turn_strategies=UserTurnStrategies(
            start=[UserTurnStart(interrupt=settings.interrupt, min_characters=settings.min_characters)],
            stop=[TurnAnalyzerUserTurnStopStrategy(turn_analyzer=end_of_turn), NothingHeardStop()],
        ),
        user_turn_stop_timeout=WORST_TRANSCRIPTION_SECONDS,
        empty_user_turn=EmptyUserTurnConfig(interrupted_prompt=RESUME),
    )
