"""Sample-rate conversion for a live line.

A polyphase windowed-sinc filter that gives back all it can of every 20 ms at once: its delay is under 4 ms. The stream
of a general-purpose resampler (soxr) works in blocks and, at telephone rates, holds back up to 110 ms of a call.
"""

from __future__ import annotations

from functools import cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

STOPBAND = 70.0
"""dB that whatever would fold back is kept down by."""
PASSBAND = 0.85
"""Share of the lower Nyquist frequency that passes untouched: 3.4 kHz of a telephone's 4 kHz."""


class Resampler:
    """Converts one stream of mono s16le PCM; the state between pieces is kept, so their edges cannot be heard."""

    def __init__(self, rate: int, to: int) -> None:
        common = gcd(rate, to)
        self.rate = rate
        self._up = to // common
        self._down = rate // common
        self._taps = _taps(rate, to)
        self._line = np.zeros(len(self._taps) - 1, np.float32)
        self._skip = 0

    def __call__(self, pcm: bytes) -> bytes:
        """Convert the next piece, of any length."""
        if self._up == self._down:
            return pcm
        samples = np.zeros(len(pcm) // 2 * self._up, np.float32)
        samples[:: self._up] = np.frombuffer(pcm, np.int16)
        self._line = np.concatenate((self._line, samples))
        if len(self._line) < len(self._taps):
            return b""
        filtered = np.convolve(self._line, self._taps, "valid")[self._skip :: self._down]
        consumed = len(self._line) - len(self._taps) + 1
        self._line = self._line[consumed:]
        self._skip = (self._skip - consumed) % self._down
        return np.clip(np.rint(filtered), -32768, 32767).astype(np.int16).tobytes()

    def clear(self) -> None:
        """Forget the past: the next piece has nothing to do with the last."""
        self._line = np.zeros(len(self._taps) - 1, np.float32)
        self._skip = 0


@cache
def _taps(rate: int, to: int) -> NDArray[np.float32]:
    """Low-pass at the common multiple of both rates: Kaiser-windowed sinc, [n] odd, linear phase."""
    up = to // gcd(rate, to)
    nyquist = min(rate, to) / 2
    width = 2 * np.pi * nyquist * (1 - PASSBAND) / (rate * up)
    count = int(np.ceil((STOPBAND - 8) / (2.285 * width))) | 1
    cutoff = nyquist * (1 + PASSBAND) / 2 / (rate * up)
    time = np.arange(count) - count // 2
    taps = 2 * cutoff * np.sinc(2 * cutoff * time) * np.kaiser(count, 0.1102 * (STOPBAND - 8.7))
    taps *= up / taps.sum()
    return taps.astype(np.float32)
