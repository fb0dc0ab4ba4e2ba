"""From the device to the host and back without waiting."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def sent(values: Any, device: torch.device, dtype: torch.dtype = torch.long) -> Tensor:
    """Numbers of the host on the device, sent behind the work of the current stream."""
    on_device = device.type != "cpu"
    tensor = torch.tensor(values, dtype=dtype, pin_memory=on_device and torch.cuda.is_available())
    return tensor.to(device, non_blocking=True) if on_device else tensor


class Fetch:
    """A tensor on its way to the host; on the CPU it has arrived."""

    def __init__(self, tensor: Tensor) -> None:
        """Send it off behind the work of the current stream. What becomes of the tensor afterwards does not matter."""
        self._arrived: torch.cuda.Event | None = None
        if tensor.device.type == "cuda":
            self._tensor = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._tensor.copy_(tensor, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()
        else:
            self._tensor = tensor.clone()

    @property
    def under_way(self) -> bool:
        """Whether one would have to wait for it."""
        return self._arrived is not None and not self._arrived.query()

    def result(self) -> Tensor:
        """Wait for it."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._tensor
