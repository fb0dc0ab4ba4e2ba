"""Pressed telephone keys as something the brain can read."""

from __future__ import annotations

import asyncio

from pipecat.frames.frames import Frame, InputDTMFFrame, LLMMessagesAppendFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

QUIET_SECONDS = 2.0
"""Pause after which an entry is taken for complete."""
LAST_KEY = "#"
PREFIX = "DTMF: "


class Keypad(FrameProcessor):
    """Collects keys and hands them to the brain as one message, `DTMF: 12#`, when `#` is pressed or the caller pauses.

    The first key silences the agent: whoever presses keys has heard enough of the menu.
    """

    def __init__(self) -> None:
        super().__init__()
        self._keys = ""
        self._pause: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take keys out of the stream of frames; everything else passes."""
        await super().process_frame(frame, direction)
        if not isinstance(frame, InputDTMFFrame):
            await self.push_frame(frame, direction)
            return
        if not self._keys:
            await self.broadcast_interruption()
        self._keys += frame.button.value
        await self._stop_waiting()
        if frame.button.value == LAST_KEY:
            await self._hand_on()
        else:
            self._pause = self.create_task(self._wait())

    async def cleanup(self) -> None:
        """Stop waiting for more keys."""
        await super().cleanup()
        await self._stop_waiting()

    async def _stop_waiting(self) -> None:
        if self._pause is not None:
            await self.cancel_task(self._pause)
            self._pause = None

    async def _wait(self) -> None:
        await asyncio.sleep(QUIET_SECONDS)
        self._pause = None
        await self._hand_on()

    async def _hand_on(self) -> None:
        keys, self._keys = self._keys, ""
        await self.push_frame(
            LLMMessagesAppendFrame(messages=[{"role": "user", "content": PREFIX + keys}], run_llm=True)
        )
