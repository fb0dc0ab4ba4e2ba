"""Nod or interruption by its sound: what somebody is about to say while the agent speaks.

The recogniser's encoder hears more in the first syllables than its decoder can write. Small networks weigh its states,
again and again as long as the voice goes on; they were fitted by `python -m tests.benchmarks.turns --train reactions`
on nods, interruptions and noises that the embedded voices and a little arithmetic make.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import DataFrame

WEIGHTS = Path(__file__).with_name("reaction.npz")
REACH = 5
"""Frames that are seen at once."""
JUST_NOW = 8
"""Frames that count once more, as the latest."""


@dataclass
class ReactionFrame(DataFrame):
    """How a voice during the agent's speech sounds so far."""

    meant: float
    """Probability that it interrupts, and is neither nod nor noise."""
    whole: bool = False
    """Whether it has ended, as far as a lull can tell."""


@dataclass(frozen=True)
class Reactions:
    """Weighs the states of Whisper base's encoder: a layer for each, one for neighbours, and what that comes to.

    Several such networks listen, each fitted in its own way: where one has learnt a throat by heart, the others object.

    Attributes:
        inner: [networks, 512, units].
        inner_offsets: [networks, units], added before what is negative becomes nothing, as everywhere.
        near: [networks, REACH, units, units], for the frames around.
        near_offsets: [networks, units].
        outer: [networks, 3 * units], for mean, maximum, and the mean of the latest; with the network's share in it.
        bias: Of the sum, [].
    """

    inner: NDArray[np.float32]
    inner_offsets: NDArray[np.float32]
    near: NDArray[np.float32]
    near_offsets: NDArray[np.float32]
    outer: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def packaged(cls) -> Reactions:
        """As fitted."""
        with np.load(WEIGHTS) as kept:
            return cls(**{part.name: kept[part.name].astype(np.float32) for part in fields(cls)})

    @classmethod
    def together(cls, networks: Sequence[Reactions], shares: Sequence[float]) -> Reactions:
        """The mean of what several say, in log-odds.

        Args:
            networks: Of one size.
            shares: What each counts; they add up to 1.
        """
        parts = {part.name: np.concatenate([getattr(one, part.name) for one in networks]) for part in fields(cls)[:-2]}
        outer = np.concatenate([share * one.outer for share, one in zip(shares, networks, strict=True)])
        bias = sum(share * one.bias for share, one in zip(shares, networks, strict=True))
        return cls(**parts, outer=outer.astype(np.float32), bias=np.asarray(bias, np.float32))

    def keep(self, file: Path) -> None:
        """Write the weights."""
        parts: dict[str, Any] = {part: np.asarray(value, np.float16) for part, value in vars(self).items()}
        np.savez_compressed(file, **parts)

    def meant(self, states: NDArray[np.float32]) -> float:
        """Probability that what is heard interrupts.

        Args:
            states: [frames, 512] since shortly before the voice began.
        """
        units = np.maximum(states @ self.inner + self.inner_offsets[:, None], 0)
        around = np.pad(units, ((0, 0), (REACH // 2, REACH // 2), (0, 0)))
        seen = self.near_offsets[:, None] + sum(around[:, i : i + len(states)] @ self.near[:, i] for i in range(REACH))
        seen = np.maximum(seen, 0)
        pooled = np.concatenate([seen.mean(axis=1), seen.max(axis=1), seen[:, -JUST_NOW:].mean(axis=1)], axis=1)
        return float(1 / (1 + np.exp(-((pooled * self.outer).sum() + self.bias))))
