"""One block of memory for the past of all streams of the flow, lent by the frame.

So the past of everybody lies at fixed addresses, and what a chunk looks at is a list of numbers: that is what a
recorded graph needs. A row holds the keys or the values of a frame in one layer at one ODE step, of both branches.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tts_service.glm.device.fetch import sent
from tts_service.glm.flow_matching.dit import BRANCHES, HEAD_DIM, DiTSizes

NOTHING, NOBODY = 0, 1
"""Slots of zeros, to look at where there is nothing, and of what nobody will look at, to write what is not kept."""


class FramePool:
    """Slots for so many frames, each with all its rows."""

    def __init__(
        self, sizes: DiTSizes, steps: int, frames: int, device: torch.device | str, dtype: torch.dtype = torch.float32
    ) -> None:
        self.sizes, self.steps, self.frames = sizes, steps, frames + 2
        self.rows = torch.zeros(
            steps * sizes.depth * 2 * self.frames, BRANCHES * sizes.width, device=device, dtype=dtype
        )
        """[steps * depth * 2 * slots, 2 * width]."""
        self._free = np.arange(self.frames - 1, NOBODY, -1)
        self._left = frames

    @staticmethod
    def frame_size(sizes: DiTSizes, steps: int, dtype: torch.dtype) -> int:
        """Bytes of a slot."""
        return steps * sizes.depth * 2 * BRANCHES * sizes.width * dtype.itemsize

    @property
    def left(self) -> int:
        """Slots that nobody has."""
        return self._left

    def take(self, count: int) -> NDArray[np.int64]:
        """Numbers of slots.

        Raises:
            MemoryError: There are not so many. Whoever admits streams by their bytes does not see it.
        """
        if count > self._left:
            raise MemoryError(f"{count} frames are wanted of the flow's memory, {self._left} are left")
        self._left -= count
        return self._free[self._left : self._left + count].copy()

    def give(self, slots: NDArray[np.int64]) -> None:
        """Take slots back."""
        self._free[self._left : self._left + len(slots)] = slots
        self._left += len(slots)

    def part(self, step: int, layer: int) -> Tensor:
        """Keys and values of all slots in one layer at one step, [2, slots, 2, heads, 64]."""
        first = (step * self.sizes.depth + layer) * 2 * self.frames
        return self.rows[first : first + 2 * self.frames].view(2, self.frames, BRANCHES, -1, HEAD_DIM)


class PooledPast:
    """Keys and values of one utterance in slots of a pool, given back when it is forgotten (see `flow_cache.Past`)."""

    def __init__(self, pool: FramePool, frames: int) -> None:
        self.pool, self.slots = pool, pool.take(frames)
        weakref.finalize(self, pool.give, self.slots)

    def places(self, frames: Sequence[int]) -> Tensor:
        """For `write`."""
        return sent(self.slots[list(frames)].tolist(), self.pool.rows.device)

    def write(self, step: int, layer: int, places: Tensor, kv: Tensor) -> None:
        """Keep keys and values [2, branches, heads, n, 64]."""
        self.pool.part(step, layer)[:, places, : kv.shape[1]] = kv.permute(0, 3, 1, 2, 4).to(self.pool.rows.dtype)

    def read(self, step: int, layer: int, parts: Sequence[slice]) -> list[Tensor]:
        """What was kept, [2, BRANCHES, heads, n, 64] of each part."""
        kept = self.pool.part(step, layer)
        return [kept[:, self.slots[part]].permute(0, 2, 3, 1, 4) for part in parts]
