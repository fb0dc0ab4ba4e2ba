"""Layers that read the same input, as one product: fewer launches, and larger ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def joined(*layers: nn.Linear) -> tuple[Tensor, Tensor | None]:
    """Put weights and biases under each other, for `torch.nn.functional.linear`.

    The layers keep their names, which are the checkpoint's, and become parts of what is returned: nothing is held
    twice, and they must not be moved afterwards.
    """
    rows = [layer.out_features for layer in layers]
    weight = torch.cat([layer.weight for layer in layers])
    for layer, part in zip(layers, weight.split(rows), strict=True):
        layer.weight = nn.Parameter(part, requires_grad=False)
    if layers[0].bias is None:
        return weight, None
    bias = torch.cat([layer.bias for layer in layers])
    for layer, part in zip(layers, bias.split(rows), strict=True):
        layer.bias = nn.Parameter(part, requires_grad=False)
    return weight, bias
