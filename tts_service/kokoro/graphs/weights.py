"""Named access to the weights of the stock int8 ONNX file."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper


class Weights:
    """The initializers of the stock graph, by the path of the layer they belong to."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._nodes = {node.name: node for node in model.graph.node}
        self._readers = {name: node for node in model.graph.node for name in node.input}

    def __getitem__(self, name: str) -> NDArray:
        """An initializer by its own name."""
        return numpy_helper.to_array(self._initializers[name])

    def bias(self, layer: str) -> NDArray[np.float32]:
        """The float bias of a layer, `[out]`; zeros for a convolution that has none."""
        name = layer.strip("/").replace("/", ".") + ".bias"
        if (convolution := self._nodes.get(f"{layer}/Conv_quant")) is not None:
            reader = self._readers[convolution.output[0]]
            if reader.op_type != "Add":
                return np.zeros(len(self[convolution.input[1]]), np.float32)
            name = reader.name.removesuffix("_quantizedbias_add")
        return self[name]

    def convolution(self, layer: str) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """A quantised convolution: weight int8 [out, in, kernel] around zero, and its scale, one number.

        The file stores uint8 with a zero point, using 7 of the 8 bits; the difference always fits into int8.
        """
        node = self._nodes[f"{layer}/Conv_quant"]
        quantised = self[node.input[1]].astype(np.int16) - self[node.input[3]].astype(np.int16)
        if np.abs(quantised).max() > 127:
            raise ValueError(f"{layer}: the weights do not fit into int8")
        return quantised.astype(np.int8), self[node.input[1].removesuffix("_quantized") + "_scale"]

    def linear(self, layer: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A dequantised linear layer: weight float32 [in, out] and bias [out]."""
        node = self._nodes[f"{layer}/Gemm_MatMul_quant"]
        zero = self[node.input[3]].astype(np.float32)
        scale = self[node.input[1].removesuffix("_quantized") + "_scale"]
        return (self[node.input[1]].astype(np.float32) - zero) * scale, self.bias(layer)
