"""8-bit products keep all their bits, on this CPU and on those that add two products in 16 bits."""

import itertools

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper

from tts_service.kokoro.derived import derive
from tts_service.kokoro.graphs.saturation import make_exact, saturates

DEPTH, COLUMNS = 256, 64


@given(arrays(np.int8, some.tuples(some.integers(2, 6), some.integers(1, 3))))
def test_says_whether_any_activations_overflow(weight):
    wide = weight.astype(np.int64)
    sums = [255 * (a * wide[:-1] + b * wide[1:]) for a, b in itertools.product((0, 1), repeat=2)]
    assert saturates(weight) == any(total.max() > 32767 or total.min() < -32768 for total in sums)


def product(kind, weight, zero=None):
    """One product of activations `a` with the weights, in float32."""
    made = [numpy_helper.from_array(weight, "w")]
    if zero is not None:
        made.append(numpy_helper.from_array(zero, "z"))
    last = "" if zero is None else "z"
    if kind == "MatMulIntegerToFloat":
        made.append(numpy_helper.from_array(np.array(1, np.float32), "one"))
        nodes = [helper.make_node(kind, ["a", "w", "one", "one", "", last], ["y"], domain="com.microsoft")]
    else:
        nodes = [
            helper.make_node(kind, ["a", "w", "", last] if last else ["a", "w"], ["sum"]),
            helper.make_node("Cast", ["sum"], ["y"], to=TensorProto.FLOAT),
        ]
    value = helper.make_tensor_value_info
    shapes = [value("a", TensorProto.UINT8, ["n", len(weight)])], [value("y", TensorProto.FLOAT, ["n", len(weight.T)])]
    graph = helper.make_graph(nodes, "product", *shapes, made)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def compute(model, activations):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"a": activations})[0]


def hostile(weight):
    """Activations that drive single columns as far up and down as they go."""
    columns = weight.T[:: max(1, len(weight.T) // 8)]
    return np.concatenate([255 * (columns > 0), 255 * (columns < 0)]).astype(np.uint8)


@pytest.mark.parametrize("kind", ["MatMulInteger", "MatMulIntegerToFloat"])
@pytest.mark.parametrize("zero", [None, np.array(-5, np.int8)])
def test_products_that_could_saturate_get_unsigned_weights(kind, zero):
    weight = np.where(np.arange(COLUMNS) % 2, 88, -88).astype(np.int8)[None].repeat(DEPTH, axis=0)
    model = product(kind, weight, zero)
    assert make_exact(model) == [model.graph.node[0].output[0]]
    assert [numpy_helper.to_array(tensor).dtype for tensor in model.graph.initializer].count(np.dtype(np.uint8)) == 2
    activations = hostile(weight)
    expected = activations.astype(np.int64) @ (weight.astype(np.int64) - (0 if zero is None else int(zero)))
    np.testing.assert_array_equal(compute(model, activations), expected)
    assert make_exact(model) == []


def test_weights_within_the_bound_stay():
    model = product("MatMulInteger", np.full((DEPTH, COLUMNS), 64, np.int8))
    before = model.SerializeToString()
    assert make_exact(model) == []
    assert model.SerializeToString() == before


def test_weights_that_are_computed_are_refused():
    model = product("MatMulInteger", np.ones((DEPTH, COLUMNS), np.int8))
    model.graph.node[0].input[1] = "a"
    with pytest.raises(ValueError, match="no constants"):
        make_exact(model)


def test_every_product_of_the_voice_is_exact(cache, stock):
    """The real weights against activations that are worse than any speech, on this CPU's own instructions."""
    derived, products = derive(lambda: stock, cache, lambda stage, fraction: None), 0
    for path in (derived.front, derived.generator):
        model = onnx.load(path)
        assert make_exact(model) == []
        constants = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type in ("MatMulInteger", "MatMulIntegerToFloat"):
                weight = numpy_helper.to_array(constants[node.input[1]])
                activations = hostile(weight)
                expected = activations.astype(np.float64) @ weight  # integers below 2^53: exact
                np.testing.assert_array_equal(
                    compute(product("MatMulInteger", weight), activations), expected.astype(np.float32)
                )
                products += 1
    assert products == 185
