"""Nod or interruption by its sound: what somebody is about to say while the agent speaks.

The recogniser's encoder hears more in the first syllables than its decoder can write. Two small networks weigh its
states, one as long as the voice goes on and one when it is over; they were fitted by
`python -m tests.benchmarks.turns --train reactions` on nods, interruptions and noises that the embedded voices and a
little arithmetic make.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
class Network:
    """One hidden layer.

    Attributes:
        inner: [3 * 512, units], for `pooled` states.
        offsets: [units], added before what is negative becomes nothing.
        outer: [units].
        bias: Of the sum.
    """

    inner: NDArray[np.float32]
    offsets: NDArray[np.float32]
    outer: NDArray[np.float32]
    bias: float

    def probability(self, state: NDArray[np.float32]) -> float:
        """Of an interruption."""
        units = np.maximum(state @ self.inner + self.offsets, 0)
        return float(1 / (1 + np.exp(-(units @ self.outer + self.bias))))


@dataclass(frozen=True)
class Reactions:
    """Weighs the states of Whisper base's encoder.

    Attributes:
        begun: For a voice that goes on.
        whole: For one that is over.
    """

    begun: Network
    whole: Network

    @classmethod
    def packaged(cls) -> Reactions:
        """As fitted."""
        with np.load(WEIGHTS) as kept:
            return cls(*(_unpacked(kept, name) for name in ("begun", "whole")))

    def keep(self, file: Path) -> None:
        """Write the weights."""
        networks = {"begun": self.begun, "whole": self.whole}
        parts = {f"{name}.{part}": value for name, net in networks.items() for part, value in vars(net).items()}
        arrays: dict[str, Any] = {part: np.asarray(value, _kept_as(part)) for part, value in parts.items()}
        np.savez_compressed(file, **arrays)

    def meant(self, states: NDArray[np.float32], *, whole: bool = False) -> float:
        """Probability that what is heard interrupts.

        Args:
            states: [frames, 512] since shortly before the voice began.
            whole: The voice is over.
        """
        return self.meant_pooled(pooled(states), whole=whole)

    def meant_pooled(self, state: NDArray[np.float32], *, whole: bool = False) -> float:
        """The same of a `pooled` state."""
        return (self.whole if whole else self.begun).probability(state)


def _unpacked(kept: Mapping[str, NDArray[np.floating]], name: str) -> Network:
    inner, offsets, outer, bias = (
        kept[f"{name}.{part}"].astype(np.float32) for part in ("inner", "offsets", "outer", "bias")
    )
    return Network(inner, offsets, outer, float(bias))


def _kept_as(part: str) -> type[np.floating]:
    return np.float16 if part.endswith(".inner") else np.float32
