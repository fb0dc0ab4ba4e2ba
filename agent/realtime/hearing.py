"""What a client of the Realtime API says, as sound: passed on to the ears as it comes, or kept until it commits it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from pipecat.frames.frames import InputAudioRawFrame

from agent.realtime.asked import Refusal

IN_RATE = 16000
"""Hz that the ears take."""
FRAME_BYTES = IN_RATE // 50 * 2
MAX_APART = 5 * FRAME_BYTES
"""Bytes of sound between the two ends of the pipeline, however fast it comes."""
MAX_BUFFER = 120 * IN_RATE * 2
"""Bytes of sound kept for a `commit`."""
LEAST_COMMIT = IN_RATE // 10 * 2
MAX_AHEAD = 30.0
"""Seconds of sound taken ahead of the clock; who sends faster is read as fast as people speak."""


class ClientsSound:
    """The sound of one session, in 16-bit samples at `IN_RATE`, counted in bytes from its beginning."""

    def __init__(self) -> None:
        self.listened = 0
        """What has been through the ears."""
        self._begun = asyncio.get_running_loop().time()
        self._received = 0
        self._passed = 0
        """What has been sent to the ears."""
        self._room = asyncio.Event()
        self._cut = b""
        """Sound that does not fill a frame yet."""
        self._buffer = bytearray()
        """Sound that waits for a `commit`."""

    async def pass_on(self, pcm: bytes, push: Callable[[InputAudioRawFrame], Awaitable[None]]) -> None:
        """Give sound to the ears, in frames of 20 ms, and no faster than they take it."""
        await self._in_time(pcm)
        pcm = self._cut + pcm
        whole = len(pcm) // FRAME_BYTES * FRAME_BYTES
        self._cut = pcm[whole:]
        for start in range(0, whole, FRAME_BYTES):
            await push(InputAudioRawFrame(pcm[start : start + FRAME_BYTES], IN_RATE, 1))
            self._passed += FRAME_BYTES
            await self._keep_together()

    def heard(self, frame: InputAudioRawFrame) -> None:
        """A frame has been through the ears."""
        self.listened += len(frame.audio)
        self._room.set()

    async def keep(self, pcm: bytes) -> None:
        """Keep sound for a commit.

        Raises:
            Refusal: Too much is kept already.
        """
        await self._in_time(pcm)
        if len(self._buffer) + len(pcm) > MAX_BUFFER:
            raise Refusal(f"more than {MAX_BUFFER // 2 // IN_RATE} s wait for a commit", "input_audio_buffer_full")
        self._buffer += pcm

    def taken(self) -> bytes:
        """What was kept; nothing is kept any more.

        Raises:
            Refusal: It is too little to be speech.
        """
        if len(self._buffer) < LEAST_COMMIT:
            raise Refusal(
                f"the buffer has {milliseconds(len(self._buffer))} ms of audio; 100 are needed",
                "input_audio_buffer_commit_empty",
            )
        pcm = bytes(self._buffer)
        self.clear()
        return pcm

    def clear(self) -> None:
        """Forget what was kept."""
        self._buffer.clear()

    async def _in_time(self, pcm: bytes) -> None:
        """Make who sends faster than people speak wait."""
        self._received += len(pcm)
        ahead = self._received / 2 / IN_RATE - (asyncio.get_running_loop().time() - self._begun)
        if ahead > MAX_AHEAD:
            await asyncio.sleep(ahead - MAX_AHEAD)

    async def _keep_together(self) -> None:
        """Wait for the ears: the recogniser, which is ahead of them, keeps little of what was before a voice began."""
        with contextlib.suppress(TimeoutError):
            while self._passed - self.listened > MAX_APART:
                self._room.clear()
                await asyncio.wait_for(self._room.wait(), 1)


def milliseconds(size: int) -> int:
    """How long so many bytes of sound are."""
    return size // (IN_RATE // 1000 * 2)
