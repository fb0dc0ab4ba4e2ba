"""The graphs made from the stock file, built once into the cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from loguru import logger
from onnx import TensorProto, helper, numpy_helper

from tts_service.files import published
from tts_service.kokoro.front_graph import front_model
from tts_service.kokoro.generator_graph import generator_model
from tts_service.kokoro.model import MODEL_SHA256
from tts_service.kokoro.voice import Styling
from tts_service.kokoro.weights import Weights

KEPT_DAYS = 30
"""How long files of other versions are kept after their last use."""
_OURS = re.compile(r"\.?kokoro-(front\.onnx|generator\.onnx|styling\.npz)-[0-9a-f]{12}(\..+)?")


@dataclass(frozen=True, slots=True)
class Derived:
    """Where the derived files lie."""

    front: Path
    generator: Path
    styling: Path

    def paths(self) -> tuple[Path, Path, Path]:
        """All of them."""
        return self.front, self.generator, self.styling


def derive(stock: Callable[[], Path], cache: Path, progress: Callable[[str, float], None]) -> Derived:
    """Build what is not in the cache yet; about three seconds the first time.

    The names carry a hash of the model and of the code that builds, so that a change of either builds anew. Every use
    freshens the files, so that those of other versions can be told apart by age, and go when something new is built.

    Args:
        stock: Gives the stock file; asked only when something must be built.
        cache: An existing folder.
        progress: Told what is being built and how far it is, 0 to 1.
    """
    recipe = hashlib.sha256(MODEL_SHA256.encode())
    for source in ("weights", "front_graph", "generator_graph", "voice"):
        recipe.update(Path(__file__).with_name(f"{source}.py").read_bytes())
    key = recipe.hexdigest()[:12]
    derived = Derived(*(cache / f"kokoro-{name}-{key}" for name in ("front.onnx", "generator.onnx", "styling.npz")))
    if all(path.exists() for path in derived.paths()):
        for path in derived.paths():
            with contextlib.suppress(OSError):  # somebody else's cache: they freshen it
                os.utime(path)
        return derived
    _discard_old(cache)
    progress("preparing the Kokoro model, once", 0.2)
    model = onnx.load(stock())
    weights = Weights(model)
    progress("preparing the Kokoro model, once", 0.4)
    with published(derived.front) as partial:
        partial.write_bytes(front_model(model).SerializeToString(deterministic=True))
    progress("preparing the Kokoro model, once", 0.6)
    with published(derived.generator) as partial:
        partial.write_bytes(generator_model(weights).SerializeToString(deterministic=True))
    with published(derived.styling) as partial, partial.open("wb") as file:
        Styling.from_weights(weights).save(file)
    return derived


def _discard_old(cache: Path) -> None:
    """Remove derived files, finished or abandoned, that no version has used for a month."""
    oldest = time.time() - KEPT_DAYS * 86400
    for path in cache.iterdir():
        if _OURS.fullmatch(path.name):
            with contextlib.suppress(OSError):  # another process was quicker, or may what we may not
                if path.stat().st_mtime < oldest:
                    path.unlink()
                    logger.info(f"removed {path}, which has not been used for {KEPT_DAYS} days")


def integer_products_are_exact() -> bool:
    """Whether u8 x s8 products of this CPU and ONNX Runtime keep all their bits.

    Without VNNI instructions the products of two neighbours are added in 16 bits, which saturate with the largest
    values that the activations (255) and the weights (88 of 127) take.
    """
    depth, columns = 256, 64
    activations = np.full((8, depth), 255, np.uint8)
    weights = np.where(np.arange(columns) % 2, 88, -88).astype(np.int8)[None].repeat(depth, axis=0)
    node = helper.make_node("MatMulIntegerToFloat", ["a", "w", "s", "t"], ["y"], domain="com.microsoft")
    value = helper.make_tensor_value_info
    one = np.array(1, np.float32)
    graph = helper.make_graph(
        [node],
        "probe",
        [value("a", TensorProto.UINT8, ["n", depth])],
        [value("y", TensorProto.FLOAT, ["n", columns])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(one, "s"), numpy_helper.from_array(one, "t")],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    probe = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    session = ort.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    product = session.run(None, {"a": activations})[0]
    return bool((product == activations.astype(np.int64) @ weights.astype(np.int64)).all())
