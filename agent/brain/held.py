"""A brain that answers ahead lets the voice know what it holds back."""

from __future__ import annotations

from typing import Any

from pipecat.frames.frames import (
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.turns.speculation_gate import GatedFrame, SpeculationGate, SpeculationState

from tts_service.rehearsal import HeldAnswerFrame

LONGEST_BEGINNING = 200
"""Characters that are told: more than a voice renders ahead."""


class TellingGate(SpeculationGate):
    """Pipecat's gate, with a `HeldAnswerFrame` for whatever it holds, or drops."""

    def __init__(self, *, name: str) -> None:
        super().__init__(name=name)
        self._held = ""

    def process(self, frame: Frame, direction: FrameDirection) -> list[GatedFrame]:
        """See `SpeculationGate.process`."""
        was_holding = self.state is SpeculationState.HOLDING
        emitted = super().process(frame, direction)
        if direction is FrameDirection.DOWNSTREAM and (told := self._told(frame, was_holding)):
            emitted.append((told, direction))
        return emitted

    def _told(self, frame: Frame, was_holding: bool) -> HeldAnswerFrame | None:
        if self.state is not SpeculationState.HOLDING:
            dropped = was_holding and not isinstance(frame, UserStoppedSpeakingFrame)
            return HeldAnswerFrame("") if dropped else None
        if isinstance(frame, LLMFullResponseStartFrame):
            self._held = ""
        elif isinstance(frame, LLMFullResponseEndFrame) and self._held:
            return HeldAnswerFrame(self._held, complete=len(self._held) <= LONGEST_BEGINNING)
        elif isinstance(frame, LLMTextFrame) and not frame.skip_tts and len(self._held) <= LONGEST_BEGINNING:
            self._held += frame.text
            return HeldAnswerFrame(self._held)
        return None


def tell_what_is_held(brain: LLMService[Any]) -> None:
    """Let a brain tell the voice what it holds back. Call it before it runs."""
    brain._speculation_gate = TellingGate(name=f"{brain}::SpeculationGate")  # Pipecat has no public way
