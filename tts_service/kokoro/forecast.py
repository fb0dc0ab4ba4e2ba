"""How the statistics of an utterance follow from what the front says about it, before it has been spoken.

The generator's instance norms take mean and variance over the whole utterance, which streaming does not have. It does
have all the frames that the generator will read, before the first sample. The statistics are close to a linear function
of a summary of these, the same function for every voice: what is left to each voice is a point that the line goes
through (`tts_service.kokoro.calibrate`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NORMALISATION = Path(__file__).with_name("normalisation.npz")
"""The forecast and every packaged voice's constants, made by `tts_service.kokoro.training.measure_voices`."""
RANK = 32
"""Independent ways in which the statistics move; the rest is noise of the measurement."""
STIFFNESS = 100.0
"""Ridge of the fit, in utterances: the summary has more numbers than there are utterances."""


def summary(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean and the logarithm of the spread of every channel of the decoder's features: [512, n] -> [1024]."""
    return np.concatenate([frames.mean(axis=1), np.log(frames.std(axis=1) + 1e-3)])


@dataclass(frozen=True, slots=True)
class Forecast:
    """A linear map of low rank from deviations of the summary to deviations of the statistics."""

    directions: NDArray[np.float64]
    """[summaries, RANK]."""
    least: NDArray[np.float64]
    """The lowest score seen in each direction, [RANK]; beyond, the line is not followed."""
    most: NDArray[np.float64]
    """The highest, likewise."""
    effects: NDArray[np.float64]
    """[RANK, statistics]."""

    def __call__(self, deviation: NDArray[np.float32]) -> NDArray[np.float32]:
        """How far the statistics of an utterance lie from a voice's own, given how far its summary does.

        Summed by one thread and in one order, so that the same text sounds the same in every process. (The threads of
        a BLAS library would spin on for a tenth of a second, on the core that the generator is about to need.)
        """
        scores = np.clip(np.einsum("i,ij->j", deviation, self.directions), self.least, self.most)
        return np.einsum("i,ij->j", scores, self.effects).astype(np.float32)

    @classmethod
    def fit(
        cls,
        summaries: NDArray[np.float32],
        statistics: NDArray[np.float32],
        weights: NDArray[np.float32],
        voices: NDArray[np.int64],
    ) -> Forecast:
        """Ridge regression within the voices, reduced in rank (Izenman 1975).

        Args:
            summaries: One utterance a row, [utterances, summaries].
            statistics: Likewise, [utterances, statistics].
            weights: What an error in each statistic counts, [statistics].
            voices: Whose utterance it is, [utterances].
        """
        x, y = _centred(summaries, voices), _centred(statistics * weights, voices)
        spread = x.std(axis=0) + 1e-9
        x /= spread
        dual = np.linalg.solve(x @ x.T + STIFFNESS * np.eye(len(x)), y)  # slopes = x.T @ dual
        _, _, axes = np.linalg.svd(x @ (x.T @ dual), full_matrices=False)
        axes = axes[:RANK]
        directions = x.T @ (dual @ axes.T) / spread[:, None]
        scores = _centred(summaries, voices) @ directions
        tables = (directions, scores.min(axis=0), scores.max(axis=0), axes / weights)
        return cls(*tables)

    def arrays(self) -> dict[str, NDArray]:
        """As named arrays, for the file of the packaged voices."""
        tables = {
            f"forecast.{name}": getattr(self, name).astype(np.float32) for name in ("directions", "least", "most")
        }
        return tables | {"forecast.effects": self.effects.astype(np.float16)}

    @classmethod
    def load(cls) -> Forecast:
        """The one that comes with the package."""
        with np.load(NORMALISATION) as arrays:
            return cls.of(arrays)

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray]) -> Forecast:
        """Out of what `arrays` gave."""
        names = ("directions", "least", "most", "effects")
        return cls(*(arrays[f"forecast.{name}"].astype(np.float64) for name in names))


def _centred(values: NDArray[np.float32], voices: NDArray[np.int64]) -> NDArray[np.float64]:
    """Every utterance less the average of its voice."""
    centred = values.astype(np.float64)
    for voice in np.unique(voices):
        centred[voices == voice] -= centred[voices == voice].mean(axis=0)
    return centred
