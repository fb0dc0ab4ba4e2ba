"""A voice: a table of style vectors, and the constants that stand in for the statistics of a whole utterance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from tts_service.kokoro.graphs.generator import BLOCKS, CHANNELS, DILATIONS, GENERATOR, VECTORS
from tts_service.kokoro.graphs.weights import Weights

SAMPLE_RATE = 24000
FRAME = 300
"""Samples a frame; 80 frames a second."""
FEWEST = 12
"""Symbols: what is shorter (嗯, OK, 再见) is said in the style of so many. In the rows below, words alone come out
softer and less clear: of 64 renderings Whisper base understood 47, like this 51, and 48 with the row of 25 symbols."""
EPSILON = 1e-5
VOICED = 10.0
SINE_AMPLITUDE = 0.1
SOURCE_WEIGHT = "onnx::MatMul_6993"
NORMS = VECTORS // 2
"""Instance norms of a stage."""


def norms(stage: int) -> Iterator[tuple[str, int, int]]:
    """The instance norms of a stage in the order of all tables: (block, round, 1 or 2 for `adain1` or `adain2`)."""
    for block, _ in BLOCKS[stage]:
        for i in range(len(DILATIONS)):
            yield block, i, 1
            yield block, i, 2


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What the generator's instance norms see when this voice speaks, see `tts_service.kokoro.calibrate`.

    This is the average over its sentences; how a single one differs is told by `tts_service.kokoro.forecast`.
    """

    statistics: NDArray[np.float32]
    """Means and logarithms of variances, stage by stage [2, 24, channels], flat: [18432]."""
    summary: NDArray[np.float32]
    """The average summary of the same sentences, [1024]."""
    gain: float = 1.0
    """Brings the voice to the loudness that all have."""

    def arrays(self, name: str) -> dict[str, NDArray]:
        """As named arrays, for the file of a matched voice."""
        return {
            f"{name}.statistics": self.statistics,
            f"{name}.summary": self.summary,
            f"{name}.gain": np.array(self.gain),
        }

    @classmethod
    def of(cls, name: str, arrays: Mapping[str, NDArray]) -> Normalisation:
        """The voice `name` out of what `arrays` gave."""
        return cls(arrays[f"{name}.statistics"], arrays[f"{name}.summary"], float(arrays[f"{name}.gain"]))


def packed(normalisations: Mapping[str, Normalisation]) -> dict[str, NDArray]:
    """Many voices as named arrays: the middle and the reach of every number, and a byte for where a voice lies in it.

    A 254th of the reach is a tenth of what a number varies by from sentence to sentence.
    """
    found: dict[str, NDArray] = {
        "names": np.array(list(normalisations)),
        "gains": np.array([one.gain for one in normalisations.values()], np.float32),
    }
    for field in ("statistics", "summary"):
        values = np.stack([getattr(one, field) for one in normalisations.values()])
        middle, reach = ((values.max(axis=0) + sign * values.min(axis=0)) / 2 for sign in (1, -1))
        found[f"{field}.middle"], found[f"{field}.reach"] = middle.astype(np.float32), reach.astype(np.float16)
        found[field] = np.round((values - middle) / np.maximum(reach, 1e-9) * 127).astype(np.int8)
    return found


def unpacked(arrays: Mapping[str, NDArray]) -> dict[str, Normalisation]:
    """What `packed` made arrays of."""
    statistics, summaries = (
        arrays[f"{field}.middle"] + arrays[field] * (arrays[f"{field}.reach"].astype(np.float32) / 127)
        for field in ("statistics", "summary")
    )
    rows = zip(arrays["names"], statistics, summaries, arrays["gains"], strict=True)
    return {str(name): Normalisation(own, summary, float(gain)) for name, own, summary, gain in rows}


def by_stage(statistics: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Flat statistics as mean and logarithm of the variance, [24, channels] each, stage by stage."""
    start = 0
    for channels in CHANNELS:
        mean, log_variance = statistics[start : start + 2 * NORMS * channels].reshape(2, NORMS, channels)
        yield mean, log_variance
        start += 2 * NORMS * channels


@dataclass(frozen=True, slots=True)
class KokoroVoice:
    """Everything that makes a voice; a fitted voice is another of these."""

    styles: NDArray[np.float32]
    """[rows, 256]: row n - 1 serves n symbols; columns 0 to 127 steer timbre, the rest prosody."""
    normalisation: Normalisation
    rate: float = 1.0
    """Tempo factor that the voice brings along."""
    pause: float = 1.0
    """Factor of the silences between pieces."""
    english: KokoroVoice | None = None
    """A native speaker of English, for whoever is none: English words inside Mandarin lean on them."""

    def style(self, symbols: int) -> NDArray[np.float32]:
        """The style vector [256] for an utterance of that many symbols."""
        return style_row(self.styles, max(symbols, FEWEST))


def style_row(styles: NDArray[np.float32], symbols: int) -> NDArray[np.float32]:
    """The row [256] of a style table that serves an utterance of that many symbols."""
    return styles[min(symbols, len(styles)) - 1]


class Styling:
    """The generator's style projections: from a style vector and a normalisation to the affine maps of the graph."""

    def __init__(self, arrays: dict[str, NDArray[np.float32]]) -> None:
        self._arrays = arrays

    @classmethod
    def from_weights(cls, weights: Weights) -> Styling:
        """Read the projections, the snake's alphas and the convolutions that follow from the stock weights."""
        arrays: dict[str, NDArray[np.float32]] = {}
        for stage in (0, 1):
            rows: list[list[NDArray[np.float32]]] = [[], [], [], [], []]
            for block, i, norm in norms(stage):
                matrix, bias = weights.linear(f"{GENERATOR}/{block}/adain{norm}.{i}/fc")
                convolution = f"{GENERATOR}/{block}/convs1.{i}"
                alpha = weights[f"decoder.decoder.generator.{block}.alpha{norm}.{i}"].ravel()
                scale = np.atleast_1d(weights.convolution(convolution)[1])
                for row, value in zip(rows, (matrix, bias, alpha, scale, weights.bias(convolution)), strict=True):
                    row.append(value)
            matrices, *others = rows
            arrays[f"matrix{stage}"] = np.concatenate(matrices, axis=1)
            for name, values in zip(("bias", "alpha", "scale", "shift"), others, strict=True):
                arrays[f"{name}{stage}"] = np.stack(values)
        arrays["harmonics"] = weights[SOURCE_WEIGHT].ravel()
        arrays["offset"] = weights.bias(f"{GENERATOR}/m_source/l_linear")
        return cls(arrays)

    @classmethod
    def load(cls, path: Path) -> Styling:
        """Read what `save` wrote."""
        with np.load(path) as archive:
            return cls({name: archive[name] for name in archive.files})

    def save(self, file: BinaryIO) -> None:
        """Write an `.npz`."""
        np.savez(file, allow_pickle=False, **self._arrays)

    def affines(
        self, style: NDArray[np.float32], statistics: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The inputs `affine0` and `affine1` of the generator, [48 x channels], for these statistics [18432].

        AdaIN is `(1 + gamma) (x - mean) / sqrt(variance + epsilon) + beta` with gamma and beta linear in `style[:128]`
        (Huang and Belongie 2017, as in StyleTTS 2). The snake's alpha / pi multiplies it; before a second norm stands a
        convolution alone, whose scale and bias are folded in.
        """
        result = []
        both = zip(self.projections(style), by_stage(statistics), strict=True)
        for stage, (projected, (mean, log_variance)) in enumerate(both):
            convolution = self._arrays[f"scale{stage}"], self._arrays[f"shift{stage}"]
            scale = projected[:, 0] / np.sqrt(np.exp(log_variance) + EPSILON)
            shift = projected[:, 1] - scale * mean
            rows = np.empty((NORMS // 2, 4, CHANNELS[stage]), np.float32)
            rows[:, 0], rows[:, 1] = scale[0::2], shift[0::2]
            rows[:, 2] = scale[1::2] * convolution[0][1::2]
            rows[:, 3] = scale[1::2] * convolution[1][1::2] + shift[1::2]
            result.append(rows.ravel())
        return result[0], result[1]

    def projections(self, style: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Per stage [24, 2, channels]: `1 + gamma` and `beta` of each norm, times alpha / pi of the snake after it."""
        found = []
        for stage in (0, 1):
            array = {name: self._arrays[f"{name}{stage}"] for name in ("matrix", "bias", "alpha")}
            # einsum, since BLAS threads would spin on for a tenth of a second beside the generator
            rows = np.einsum("i,ij->j", style[:128], array["matrix"]).reshape(NORMS, -1) + array["bias"]
            rows = rows.reshape(NORMS, 2, CHANNELS[stage])
            rows[:, 0] += 1
            found.append(rows * (array["alpha"] / np.float32(np.pi))[:, None])
        return found

    def source(self, pitch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The harmonic source: nine sines of the pitch, weighted and squashed.

        Args:
            pitch: Fundamental frequency per frame in Hz, [n]; below 10 the frame is unvoiced.

        Returns:
            float32 [300 n]. The phase runs on through the utterance, linear between the middles of the frames.
        """
        turns = pitch.astype(np.float64) * (FRAME / SAMPLE_RATE)
        phase = np.cumsum(turns) % 1
        position = (np.arange(FRAME) + 0.5) / FRAME - 0.5  # from the middle of the frame, in frames
        before, after = np.append(0.0, turns[1:]), np.append(turns[1:], 0.0)
        slope = np.where(position < 0, before[:, None], after[:, None])
        angle = ((phase[:, None] + position * slope) % 1 * (2 * np.pi)).astype(np.float32)
        # Clenshaw's recurrence for the sum of weight[h] sin(h angle), h = 1 to 9.
        double, high, higher = 2 * np.cos(angle), np.zeros_like(angle), np.zeros_like(angle)
        for weight in self._arrays["harmonics"][::-1]:
            high, higher = weight + double * high - higher, high
        voiced = (pitch > VOICED)[:, None] * np.float32(SINE_AMPLITUDE)
        return np.tanh(high * np.sin(angle) * voiced + self._arrays["offset"]).ravel()
