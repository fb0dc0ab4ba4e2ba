"""Choosing the next speech token: repetition-aware sampling and top-k, as tensor operations.

The first is from VALL-E 2 (Chen et al. 2024). Nothing here looks at a value on the host. A draw is one number from a
counter, laid along the probabilities as they add up: the same draw alone or in a batch. They add up as whole numbers,
whose sum is the same in every order, for a GPU takes any.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tts_service.glm.device.noise import Purpose, uniform

_PARTS = 1 << 38
"""Of a probability; with `_GRID` times that the products stay within 64 bits."""
_GRID = 1 << 24
"""Places that a random number may have."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """The published constants."""

    method: str = "ras"
    """`ras` or `topk`."""
    top_k: int = 25
    top_p: float = 0.8
    """Probability mass of the nucleus (ras)."""
    window: int = 10
    """How many recent tokens count as repetition (ras)."""
    repetition: float = 0.1
    """Share of the window from which a candidate is dropped and drawn anew from the whole distribution (ras)."""


def candidates(probabilities: Tensor, ras: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """The tokens to draw from, best first, ties by lower id.

    Args:
        probabilities: [B, V].
        ras: bool [B]; where True, the nucleus is cut: tokens are taken while the mass before them is less than `top_p`.
        sampling: The constants.

    Returns:
        Weights [B, top_k], zero for what is cut off, and ids [B, top_k].
    """
    count = min(sampling.top_k, probabilities.shape[1])
    # the bits of a float that is not negative order as it does; with the id below them no two are equal
    order = torch.arange(probabilities.shape[1], 0, -1, device=probabilities.device)
    ids = ((probabilities.view(torch.int32).long() << 32) + order).topk(count, dim=-1).indices
    weights = probabilities.gather(-1, ids)
    before = weights.cumsum(-1) - weights
    return weights.masked_fill(ras[:, None] & (before >= sampling.top_p), 0.0), ids


def next_tokens(
    logits: Tensor,
    recent: Tensor,
    step: Tensor,
    shortest: Tensor,
    seed: Tensor,
    ras: Tensor,
    sampling: Sampling,
    end: int,
) -> Tensor:
    """Draw one token for each sequence.

    Args:
        logits: float32 [B, V].
        recent: The last `window` tokens of each sequence, [B, window]; -1 where there are none yet.
        step: int64 [B]; how many tokens each sequence has.
        shortest: int64 [B]; while `step` is less, `end` is not drawn.
        seed: int64 [B].
        ras: bool [B]; False: top-k.
        sampling: The constants.
        end: The id that ends speech.

    Returns:
        int64 [B].
    """
    early = (step < shortest)[:, None]
    is_end = torch.arange(logits.shape[1], device=logits.device) == end
    index = 2 * step[:, None] + torch.arange(2, device=logits.device)  # for the candidates, and for everything
    chance = uniform(seed[:, None], Purpose.SAMPLING, index)
    probabilities = logits.masked_fill(ras[:, None] & early & is_end, float("-inf")).softmax(-1)
    weights, ids = candidates(probabilities, ras, sampling)
    # for top-k the published loop draws again until it is not the end, which is a draw among the others
    weights = weights.masked_fill(early & (ids == end), 0.0)
    choice = ids.gather(1, _drawn(weights, chance[:, :1]))
    repeated = ras[:, None] & ((recent == choice).sum(-1, keepdim=True) >= sampling.window * sampling.repetition)
    return torch.where(repeated, _drawn(probabilities, chance[:, 1:]), choice).squeeze(1)


def _drawn(weights: Tensor, chance: Tensor) -> Tensor:
    """Index [B, 1], each with the probability that its weight has among all, for numbers `chance` [B, 1] in (0, 1)."""
    reached = (weights * _PARTS).long().cumsum(-1)
    target = ((chance * _GRID).long() * reached[:, -1:]) // _GRID  # less than all there is
    return (reached <= target).sum(-1, keepdim=True).clamp(max=weights.shape[1] - 1)
