"""Make `tts_service/kokoro/matching/speaker.onnx` from the weights in Resemblyzer's wheel.

    pip download resemblyzer --no-deps
    python -m tts_service.kokoro.matching.training.export_speaker Resemblyzer-0.1.4-py3-none-any.whl

The weights are stored as float16, half the size; the embeddings differ by less than 1e-3 in cosine. Needs torch.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

LAYERS, HIDDEN = 3, 256
TARGET = Path(__file__).parents[1] / "speaker.onnx"


def export(weights: dict[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """Input `mel` [n, 160, 40], output `embedding` [n, 256]."""
    nodes: list[onnx.NodeProto] = [helper.make_node("Transpose", ["mel"], ["x0"], perm=[1, 0, 2])]
    stored: list[onnx.TensorProto] = []

    def half(name: str, value: NDArray) -> str:
        stored.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float16), f"{name}.half"))
        nodes.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
        return name

    def constant(name: str, *values: int) -> str:
        stored.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    first = constant("first", 0)
    for i in range(LAYERS):
        arrays = [_gates(weights[f"lstm.{kind}_l{i}"]) for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        inputs = [
            half(f"w{i}", arrays[0][None]),
            half(f"r{i}", arrays[1][None]),
            half(f"b{i}", np.concatenate(arrays[2:])[None]),
        ]
        nodes.append(helper.make_node("LSTM", [f"x{i}", *inputs], [f"y{i}", f"h{i}"], hidden_size=HIDDEN))
        nodes.append(helper.make_node("Squeeze", [f"y{i}", constant(f"axis{i}", 1)], [f"x{i + 1}"]))
    nodes.append(helper.make_node("Squeeze", [f"h{LAYERS - 1}", first], ["last"]))
    matrix, bias = half("matrix", weights["linear.weight"]), half("bias", weights["linear.bias"])
    nodes.append(helper.make_node("Gemm", ["last", matrix, bias], ["linear"], transB=1))
    nodes.append(helper.make_node("Relu", ["linear"], ["positive"]))
    nodes.append(helper.make_node("LpNormalization", ["positive"], ["embedding"], axis=1, p=2))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "ge2e",
        [value("mel", TensorProto.FLOAT, ["n", 160, 40])],
        [value("embedding", TensorProto.FLOAT, ["n", 256])],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _gates(stacked: NDArray[np.float32]) -> NDArray[np.float32]:
    """From torch's order input, forget, cell, output to ONNX's input, output, forget, cell."""
    i, f, c, o = np.split(stacked, 4)
    return np.concatenate([i, o, f, c])


def main() -> None:
    """Read the wheel, write the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    with zipfile.ZipFile(parser.parse_args().wheel) as wheel:
        content = io.BytesIO(wheel.read("resemblyzer/pretrained.pt"))
    state = torch.load(content, map_location="cpu", weights_only=False)["model_state"]
    weights = {name: tensor.numpy() for name, tensor in state.items() if name.startswith(("lstm", "linear"))}
    TARGET.write_bytes(export(weights).SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
