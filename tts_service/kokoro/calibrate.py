"""A voice's normalisation constants, from a few of its renderings.

`tts_service.kokoro.rendering` tells what the instance norms saw in each; what is kept is the average, the factor that
brings the voice to the common loudness, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tts_service.kokoro.rendering import Rendering
from tts_service.kokoro.voice import SAMPLE_RATE, Normalisation

LOUDNESS = -20.0
"""Of every voice, LUFS (ITU-R BS.1770-5)."""
_BLOCK = 0.4
"""Seconds that are as loud as they are together."""


def calibrate(renderings: Sequence[Rendering]) -> Normalisation:
    """The constants of a voice.

    Args:
        renderings: What it said in one style or table: every language it is meant to speak, of very different lengths.
    """
    heard = loudness([one.samples for one in renderings])
    return Normalisation(
        np.mean([one.statistics for one in renderings], axis=0),
        np.mean([one.summary for one in renderings], axis=0),
        float(10 ** ((LOUDNESS - heard) / 20)),
    )


def loudness(recordings: Sequence[NDArray[np.float32]]) -> float:
    """Integrated loudness of recordings one after the other, LUFS (ITU-R BS.1770-5).

    Args:
        recordings: Each [n] at 24 kHz, together at least 0.4 s with something to hear.
    """
    samples = np.concatenate(recordings)
    size = 1 << (2 * len(samples) - 1).bit_length()
    weighted = np.fft.irfft(np.fft.rfft(samples, size) * _weighting(np.fft.rfftfreq(size, 1 / SAMPLE_RATE)))
    step = round(_BLOCK * SAMPLE_RATE / 4)
    quarters = np.square(weighted[: len(samples) // step * step].reshape(-1, step)).mean(axis=1)
    blocks = np.convolve(quarters, np.full(4, 0.25), mode="valid")
    level = -0.691 + 10 * np.log10(blocks + 1e-12)
    kept = blocks[level > -70]
    gate = -0.691 + 10 * np.log10(kept.mean()) - 10
    return float(-0.691 + 10 * np.log10(blocks[level > max(gate, -70)].mean()))


def _weighting(frequencies: NDArray) -> NDArray:
    """The K-weighting's response: the two filters that the recommendation gives for 48 kHz."""
    z = np.exp(-2j * np.pi * frequencies / 48000)
    shelf = (1.53512485958697 - 2.69169618940638 * z + 1.19839281085285 * z**2) / (
        1 - 1.69065929318241 * z + 0.73248077421585 * z**2
    )
    high_pass = (1 - 2 * z + z**2) / (1 - 1.99004745483398 * z + 0.99007225036621 * z**2)
    return shelf * high_pass
