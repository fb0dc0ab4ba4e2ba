"""What a chunk of the flow needs to know of everything before it.

The flow looks back in three ways: attention (keys and values of every layer), two position convolutions (15 frames
each) and, in the token features, four small convolutions (3 frames each) with an energy over all frames. All of it
differs from ODE step to ODE step and between the two guidance branches, except the token features. Attention sees the
whole prompt but only a window of what was said since, so that memory and time per chunk stay the same however long
the utterance grows.

A chunk is a transaction: what it learns is written where nothing valid lies, and counts only from `finish` on. So a
chunk that was stopped or failed can be worked on again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from tts_service.glm.device.fetch import sent
from tts_service.glm.flow_matching.dit import BRANCHES, HEAD_DIM, DiTSizes
from tts_service.glm.flow_matching.pool import FramePool, PooledPast

CONV_REACH, TOKEN_REACH = 15, 3


class UtteranceTokens:
    """The past of an utterance's token features and what is expected of their future (a `dit.TokenMemory`)."""

    def __init__(self, sizes: DiTSizes, device: torch.device | str) -> None:
        self.left = torch.zeros(sizes.token_blocks, 1, sizes.token_dim, TOKEN_REACH, device=device)
        self.energy = torch.zeros(sizes.token_blocks, 1, 1, 2 * sizes.token_dim, device=device)
        self.next_left, self.next_energy = self.left.clone(), self.energy.clone()
        self.expected = torch.zeros_like(self.energy)
        """Energy of the frames behind the current chunk."""
        self.settling = 0

    def extend(self, number: int, x: Tensor) -> Tensor:
        """Put the frames before in front of a convolution's input [1, E, T]."""
        return _extend(self.left[number], x, self.next_left[number], self.settling)

    def whole_energy(self, number: int, y: Tensor) -> Tensor:
        """Energy [1, 1, 2E] of settled, present and coming frames.

        What of `y` [1, T, 2E] settles counts from `finish` on.
        """
        settled = y[:, : self.settling].pow(2).sum(1, keepdim=True)
        self.next_energy[number] = self.energy[number] + settled
        return y.pow(2).sum(1, keepdim=True) + (self.energy[number] + self.expected[number])

    def finish(self) -> None:
        """What this chunk settled is the past now."""
        self.left, self.next_left = self.next_left, self.left
        self.energy, self.next_energy = self.next_energy, self.energy

    def follow(self, other: UtteranceTokens) -> None:
        """Begin where another one stands."""
        self.left.copy_(other.left)
        self.energy.copy_(other.energy)


class Past(Protocol):
    """Where keys and values of one utterance are kept; a frame is told by its place."""

    def places(self, frames: Sequence[int]) -> Tensor:
        """Places as `write` wants them."""
        ...

    def write(self, step: int, layer: int, places: Tensor, kv: Tensor) -> None:
        """Keep keys and values [2, branches, heads, n, 64]."""
        ...

    def read(self, step: int, layer: int, parts: Sequence[slice]) -> list[Tensor]:
        """What was kept, [2, BRANCHES, heads, n, 64] of each part; nothing is known of branches never written."""
        ...


class OwnPast:
    """Keys and values in a tensor of their own (a `Past`)."""

    def __init__(
        self, sizes: DiTSizes, steps: int, frames: int, device: torch.device | str, dtype: torch.dtype
    ) -> None:
        shape = (steps, sizes.depth, 2, BRANCHES, sizes.width // HEAD_DIM, frames, HEAD_DIM)
        self.kept = torch.empty(shape, device=device, dtype=dtype)

    def places(self, frames: Sequence[int]) -> Tensor:
        """See `Past`."""
        return sent(list(frames), self.kept.device)

    def write(self, step: int, layer: int, places: Tensor, kv: Tensor) -> None:
        """See `Past`."""
        self.kept[step, layer][:, : kv.shape[1], :, places] = kv.to(self.kept.dtype)

    def read(self, step: int, layer: int, parts: Sequence[slice]) -> list[Tensor]:
        """See `Past`."""
        kept = self.kept[step, layer]
        return [kept[:, :, :, part] for part in parts]


class FlowCache:
    """All memories of one utterance, allocated once; those of its prompt are shared by all utterances of a voice.

    Along the frame axis of the own keys and values lie first those frames that stay, then a ring. It is longer than the
    window by one chunk, so that what settles never lies over what is still looked at.
    """

    def __init__(
        self,
        sizes: DiTSizes,
        steps: int,
        stay: int,
        window: int,
        chunk: int,
        device: torch.device | str,
        after: FlowCache | None = None,
        dtype: torch.dtype = torch.float32,
        pool: FramePool | None = None,
    ) -> None:
        """Allocate.

        Args:
            sizes: Of the network.
            steps: ODE steps.
            stay: The first frames, which attention sees for ever.
            window: How many of the later ones it sees.
            chunk: The most frames beyond `stay` that settle at once.
            device: Where.
            after: What came before, all of which attention sees for ever.
            dtype: Of keys and values while they are kept, and of attention.
            pool: Where keys and values are kept; None: in a tensor of their own.
        """
        self.after, self._stay, self._window, self._ring = after, stay, window, window + chunk
        frames, self.device, self._dtype = stay + self._ring, torch.device(device), dtype
        self.past: Past = PooledPast(pool, frames) if pool else OwnPast(sizes, steps, frames, device, dtype)
        self.left = torch.zeros(steps, 2, BRANCHES, sizes.width, CONV_REACH, device=device)
        self.next_left = self.left.clone()
        self.tokens = UtteranceTokens(sizes, device)
        self._first: int = after.settled if after else 0
        self.settled: int = self._first
        """Frames, from the first of the prompt, that will not change any more."""
        self.settling = 0
        """Frames at the beginning of the current chunk that settle with it."""
        self._places = torch.zeros(0, dtype=torch.long, device=device)
        self.seen: list[slice] = []
        """The own frames that the current chunk looks at, in the order of time."""
        self._weights: Tensor | None = None
        if after:
            self.left.copy_(after.left)
            self.tokens.follow(after.tokens)

    @staticmethod
    def size(sizes: DiTSizes, steps: int, frames: int, dtype: torch.dtype) -> int:
        """Bytes of a cache with so many frames in all."""
        kept = steps * sizes.depth * 2 * BRANCHES * sizes.width * frames * dtype.itemsize
        margins = 2 * steps * 2 * BRANCHES * sizes.width * CONV_REACH
        tokens = sizes.token_blocks * sizes.token_dim * (2 * TOKEN_REACH + 3 * 2)
        return kept + 4 * (margins + tokens)

    def begin(self, settling: int, frames: int) -> None:
        """Announce how many frames the coming chunk has, and how many of them are final."""
        self._places = self.past.places(self.announce(settling))
        self._weights = self._standing_in(frames)

    def announce(self, settling: int) -> list[int]:
        """Announce how many frames of the coming chunk are final; return the places where they will lie."""
        self.settling = self.tokens.settling = settling
        own = self.settled - self._first
        self.seen = [slice(0, min(own, self._stay))] if own and self._stay else []
        if own > self._stay:
            begin, end = self._place(max(self._stay, own - self._window)), self._place(own - 1) + 1
            ring = [slice(begin, end)] if begin < end else [slice(begin, None), slice(self._stay, end)]
            self.seen += ring
        return [self._place(frame) for frame in range(own, own + settling)]

    @property
    def reach(self) -> int:
        """How many frames the current chunk looks back on, once it is announced."""
        before = self._first if self.after else 0
        return before + min(self.settled - self._first, self._stay + self._window)

    @property
    def standing_in(self) -> tuple[int, int, int]:
        """Frames that have left the window, and those that stand for them: the first, and how many.

        The older half of the window stands for all before it too: all heads but one know no positions, so to them what
        was said twenty seconds ago is like what was said ten seconds ago.
        """
        forgotten = self.settled - self._first - self._stay - self._window
        return max(0, forgotten), self._first + self._stay, self._window // 2

    def extend(self, step: int, number: int, x: Tensor) -> Tensor:
        """Put the frames before in front of a position convolution's input [branches, width, T]."""
        branches = len(x)
        left, following = self.left[step, number, :branches], self.next_left[step, number, :branches]
        return _extend(left, x, following, self.settling)

    def attend(self, step: int, layer: int, q: Tensor, kv: Tensor) -> Tensor:
        """Attention [branches, heads, T, 64] of a chunk to itself and to all that it may look back on.

        Keys and values [2, branches, heads, T, 64] go together: a GPU has half as many copies to launch.
        """
        self.past.write(step, layer, self._places, kv[:, :, :, : self.settling])
        before = self.after.past.read(step, layer, [slice(None)]) if self.after else []
        kept = [part[:, : kv.shape[1]] for part in (*before, *self.past.read(step, layer, self.seen))]
        seen = torch.cat([*kept, kv.to(self._dtype)], dim=3)
        mixed = F.scaled_dot_product_attention(q.to(self._dtype), seen[0], seen[1], attn_mask=self._weights)
        return mixed.to(q.dtype)

    def finish(self) -> None:
        """The chunk is done: what settled with it is the past now."""
        self.left, self.next_left = self.next_left, self.left
        self.tokens.finish()
        self.settled += self.settling

    def _standing_in(self, frames: int) -> Tensor | None:
        """Logarithmic weights [1, 1, 1, keys] of what attention sees, None while nothing has left the window."""
        forgotten, begin, half = self.standing_in
        if not forgotten or not half:
            return None
        weights = torch.zeros(1, 1, 1, begin + self._window + frames, device=self.device, dtype=self._dtype)
        weights[..., begin : begin + half] = math.log1p(forgotten / half)
        return weights

    def _place(self, own: int) -> int:
        return own if own < self._stay else self._stay + (own - self._stay) % self._ring


@dataclass(frozen=True, slots=True)
class StepMemory:
    """The past at one ODE step of the utterances in a batch, for `DiT.forward`.

    Every utterance attends on its own, to as much past as it has; all else is done for the whole batch.
    """

    caches: Sequence[FlowCache]
    step: int
    branches: int = BRANCHES
    """That are worked on in this step."""

    def extend(self, number: int, x: Tensor) -> Tensor:
        """Put the frames before in front of a position convolution's input [branches * utterances, width, T]."""
        pairs = zip(self.caches, x.split(self.branches), strict=True)
        return torch.cat([cache.extend(self.step, number, own) for cache, own in pairs])

    def attend(self, layer: int, q: Tensor, kv: Tensor) -> Tensor:
        """Attention to the past and the chunk itself.

        Args:
            layer: Of the network.
            q: [branches * utterances, heads, T, 64], as the result.
            kv: Keys and values, [2, branches * utterances, heads, T, 64].
        """
        parts = zip(self.caches, q.split(self.branches), kv.split(self.branches, dim=1), strict=True)
        return torch.cat([cache.attend(self.step, layer, *own) for cache, *own in parts])


def _extend(left: Tensor, x: Tensor, following: Tensor, settling: int) -> Tensor:
    extended = torch.cat([left, x], dim=-1)
    following.copy_(extended[..., settling : settling + left.shape[-1]])
    return extended
