"""Where a GPU may round the factors of float32 products to TF32, which is several times as fast.

PyTorch's own setting is one for the whole process and rounds convolutions, but not matrix products. Here each network
decides for itself and leaves the setting as it was. The flow bears rounding; the vocoder's pitch, which becomes phase,
and the nearest of 32768 codes do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allow or forbid TF32 in a block or, as a decorator, in a function."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
