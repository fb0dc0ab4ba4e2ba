"""The stock model in float32: every quantised weight spread out again, no activation rounded; durations are an input.

It is what the int8 file approximates, and so the reference for the streaming rendering. With the durations given, both
say every phoneme at the same moment and can be compared frame by frame.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tts_service.kokoro.graphs.front import DURATIONS


def float_model(stock: onnx.ModelProto) -> onnx.ModelProto:
    """Inputs `tokens`, `style`, `speed` and the durations int64 [T]; output `audio` as in the stock file."""
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in stock.graph.initializer}
    made: list[onnx.TensorProto] = [numpy_helper.from_array(np.array(1, np.float32), "one")]
    plain: dict[str, str] = {}  # what was quantised -> the float tensor it came from; its scale -> one
    nodes: list[onnx.NodeProto] = []

    def spread(quantised: str, zero: str) -> str:
        name = f"{quantised}/spread/{len(made)}"
        offset = arrays[zero].astype(np.float32) if zero else np.float32(0)
        made.append(numpy_helper.from_array(arrays[quantised].astype(np.float32) - offset, name))
        return name

    for node in stock.graph.node:
        if DURATIONS in node.output:
            continue
        inputs = [plain.get(name, name) for name in node.input]
        if node.op_type == "DynamicQuantizeLinear":
            plain[node.output[0]], plain[node.output[1]] = inputs[0], "one"
        elif node.op_type in ("ConvInteger", "MatMulInteger"):
            kind = node.op_type.removesuffix("Integer")
            weight = spread(node.input[1], node.input[3] if len(node.input) > 3 else "")
            attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
            nodes.append(helper.make_node(kind, [inputs[0], weight], node.output, node.name, **attributes))
        elif node.op_type == "DynamicQuantizeLSTM":
            nodes.append(_lstm(node, arrays, made))
        elif (node.op_type == "Floor" and "bias_quant" in node.name) or (
            node.op_type == "Cast" and "bias_quantized" in node.name
        ):
            nodes.append(helper.make_node("Identity", inputs, node.output))
        else:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.input[:] = inputs
            nodes.append(copy)
    durations = helper.make_tensor_value_info(DURATIONS, onnx.TensorProto.INT64, ["tokens"])
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "float",
        [*stock.graph.input, durations],
        list(stock.graph.output),
        [*(tensor for tensor in stock.graph.initializer if tensor.name in used), *made],
    )
    return helper.make_model(graph, opset_imports=stock.opset_import, ir_version=stock.ir_version)


def _lstm(node: onnx.NodeProto, arrays: dict[str, np.ndarray], made: list[onnx.TensorProto]) -> onnx.NodeProto:
    """W, R, B [..], sequence lengths, h, c, P, then scale and zero point of W and of R."""
    names = []
    for weight, scale, zero in ((1, 8, 9), (2, 10, 11)):
        quantised, factor, offset = (arrays[node.input[i]].astype(np.float32) for i in (weight, scale, zero))
        per_direction = (len(quantised), 1, -1)
        offset, factor = (value.reshape(per_direction) if value.size > 1 else value for value in (offset, factor))
        names.append(f"{node.name}/{weight}")
        made.append(numpy_helper.from_array(((quantised - offset) * factor).swapaxes(1, 2).copy(), names[-1]))
    attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return helper.make_node("LSTM", [node.input[0], *names, *node.input[3:8]], node.output, node.name, **attributes)
