"""The agent's voice gives way while nobody knows yet whether somebody interrupts it."""

from __future__ import annotations

import time

import numpy as np
from pipecat.audio.filters.base_audio_filter import BaseAudioFilter
from pipecat.frames.frames import FilterControlFrame

FALL_SECONDS, RISE_SECONDS = 0.03, 0.25
"""From full to no loudness, and back."""
PAUSE_SECONDS = 0.2
"""Without a sound, after which what comes is another utterance and begins as loud as it should be."""


class Ducking(BaseAudioFilter):
    """An output filter whose loudness can be lowered at once, also of what is already on its way to the transport.

    Give it to a transport as `audio_out_filter`, and its `to` to `UserTurnStart`:

        ducking = Ducking()
        params = TransportParams(audio_out_enabled=True, audio_out_filter=ducking)
        start = UserTurnStart(duck=lambda doubtful: ducking.to(12 if doubtful else 0))

    Args:
        behind: Another filter, through which the sound goes first.
    """

    def __init__(self, behind: BaseAudioFilter | None = None) -> None:
        self._behind = behind
        self._rate = 0
        self._gain = self._wanted = 1.0
        self._latest = 0.0

    def to(self, decibels: float) -> None:
        """Speak so much more quietly from now on; 0: as loud as ever."""
        self._wanted = 10 ** (-decibels / 20)

    async def start(self, sample_rate: int) -> None:
        """Take the transport's rate in Hz."""
        self._rate = sample_rate
        if self._behind:
            await self._behind.start(sample_rate)

    async def stop(self) -> None:
        """Nothing is held here."""
        if self._behind:
            await self._behind.stop()

    async def process_frame(self, frame: FilterControlFrame) -> None:
        """For the filter behind; this one is told by `to`, as frames wait for the sound before them."""
        if self._behind:
            await self._behind.process_frame(frame)

    async def filter(self, audio: bytes) -> bytes:
        """Change the loudness of mono s16le PCM."""
        if self._behind:
            audio = await self._behind.filter(audio)
        now, before = time.monotonic(), self._latest
        self._latest = now
        if now - before > PAUSE_SECONDS:
            self._gain = self._wanted
        if not audio or self._gain == self._wanted == 1.0:
            return audio
        samples = np.frombuffer(audio, np.int16).astype(np.float32)
        seconds = len(samples) / self._rate
        gain = min(max(self._wanted, self._gain - seconds / FALL_SECONDS), self._gain + seconds / RISE_SECONDS)
        samples *= np.linspace(self._gain, gain, len(samples), dtype=np.float32)
        self._gain = gain
        return samples.astype(np.int16).tobytes()
