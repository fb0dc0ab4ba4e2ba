"""A mark in the samples that machines find and people do not hear: all speech that leaves a `Synthesizer` carries it.

A noise that repeats every four seconds is added, in each 40 ms and each frequency 22 dB below the speech that is there
(spread spectrum; Cox et al., "Secure spread spectrum watermarking for multimedia", 1997). Nothing is delayed: the noise
is known beforehand, and its strength follows the speech that has been made so far. `tts_service.workshop.detector`
finds it. The noise is public, so that anybody can look for the mark; whoever is determined to remove it can.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
PERIOD = 4
"""Seconds after which the noise repeats: the detector need not know where a piece was cut."""
LOW, HIGH = 300, 7000
"""Hz between which the noise lies; a telephone passes less than half of it."""
STRENGTH = 0.08
"""Of the noise, as a part of the speech in the same place. What the detector finds grows with it in proportion, and so
does what could be heard."""
KEY = 20250901
_OVERLAP = 4
_FRAMES_A_SECOND = 100


@lru_cache(maxsize=8)
def noise(sample_rate: int) -> NDArray[np.float64]:
    """One period of the noise at a sample rate in Hz, [PERIOD * sample_rate]: equally strong, phases by the key."""
    bins = np.arange(LOW * PERIOD, HIGH * PERIOD)
    phases = np.random.Generator(np.random.PCG64(KEY)).uniform(0, 2 * np.pi, len(bins))
    spectrum = np.zeros(PERIOD * sample_rate // 2 + 1, np.complex128)
    audible = bins < len(spectrum)
    spectrum[bins[audible]] = np.exp(1j * phases[audible])
    return np.fft.irfft(spectrum, PERIOD * sample_rate)


class Watermark:
    """Marks one utterance, chunk by chunk; as many samples come out as go in.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._hop = max(1, sample_rate // _FRAMES_A_SECOND)
        self._size = _OVERLAP * self._hop
        self._window = np.hanning(self._size + 1)[:-1]
        one = noise(sample_rate)
        self._noise = np.concatenate([one, one[: self._size]])
        # A frame of the noise has this magnitude in every bin; two windows overlap to one and a half.
        magnitude = np.sqrt((self._window**2).sum() / len(one))
        self._scale = STRENGTH / (1.5 * magnitude)
        self._position = 0
        self._heard = np.zeros(self._size, np.float32)
        self._owed = np.zeros(self._size)

    def mark(self, samples: Samples) -> Samples:
        """The next samples of the utterance [n] with the mark in them [n], within -1..1."""
        length = len(samples)
        heard = np.concatenate([self._heard, samples])
        mark = np.concatenate([self._owed, np.zeros(length + self._size)])
        first, end = -(-self._position // self._hop), -(-(self._position + length) // self._hop)
        if count := end - first:
            starts = np.arange(first, end) * self._hop - self._position
            frames = self._frames(heard, starts)
            at = int(starts[0])
            places = mark[at : at + (count + _OVERLAP - 1) * self._hop].reshape(-1, self._hop)
            for part in range(_OVERLAP):
                places[part : part + count] += frames[:, part * self._hop : (part + 1) * self._hop]
        self._position += length
        self._heard = heard[-self._size :]
        self._owed = mark[length : length + self._size]
        return np.clip(samples + mark[:length], -1, 1).astype(np.float32)

    def _frames(self, heard: Samples, starts: NDArray[np.int64]) -> NDArray[np.float64]:
        """The noise of the frames that begin there [frames, size], as strong in every bin as what is heard.

        Of a frame that reaches beyond what has been made, the last that has been made tells how strong.
        """
        available = len(heard) - self._size
        windows = np.lib.stride_tricks.sliding_window_view
        speech = windows(heard, self._size)[np.minimum(starts + self._size, available)]
        noise = windows(self._noise, self._size)[(starts + self._position) % (PERIOD * self.sample_rate)]
        strength = np.abs(np.fft.rfft(speech * self._window, axis=1)) * self._scale
        shaped = np.fft.irfft(np.fft.rfft(noise * self._window, axis=1) * strength, self._size, axis=1)
        return shaped * self._window
