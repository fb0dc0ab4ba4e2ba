"""Nod or interruption by its sound: what somebody is about to say while the agent speaks.

The recogniser's encoder hears more in the first syllables than its decoder can write. A logistic regression weighs its
states; it was fitted by `python -m tests.benchmarks.turns --train` on nods, interruptions and noises that the embedded
voices and a little arithmetic make.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import DataFrame

WEIGHTS = Path(__file__).with_name("reaction.npz")
JUST_NOW = 8
"""Frames that count once more, as the latest."""


@dataclass
class ReactionFrame(DataFrame):
    """How a voice during the agent's speech sounds so far."""

    meant: float
    """Probability that it interrupts, and is neither nod nor noise."""
    whole: bool = False
    """Whether it has ended, as far as a lull can tell."""


def pooled(states: NDArray[np.float32]) -> NDArray[np.float32]:
    """[frames, width] states as [3 * width]: mean, maximum, and the mean of the latest."""
    return np.concatenate([states.mean(axis=0), states.max(axis=0), states[-JUST_NOW:].mean(axis=0)])


@dataclass(frozen=True)
class Reactions:
    """Weighs the states of Whisper base's encoder.

    Attributes:
        weights: [3 * 512], for `pooled` states.
        bias: Of the sum.
    """

    weights: NDArray[np.float32]
    bias: float

    @classmethod
    def packaged(cls) -> Reactions:
        """As fitted."""
        with np.load(WEIGHTS) as kept:
            return cls(kept["weights"].astype(np.float32), float(kept["bias"]))

    def meant(self, states: NDArray[np.float32]) -> float:
        """Probability that what is heard interrupts.

        Args:
            states: [frames, 512] since shortly before the voice began.
        """
        return self.meant_pooled(pooled(states))

    def meant_pooled(self, state: NDArray[np.float32]) -> float:
        """The same of a `pooled` state."""
        return float(1 / (1 + np.exp(-(state @ self.weights + self.bias))))
