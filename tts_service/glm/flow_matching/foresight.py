"""How loud the token features of an utterance will have been when it is over.

The flow's response norms weigh every channel by its energy over the whole utterance. While that is being born only its
past is known, and the past misjudges the whole: the energies move with the position in the utterance. So the prompt's
own tokens, said over and over for a minute, stand in for what is still to come.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tts_service.glm.flow_matching.dit import DiT, DiTSizes

_HORIZON = 3000
"""Frames behind the prompt that are foreseen: a minute."""
_CELL = 10
"""Frames that are not told apart."""


class Foresight:
    """Expected energies in the utterances of one voice: 5 MB at the published size."""

    def __init__(self, dit: DiT, ids: Tensor) -> None:
        """Run the token features over a minute; `ids` is one token a frame of the prompt, [1, P]."""
        frames = ids.shape[1] + _HORIZON
        onlooker = _Onlooker()
        dit.embed_tokens(ids.repeat(1, -(-frames // ids.shape[1]))[:, :frames], 0, onlooker)
        self._cells = torch.stack(onlooker.cells)

    @staticmethod
    def size(sizes: DiTSizes, frames: int) -> int:
        """Bytes of it for a prompt of so many frames."""
        return 4 * sizes.token_blocks * ((frames + _HORIZON) // _CELL) * 2 * sizes.token_dim

    def between(self, first: int, last: int) -> Tensor:
        """Energies [blocks, 1, 1, 2E] of the frames from `first` to `last`, counted from the first of the prompt."""
        return self._cells[:, first // _CELL : max(first, last) // _CELL].sum(1)[:, None, None]


class _Onlooker:
    """Notes the energies while the features of an utterance are made in one piece (a `dit.TokenMemory`)."""

    def __init__(self) -> None:
        self.cells: list[Tensor] = []
        """Of each block, [cells, 2E]."""

    def extend(self, number: int, x: Tensor) -> Tensor:
        return F.pad(x, (3, 0))

    def whole_energy(self, number: int, y: Tensor) -> Tensor:
        whole = y.shape[1] // _CELL * _CELL
        self.cells.append(y[0, :whole].pow(2).unflatten(0, (-1, _CELL)).sum(1))
        return y.pow(2).sum(1, keepdim=True)
