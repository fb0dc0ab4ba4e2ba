"""Keeping 8-bit products exact on every CPU.

x86 processors without VNNI instructions multiply unsigned activations by signed weights with `vpmaddubsw`, which adds
the products of two neighbours in 16 bits and saturates. Whether that ever happens depends on the weights: activations
reach 255, so two neighbours of one sign are safe if together they stay within 128 (255 x 128 = 32,640). The weights of
the packaged model do. Others become unsigned here, as the same numbers around a zero point of 128: those products take
wider, slower instructions that never saturate.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

HIGHEST_PAIR = 32767 // 255
"""What two neighbouring weights of one sign may come to."""
_WEIGHTS = {"MatMulInteger": ((1, 3),), "MatMulIntegerToFloat": ((1, 5),), "DynamicQuantizeLSTM": ((1, 9), (2, 11))}
"""Operators with 8-bit weights: the inputs that hold them and their zero points."""


def saturates(weight: NDArray[np.int8]) -> bool:
    """Whether activations exist that overflow 16 bits with these weights [..., depth, columns], however they pair."""
    wide = weight.astype(np.int16)
    rising, falling = np.maximum(wide, 0), np.maximum(-wide, 0)
    return any((part[..., 1:, :] + part[..., :-1, :]).max(initial=0) > HIGHEST_PAIR for part in (rising, falling))


def make_exact(model: onnx.ModelProto) -> list[str]:
    """Make the weights unsigned, in place, of every product that could saturate; the outputs of the operators changed.

    Raises:
        ValueError: A product has signed weights that are no constants, so nothing can be said of it.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    changed = []
    for node in model.graph.node:
        for place, zero_place in _WEIGHTS.get(node.op_type, ()):
            if node.input[place] not in constants:
                raise ValueError(f"{node.op_type} {node.output[0]}: the weights are no constants")
            weight = numpy_helper.to_array(constants[node.input[place]])
            if weight.dtype != np.int8 or not saturates(weight):
                continue
            named = node.input[zero_place] if len(node.input) > zero_place else ""
            zero = numpy_helper.to_array(constants[named]) if named else np.array(0, np.int8)
            node.input.extend([""] * (zero_place + 1 - len(node.input)))
            for i, values in ((place, weight), (zero_place, zero)):
                unsigned = (values.astype(np.int16) + 128).astype(np.uint8)
                node.input[i] = f"{node.output[0]}/unsigned_{i}"
                model.graph.initializer.append(numpy_helper.from_array(unsigned, node.input[i]))
            changed.append(node.output[0])
    if changed:
        used = {name for node in model.graph.node for name in node.input}
        kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
    return changed
