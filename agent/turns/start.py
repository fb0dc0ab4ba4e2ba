"""When the user begins, and whether they interrupt the agent or only nod."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy

from agent.turns.interjections import is_nod, is_stop, means_it
from agent.turns.nearness import Nearness
from agent.turns.reaction import ReactionFrame
from agent.turns.stop import NothingHeardFrame

CLEARLY_SPEECH = 0.9
"""Seconds of voice that interrupt, whatever was recognised so far, unless it sounds like a nod."""
LONGEST_NOD = 1.3
"""Seconds of voice after which even 对对对对 is no nod any more."""
SURELY_MEANT = 0.9
"""How much a voice must sound like an interruption to stop the agent at once."""
LIKELY_MEANT = 0.75
"""The same for one that sounded so a moment ago, too, or that is over."""
LATEST_WORDS = 1.0
"""Seconds after a voice in which its words are waited for before the agent is as loud as before."""


def sounds_meant(meant: float, before: float | None, whole: bool) -> bool:
    """Whether a voice during the agent's speech interrupts it by its sound alone.

    Args:
        meant: How much it sounds like an interruption now.
        before: How much it did at the last look; None: this is the first.
        whole: It is over.
    """
    is_likely = whole or (before is not None and before >= LIKELY_MEANT)
    return meant >= (LIKELY_MEANT if is_likely else SURELY_MEANT)


class UserTurnStart(BaseUserTurnStartStrategy):
    """Begins the user's turn at their voice; while the agent speaks, at what is no nod.

    While the agent is silent any voice begins a turn. While it speaks, it depends on `interrupt`:

    `auto`: a nod (嗯, 对, uh-huh) goes by, and so does noise in which the recogniser finds no word; it is forgotten.
        What sounds like an interruption (`ReactionFrame`s, which the embedded ears send) stops the agent in its first
        syllables, 停 or wait as soon as it is recognised, by a recogniser with interim transcripts while it is said. So
        does a voice that lasts longer than a nod, and at its end whatever is more than one syllable. A voice that is
        much quieter than the caller's in this call (a television) never does. From the first moment in which there is
        a voice until that is decided, the agent may speak more quietly (`duck`).
    `voice`: any voice interrupts at once.
    `words`: a transcript of at least `min_characters` hanzi or letters interrupts.

    Args:
        interrupt: One of these.
        min_characters: For `words`.
        duck: With `auto`, called with True when the agent should speak more quietly, and with False when it is over.
    """

    def __init__(
        self, *, interrupt: str = "auto", min_characters: int = 3, duck: Callable[[bool], None] | None = None
    ) -> None:
        super().__init__()
        self._interrupt = interrupt
        self._min_characters = min_characters
        self._duck = duck or (lambda doubtful: None)
        self._bot_speaking = False
        self._in_turn = False
        self._timer: asyncio.Task[None] | None = None
        """Waits for a voice to last, and behind it for its words."""
        self._nods = False
        self._meant: float | None = None
        """How much the voice of now sounds like an interruption."""
        self._nearness = Nearness()

    async def handle_user_turn_started(self) -> None:
        """A turn runs: nothing is to be decided until it ends."""
        self._in_turn = True
        await self._stop_waiting()

    async def handle_user_turn_stopped(self) -> None:
        """The next voice may begin a turn."""
        self._in_turn = False
        self._duck(False)

    async def cleanup(self) -> None:
        """End what runs."""
        await super().cleanup()
        await self._stop_waiting()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Look at one frame; STOP when it begins a turn."""
        if isinstance(frame, InputAudioRawFrame):
            self._nearness.hear(frame.audio, frame.sample_rate)
        elif isinstance(frame, BotStartedSpeakingFrame):
            self._bot_speaking = True
        elif isinstance(frame, BotStoppedSpeakingFrame):
            self._bot_speaking = False
            self._duck(False)
        elif isinstance(frame, VADUserStartedSpeakingFrame):
            self._nearness.begin(frame.start_secs)
            if self._interrupt == "voice" or not self._bot_speaking:
                return await self._start()
            if self._interrupt == "auto" and not self._in_turn:
                await self._stop_waiting()
                self._nods, self._meant = False, None
                self._duck(not self._nearness.is_far)
                self._timer = self.task_manager.create_task(
                    self._outlast_a_nod(frame.start_secs), f"{self}::long voice"
                )
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self._nearness.end()
            await self._stop_waiting()
            if self._bot_speaking and not self._in_turn:
                self._timer = self.task_manager.create_task(self._give_words_up(), f"{self}::words")
        elif isinstance(frame, ReactionFrame) and self._interrupt == "auto" and self._bot_speaking:
            before, self._meant = self._meant, frame.meant
            is_meant = sounds_meant(frame.meant, before, frame.whole)
            if is_meant and not self._in_turn and not self._nearness.is_far:
                return await self._start()
            self._nods = frame.meant < 0.5
            if self._nearness.is_far or (frame.whole and self._nods):
                self._duck(False)
        elif isinstance(frame, NothingHeardFrame):
            self._duck(False)
        elif isinstance(frame, (TranscriptionFrame, InterimTranscriptionFrame)):
            return await self._words(frame.text, final=isinstance(frame, TranscriptionFrame))
        return ProcessFrameResult.CONTINUE

    async def _words(self, text: str, *, final: bool) -> ProcessFrameResult:
        if self._interrupt != "auto":
            interrupts = character_count(text) >= self._min_characters
        else:
            interrupts = means_it(text, self._meant) if final else is_stop(text)
            interrupts = interrupts and not self._nearness.is_far
        if interrupts or not self._bot_speaking:
            if final:
                self._nearness.learn()
            return await self._start()
        self._nods = is_nod(text)
        if final and not self._in_turn:
            self._duck(False)
            await self.trigger_reset_aggregation()
        return ProcessFrameResult.CONTINUE

    async def _outlast_a_nod(self, already: float) -> None:
        await asyncio.sleep(CLEARLY_SPEECH - already)
        if self._nods:
            await asyncio.sleep(LONGEST_NOD - CLEARLY_SPEECH)
        self._timer = None
        is_noise = self._meant is not None and self._meant < 0.5
        if not is_noise and not self._nearness.is_far:
            await self._start()
        else:
            self._duck(False)

    async def _give_words_up(self) -> None:
        await asyncio.sleep(LATEST_WORDS)
        self._timer = None
        self._duck(False)

    async def _stop_waiting(self) -> None:
        task, self._timer = self._timer, None
        if task and task is not asyncio.current_task():
            await self.task_manager.cancel_task(task)

    async def _start(self) -> ProcessFrameResult:
        await self.trigger_user_turn_started()
        return ProcessFrameResult.STOP


def character_count(text: str) -> int:
    """Hanzi, letters and digits in a text; punctuation and spaces do not count."""
    return sum(char.isalnum() for char in text)
