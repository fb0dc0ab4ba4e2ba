"""The front of the stock graph: symbols to frames, pitch and durations, once per utterance.

The nodes are the stock file's own, except that its integer convolutions, which ONNX Runtime computes slowly, become
matrix products like those of the generator.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tts_service.kokoro.graphs.weights import Weights

FRAMES = "/decoder/decoder/decode.3/Div_4_output_0"
PITCH = "/encoder/Reshape_output_0"
ENERGY = "/encoder/Reshape_1_output_0"
DURATIONS = "/encoder/Gather_output_0"
READING = "/encoder/bert_encoder/Add_output_0"


def front_model(stock: onnx.ModelProto) -> onnx.ModelProto:
    """Everything before the generator.

    Inputs: `tokens` int64 [1, T], `style` float32 [1, 256] and `speed` float32 [1], as in the stock file.

    Outputs:
        FRAMES: float32 [1, 512, n], the decoder's features, 80 a second.
        PITCH: float32 [1, n], fundamental frequency in Hz; below 10 is unvoiced.
        ENERGY: float32 [1, n], a logarithmic loudness; below 0 nothing is audible.
        DURATIONS: int64 [T], the length of each token in units of two frames (25 ms).
    """
    weights = Weights(stock)
    outputs = [FRAMES, PITCH, ENERGY, DURATIONS]
    made: list[onnx.TensorProto] = []
    products: list[onnx.NodeProto] = []
    for node in _needed(list(stock.graph.node), outputs):
        if node.op_type == "ConvInteger" and _stride(node) == 1:
            products += _product(node, node.name.removesuffix("_quant") + "_output_0", weights, made)
    replaced = {name for node in products for name in node.output}
    nodes = [node for node in stock.graph.node if replaced.isdisjoint(node.output)]
    nodes = _needed(nodes + products, outputs)
    names = {name for node in nodes for name in node.input}
    initializers = [tensor for tensor in [*stock.graph.initializer, *made] if tensor.name in names]
    graph = helper.make_graph(
        nodes,
        "front",
        list(stock.graph.input),
        [onnx.ValueInfoProto(name=name) for name in outputs],
        initializers,
    )
    return helper.make_model(
        graph, opset_imports=stock.opset_import, ir_version=stock.ir_version, producer_name="pipecat-glm-tts"
    )


def front_parts(front: onnx.ModelProto) -> tuple[onnx.ModelProto, onnx.ModelProto, onnx.ModelProto]:
    """The front in parts, for whoever says the same in many styles.

    Returns:
        PL-BERT, which reads `tokens` whoever speaks and gives READING, float32 [1, T, 512]; what takes READING beside
        the front's own inputs and tells PITCH, ENERGY and DURATIONS, in a fifth of the front's time; and the same with
        FRAMES.
    """
    graph = front.graph
    reading = helper.make_tensor_value_info(READING, onnx.TensorProto.FLOAT, [1, "tokens", 512])
    own = [node for node in graph.node if READING not in node.output]

    def part(nodes: Iterable[onnx.NodeProto], outputs: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
        needed = _needed(list(nodes), [one.name for one in outputs])
        names = {name for node in needed for name in node.input}
        inputs = [one for one in (*graph.input, reading) if one.name in names]
        initializers = [tensor for tensor in graph.initializer if tensor.name in names]
        model = helper.make_graph(needed, "front", inputs, outputs, initializers)
        return helper.make_model(model, opset_imports=front.opset_import, ir_version=front.ir_version)

    told = [one for one in graph.output if one.name != FRAMES]
    return part(graph.node, [reading]), part(own, told), part(own, list(graph.output))


def _stride(convolution: onnx.NodeProto) -> int:
    return next(attribute.ints[0] for attribute in convolution.attribute if attribute.name == "strides")


def _product(node: onnx.NodeProto, output: str, weights: Weights, made: list[onnx.TensorProto]) -> list[onnx.NodeProto]:
    """The convolution [1, in, n] -> [1, out, n] as gather and matrix product."""
    layer = node.name.removesuffix("/Conv_quant")
    values, _, zero, _ = node.input
    scale = zero.removesuffix("_zero_point") + "_scale"
    weight, weight_scale = weights.convolution(layer)
    channels, inputs, kernel = weight.shape
    nodes: list[onnx.NodeProto] = []

    def op(kind: str, *arguments: str, to: str | None = None, domain: str = "", **attributes: Any) -> str:
        name = to or f"{layer}/product_{len(nodes)}"
        nodes.append(helper.make_node(kind, arguments, [name], domain=domain, **attributes))
        return name

    def constant(value: object, dtype: type) -> str:
        name = f"{layer}/constant_{len(nodes)}_{len(made)}"
        made.append(numpy_helper.from_array(np.array(value, dtype, order="C"), name))
        return name

    rows = op("Squeeze", op("Transpose", values, perm=[0, 2, 1]), constant([0], np.int64))
    if kernel > 1:
        count = op("Squeeze", op("Shape", rows, start=0, end=1))
        padding = kernel // 2
        padded = op("Pad", rows, constant([padding, 0, padding, 0], np.int64), zero)
        first = op("Range", constant(0, np.int64), count, constant(1, np.int64))
        window = op("Add", op("Unsqueeze", first, constant([1], np.int64)), constant([range(kernel)], np.int64))
        rows = op("Reshape", op("Gather", padded, window, axis=0), constant([0, kernel * inputs], np.int64))
    product = op(
        "MatMulIntegerToFloat",
        rows,
        constant(weight.transpose(2, 1, 0).reshape(kernel * inputs, channels), np.int8),
        scale,
        constant(weight_scale, np.float32),
        zero,
        "",
        constant(weights.bias(layer), np.float32),
        domain="com.microsoft",
    )
    op("Unsqueeze", op("Transpose", product, perm=[1, 0]), constant([0], np.int64), to=output)
    return nodes


def _needed(nodes: list[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes that contribute to `outputs`, sorted so that every node follows those it reads."""
    producers = {name: node for node in nodes for name in node.output}
    ordered: dict[str, onnx.NodeProto] = {}
    pending = [(producers[name], False) for name in reversed(list(outputs))]
    while pending:
        node, inputs_done = pending.pop()
        key = node.output[0]
        if key in ordered:
            continue
        if inputs_done:
            ordered[key] = node
        else:
            pending.append((node, True))
            pending += [(producers[name], False) for name in node.input if name in producers]
    return list(ordered.values())
