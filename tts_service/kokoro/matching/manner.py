"""How somebody speaks, as far as it can be counted: pitch and its range, tempo, pauses, the colour of the sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tts_service.kokoro.matching.speaker import HOP, mel, speech_frames
from tts_service.voices.pitch import pitch

PAUSE = 12
"""Frames of 10 ms from which on a silence is a pause rather than a closed mouth."""


@dataclass(frozen=True, slots=True)
class Manner:
    """What is measured in a recording of speech."""

    pitch: float
    """Median, octaves above 1 Hz."""
    range: float
    """Octaves between the tenth and the ninetieth percentile of the pitch."""
    rate: float
    """Syllables a second, pauses left out; by the peaks of loudness, so comparable rather than exact."""
    pause: float
    """Median length of the pauses in seconds; 0 where there are none."""
    dynamics: float
    """dB between the quiet and the loud of the speech: its twentieth and its ninetieth percentile, 30 at most."""
    colour: NDArray[np.float32]
    """Long-term spectrum: mean logarithm of 40 mel bands over the voiced frames, less its own mean; [40]."""

    @classmethod
    def of(cls, samples: NDArray[np.float32]) -> Self:
        """Measure a recording, [n] mono at 16 kHz."""
        track = pitch(samples)
        speech = speech_frames(samples)[: len(track)]
        track = track[: len(speech)]
        voiced = (track > 0) & speech
        octaves = np.log2(track[voiced]) if voiced.sum() > 5 else np.log2([160.0, 160.0])
        low, middle, high = np.quantile(octaves, [0.1, 0.5, 0.9])
        lengths = _inner_silences(speech)
        pauses = lengths[lengths >= PAUSE]
        talking = max(1, len(speech) - int(pauses.sum()) - _outer_silence(speech))
        return cls(
            pitch=float(middle),
            range=float(high - low),
            rate=float(_nuclei(samples, voiced) * 100 / talking),
            pause=float(np.median(pauses) / 100) if len(pauses) else 0.0,
            dynamics=_dynamics(samples, speech),
            colour=_colour(samples, voiced),
        )


def _nuclei(samples: NDArray[np.float32], voiced: NDArray[np.bool_]) -> int:
    """Syllables: voiced peaks of loudness that rise 1.5 dB out of the dips beside them (de Jong and Wempe 2009)."""
    spectrum = mel(samples)[: len(voiced), 3:28].sum(axis=1)
    level = np.convolve(10 * np.log10(spectrum + 1e-6), np.hanning(9) / np.hanning(9).sum(), mode="same")
    count, low, high = 0, np.inf, -np.inf
    for value, sounds in zip(level, voiced, strict=True):
        if sounds:
            high = max(high, value)
        low = min(low, value)
        if high - low >= 1.5 and value <= high - 1.5:
            count, low, high = count + 1, value, -np.inf
        elif value < low + 1e-9:
            high = -np.inf
    return count


def _inner_silences(speech: NDArray[np.bool_]) -> NDArray[np.int64]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], speech, [0]]).astype(np.int8)))
    begins, ends = edges[0::2], edges[1::2]
    return begins[1:] - ends[:-1]


def _outer_silence(speech: NDArray[np.bool_]) -> int:
    sounding = np.flatnonzero(speech)
    return len(speech) - (int(sounding[-1] - sounding[0]) + 1 if len(sounding) else 0)


def _dynamics(samples: NDArray[np.float32], speech: NDArray[np.bool_]) -> float:
    power = np.square(samples[: len(speech) * HOP].reshape(-1, HOP).astype(np.float64)).mean(axis=1)
    level = 10 * np.log10(np.convolve(power, np.ones(5) / 5, mode="same")[speech] + 1e-10)
    return float(min(30.0, np.subtract(*np.quantile(level, [0.9, 0.2])))) if len(level) else 0.0


def _colour(samples: NDArray[np.float32], voiced: NDArray[np.bool_]) -> NDArray[np.float32]:
    spectrum = mel(samples)[: len(voiced)][voiced[: len(samples) // HOP + 1]]
    if not len(spectrum):
        return np.zeros(40, np.float32)
    logs = np.log(np.maximum(spectrum, spectrum.max() * 1e-7)).mean(axis=0)
    return (logs - logs.mean()).astype(np.float32)
