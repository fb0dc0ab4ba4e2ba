"""Random numbers as a function of (seed, what for, which one).

A counter instead of a generator: an utterance draws the same numbers alone or in a batch, in one piece or in chunks,
and the draw is a handful of tensor operations without state, so it can live inside a CUDA graph. The mixing is
SplitMix64's finaliser (Steele et al. 2014).
"""

from __future__ import annotations

import math
from enum import IntEnum

import torch
from torch import Tensor


class Purpose(IntEnum):
    """Separate streams, so that no number is used twice."""

    SAMPLING = 1
    FLOW_PROMPT = 2
    FLOW = 3
    SOURCE = 4


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MIX_1 = _signed(0xBF58476D1CE4E5B9)
_MIX_2 = _signed(0x94D049BB133111EB)


def _shift(bits: Tensor, n: int) -> Tensor:
    return (bits >> n) & ((1 << (64 - n)) - 1)  # int64 has only the arithmetic shift


def _mix(bits: Tensor) -> Tensor:
    bits = (bits ^ _shift(bits, 30)) * _MIX_1
    bits = (bits ^ _shift(bits, 27)) * _MIX_2
    return bits ^ _shift(bits, 31)


def uniform(seed: Tensor, purpose: Purpose, index: Tensor) -> Tensor:
    """Numbers in the open interval (0, 1).

    Args:
        seed: int64, broadcastable against `index`.
        purpose: The stream.
        index: int64; which numbers of the stream.

    Returns:
        float32, the broadcast shape.
    """
    stream = _mix(seed * _GOLDEN + _signed(purpose * 0xD1B54A32D192ED03 % (1 << 64)))
    bits = _mix(stream + index * _GOLDEN)
    return (_shift(bits, 41).to(torch.float32) + 0.5) * (1.0 / (1 << 23))


def normal(seed: Tensor, purpose: Purpose, index: Tensor) -> Tensor:
    """Standard normal numbers (Box-Muller); arguments as for `uniform`."""
    radius = (-2 * uniform(seed, purpose, 2 * index).log()).sqrt()
    return radius * (2 * math.pi * uniform(seed, purpose, 2 * index + 1)).cos()
