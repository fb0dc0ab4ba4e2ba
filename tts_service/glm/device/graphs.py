"""Work of fixed shapes at fixed addresses, recorded once and replayed: hundreds of launches become one.

Whatever differs from time to time must be in tensors that the work reads, and what it makes in tensors that it writes.
A CUDA graph is one way to record; without a recorder the work is simply done, which is the reference for the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch

Work = Callable[[], None]
Recorder = Callable[[Work], Work]
"""Does the work once, and gives what does it again."""


def cuda_recorder(stream: torch.cuda.Stream | None = None) -> Recorder:
    """Records CUDA graphs that share memory: they must be replayed one after the other, on one stream.

    Args:
        stream: Where to record; None: on PyTorch's own, as the default stream cannot.
    """
    pool = torch.cuda.graph_pool_handle()

    def record(work: Work) -> Work:
        work()  # as usual, which also loads the kernels; recording does nothing but record
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            work()
        return graph.replay

    return record


class Graphs:
    """All recorded work of one kind, by key.

    Args:
        record: How to record; None: not at all, the work is done every time.
    """

    def __init__(self, record: Recorder | None = None) -> None:
        self._record = record
        self._replays: dict[Hashable, Work] = {}

    def __call__(self, key: Hashable, work: Work) -> None:
        """Do the work that belongs to a key: as recorded, if it has been done before."""
        if self._record is None:
            work()
        elif key in self._replays:
            self._replays[key]()
        else:
            self._replays[key] = self._record(work)
