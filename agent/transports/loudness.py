"""Speech at the level a telephone expects."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pipecat.audio.filters.base_audio_filter import BaseAudioFilter
from pipecat.frames.frames import FilterControlFrame

TARGET = -19.0
"""dBFS RMS while speaking; what announcement systems use, and well above the line noise of a mobile call."""
CEILING = 0.89
"""Peaks are bent to stay below -1 dBFS: G.711 clips hard at full scale."""
SPEECH_FLOOR = -45.0
"""dBFS below which a frame is a pause and says nothing about the voice's level."""
TYPICAL = -23.0
"""dBFS assumed of a voice that has not spoken yet."""
MAX_GAIN = 12.0
"""dB, up or down."""
ADAPT_SECONDS = 0.8


class Loudness(BaseAudioFilter):
    """An output filter that brings any voice to the same level, slowly enough that nobody hears it work."""

    def __init__(self) -> None:
        self._rate = 0
        self._level = TYPICAL
        self._gain = 1.0

    async def start(self, sample_rate: int) -> None:
        """Take the transport's rate in Hz."""
        self._rate = sample_rate

    async def stop(self) -> None:
        """Nothing is held."""

    async def process_frame(self, frame: FilterControlFrame) -> None:
        """There is nothing to control."""

    async def filter(self, audio: bytes) -> bytes:
        """Level mono s16le PCM."""
        if not audio:
            return audio
        samples = np.frombuffer(audio, np.int16).astype(np.float32) / 32768
        power = _decibels(samples)
        if power > SPEECH_FLOOR:
            self._level += min(1.0, len(samples) / self._rate / ADAPT_SECONDS) * (power - self._level)
        gain = 10 ** (float(np.clip(TARGET - self._level, -MAX_GAIN, MAX_GAIN)) / 20)
        samples = samples * np.linspace(self._gain, gain, len(samples), dtype=np.float32)
        self._gain = gain
        loud = np.abs(samples) > CEILING / 2
        if loud.any():
            knee = CEILING / 2
            samples[loud] = np.sign(samples[loud]) * (knee + knee * np.tanh((np.abs(samples[loud]) - knee) / knee))
        return (samples * 32767).astype(np.int16).tobytes()


def is_speech(audio: bytes) -> bool:
    """Whether mono s16le PCM is more than a pause or a breath."""
    return _decibels(np.frombuffer(audio, np.int16).astype(np.float32) / 32768) > SPEECH_FLOOR


def _decibels(samples: NDArray[np.floating]) -> float:
    return float(10 * np.log10(np.mean(samples**2) + 1e-10))
