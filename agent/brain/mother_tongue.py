"""While nobody has chosen a voice, every answer is spoken by somebody who grew up with its language."""

from __future__ import annotations

from collections.abc import Callable

from pipecat.frames.frames import Frame, LLMFullResponseStartFrame, TTSUpdateSettingsFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.settings import is_given

from agent.brain.llm import is_chinese, last_user_text
from tts_service.rehearsal import HeldAnswerFrame
from tts_service.service import GLMTTSSettings


class MotherTongue(FrameProcessor):
    """Stands between brain and voice. An answer is taken to be in the language of what it answers.

    Args:
        context: The conversation.
        voice_for: The voice for `zh` or `en`; None: leave it as it is. Not asked once somebody has chosen a voice.
    """

    def __init__(self, context: LLMContext, voice_for: Callable[[str], str | None]) -> None:
        super().__init__()
        self._context = context
        self._voice_for = voice_for
        self._speaking: str | None = None
        self._chosen = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Set the voice ahead of the answer."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSUpdateSettingsFrame) and frame.delta is not None and is_given(frame.delta.voice):
            self._chosen = True
        if isinstance(frame, LLMFullResponseStartFrame):
            await self._speak_as(last_user_text(self._context))
        elif isinstance(frame, HeldAnswerFrame) and any(map(str.isalpha, frame.text)):
            await self._speak_as(frame.text)  # what it answers is not in the context yet
        await self.push_frame(frame, direction)

    async def _speak_as(self, text: str) -> None:
        voice = None if self._chosen else self._voice_for("zh" if is_chinese(text) else "en")
        if voice is not None and voice != self._speaking:
            self._speaking = voice
            await self.push_frame(TTSUpdateSettingsFrame(delta=GLMTTSSettings(voice=voice)))
