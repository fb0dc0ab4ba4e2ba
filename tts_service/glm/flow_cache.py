"""What a chunk of the flow needs to know of everything before it.

The flow looks back in three ways: attention (keys and values of every layer), two position convolutions (15 frames
each) and, in the token features, four small convolutions (3 frames each) with an energy over all frames. All of it
differs from ODE step to ODE step and between the two guidance branches, except the token features. Attention sees the
whole prompt but only a window of what was said since, so that memory and time per chunk stay the same however long
the utterance grows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tts_service.glm.dit import HEAD_DIM, DiTSizes

_BRANCHES = 2
_CONV_REACH, _TOKEN_REACH = 15, 3


class TokenMemory:
    """The past of the token features."""

    def __init__(self, sizes: DiTSizes, device: torch.device | str) -> None:
        self.left = torch.zeros(sizes.token_blocks, 1, sizes.token_dim, _TOKEN_REACH, device=device)
        self.energy = torch.zeros(sizes.token_blocks, 1, 1, 2 * sizes.token_dim, device=device)
        self.settling = 0

    def extend(self, number: int, x: Tensor) -> Tensor:
        """Put the frames before in front of a convolution's input [1, E, T]."""
        return _extend(self.left[number], x, self.settling)

    def past_energy(self, number: int, y: Tensor) -> Tensor:
        """Energy [1, 1, 2E] of settled frames; those of `y` [1, T, 2E] that settle now count from the next chunk."""
        past = self.energy[number].clone()
        self.energy[number] += y[:, : self.settling].pow(2).sum(1, keepdim=True)
        return past


@dataclass(slots=True)
class StepMemory:
    """The past at one ODE step, for `DiT.forward`."""

    cache: FlowCache
    step: int

    def extend(self, number: int, x: Tensor) -> Tensor:
        """Put the frames before in front of a position convolution's input [2, width, T]."""
        return _extend(self.cache.left[self.step, number], x, self.cache.settling)

    def attend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store the chunk's keys and values [2, heads, T, 64]; return them with all that they may look back on."""
        cache = self.cache
        begin, end = cache.region - keys.shape[2], cache.region + min(cache.settled, cache.fixed + cache.window)
        found = []
        for store, fresh in ((cache.keys, keys), (cache.values, values)):
            store[self.step, layer, :, :, begin : cache.region] = fresh
            found.append(store[self.step, layer, :, :, begin:end])
        return found[0], found[1]


class FlowCache:
    """All memories of one utterance, allocated once.

    Along the frame axis of keys and values lie first the chunk being worked on (right-aligned, so that what is valid
    is one slice), then the prompt, then a ring of the last frames that were settled. Keys carry their position, so
    their order does not matter.
    """

    def __init__(
        self, sizes: DiTSizes, steps: int, region: int, fixed: int, window: int, device: torch.device | str
    ) -> None:
        self.region, self.fixed, self.window = region, fixed, window
        shape = (steps, sizes.depth, _BRANCHES, sizes.width // HEAD_DIM, region + fixed + window, HEAD_DIM)
        self.keys = torch.zeros(shape, device=device)
        self.values = torch.zeros(shape, device=device)
        self.left = torch.zeros(steps, 2, _BRANCHES, sizes.width, _CONV_REACH, device=device)
        self.tokens = TokenMemory(sizes, device)
        self.settled = 0
        """Frames, from the first of the prompt, that will not change any more."""
        self.settling = 0
        """Frames at the beginning of the current chunk that settle with it."""

    def begin(self, settling: int) -> None:
        """Announce how many frames of the coming chunk are final."""
        self.settling = self.tokens.settling = settling

    def finish(self, frames: int) -> None:
        """End a chunk of so many frames: put away what settled, over what fell out of the window."""
        end = self.settled + self.settling
        kept = [f for f in range(self.settled, end) if f < self.fixed or f >= end - self.window]
        slots = [f if f < self.fixed else self.fixed + (f - self.fixed) % self.window for f in kept]
        place = torch.tensor(slots, device=self.keys.device) + self.region
        origin = torch.tensor(kept, device=self.keys.device) + (self.region - frames - self.settled)
        for store in (self.keys, self.values):
            store[..., place, :] = store[..., origin, :]
        self.settled = end

    def follow(self, prompt: FlowCache) -> None:
        """Start behind what settled of a prompt that was worked through as one chunk in `prompt`."""
        end = self.region + prompt.settled
        self.keys[..., self.region : end, :] = prompt.keys[..., : prompt.settled, :]
        self.values[..., self.region : end, :] = prompt.values[..., : prompt.settled, :]
        self.left.copy_(prompt.left)
        self.tokens.left.copy_(prompt.tokens.left)
        self.tokens.energy.copy_(prompt.tokens.energy)
        self.settled = prompt.settled


def _extend(left: Tensor, x: Tensor, settling: int) -> Tensor:
    extended = torch.cat([left, x], dim=-1)
    left.copy_(extended[..., settling : settling + left.shape[-1]])
    return extended
