"""Rendering any style whole: what a new voice sounds like before its normalisation constants are known.

The streaming generator needs the constants of its voice; the stock model needs none and takes twice as long. This is
the streaming generator with every instance norm taking its statistics from the utterance itself, as the stock has it,
and telling them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tts_service.engine import StopSignal
from tts_service.kokoro.derived import derive
from tts_service.kokoro.forecast import summary
from tts_service.kokoro.graphs.front import DURATIONS, ENERGY, FRAMES, PITCH
from tts_service.kokoro.graphs.generator import DILATIONS, GENERATOR, Generator
from tts_service.kokoro.graphs.weights import Weights
from tts_service.kokoro.model import model_file
from tts_service.kokoro.network import audible, open_session, run
from tts_service.kokoro.voice import EPSILON, FRAME, NORMS, Styling


@dataclass(frozen=True, slots=True)
class Rendering:
    """One sentence in one style."""

    samples: NDArray[np.float32]
    """[n], 24 kHz, without the silence at either end."""
    pitch: NDArray[np.float32]
    """Hz for each audible frame, 80 a second; below 10 is unvoiced."""
    energy: NDArray[np.float32]
    """The model's logarithmic loudness of the same frames; below 0 nothing is audible."""
    durations: NDArray[np.int64]
    """Of the tokens, pads included, in units of two frames."""
    begin: int
    """The first audible frame."""
    summary: NDArray[np.float32]
    """Of the frames, see `tts_service.kokoro.forecast.summary`."""
    statistics: NDArray[np.float32]
    """What the instance norms saw, as in `Normalisation`; empty where nothing was rendered."""


class Renderer:
    """Renders tokens in a style.

    Args:
        cache: Where the model is prepared the first time.
        threads: Cores that a rendering may use.
    """

    def __init__(self, cache: Path, threads: int) -> None:
        stock = model_file(cache)
        derived = derive(lambda: stock, cache, lambda stage, fraction: None)
        self._front = open_session(derived.front, threads)
        self._generator = open_session(_whole_generator(onnx.load(stock)), threads)
        self._styling = Styling.load(derived.styling)

    def prosody(self, tokens: NDArray[np.int64], style: NDArray[np.float32]) -> Rendering:
        """What the front alone tells, in a tenth of the time: a rendering without samples."""
        return self._begin(tokens, style, 1.0)[0]

    def render(self, tokens: NDArray[np.int64], style: NDArray[np.float32], speed: float = 1.0) -> Rendering:
        """Speak.

        Args:
            tokens: [T], pads included.
            style: [256].
            speed: Tempo factor.
        """
        silent, frames, pitch, (start, end) = self._begin(tokens, style, speed)
        affines = [rows.ravel() for rows in self._styling.projections(style)]
        feeds = {
            "frames": np.ascontiguousarray(frames.T),
            "source": np.pad(self._styling.source(pitch), 10, mode="reflect"),
            "inner": np.array([0, len(pitch)], np.int64),
            "affine0": affines[0],
            "affine1": affines[1],
        }
        samples, statistics = run(self._generator, ["audio", "statistics"], feeds, StopSignal())
        return replace(silent, samples=samples[FRAME * start : FRAME * end], statistics=statistics)

    def _begin(
        self, tokens: NDArray[np.int64], style: NDArray[np.float32], speed: float
    ) -> tuple[Rendering, NDArray[np.float32], NDArray[np.float32], tuple[int, int]]:
        feeds = {
            "tokens": tokens[None],
            "style": style[None].astype(np.float32),
            "speed": np.full(1, speed, np.float32),
        }
        frames, pitch, energy, durations = run(self._front, [FRAMES, PITCH, ENERGY, DURATIONS], feeds, StopSignal())
        start, end = audible(energy[0])
        nothing = np.zeros(0, np.float32)
        silent = Rendering(
            nothing, pitch[0, start:end], energy[0, start:end], durations, start, summary(frames[0]), nothing
        )
        return silent, frames[0], pitch[0], (start, end)


class _WholeGenerator(Generator):
    """Output `statistics`, beside the audio: float32 [18432], as in `Normalisation`."""

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self._seen: list[tuple[str, str]] = []

    def _residual(self, x: str, block: str, kernel: int, affines: Any) -> str:
        for i, dilation in enumerate(DILATIONS):
            scale, shift, scale_within, shift_within = (next(affines) for _ in range(4))
            y = self._snake(self._normalised(x, scale, shift), f"{block}.alpha1.{i}")
            y = self._convolve(self._quantise(y), f"{GENERATOR}/{block}/convs1.{i}", kernel, dilation)
            y = self._snake(self._normalised(y, scale_within, shift_within), f"{block}.alpha2.{i}")
            y = self._convolve(self._quantise(y), f"{GENERATOR}/{block}/convs2.{i}", kernel)
            x = self._op("Add", x, y)
        return x

    def _normalised(self, x: str, scale: str, shift: str) -> str:
        mean = self._op("ReduceMean", x, self._ints(0), keepdims=1)
        centred = self._op("Sub", x, mean)
        variance = self._op("ReduceMean", self._op("Mul", centred, centred), self._ints(0), keepdims=1)
        self._seen.append((mean, self._op("Log", self._op("Max", variance, self._floats(1e-12)))))
        factor = self._op("Div", scale, self._op("Sqrt", self._op("Add", variance, self._floats(EPSILON))))
        return self._op("Add", self._op("Mul", centred, factor), shift)

    def _waveform(self, x: str) -> str:
        stages = self._seen[:NORMS], self._seen[NORMS:]
        rows = [row for stage in stages for kind in zip(*stage, strict=True) for row in kind]
        flat = self._op("Concat", *(self._op("Reshape", row, self._ints(-1)) for row in rows), axis=0)
        self._nodes.append(helper.make_node("Identity", [flat], ["statistics"]))
        return super()._waveform(x)


def _whole_generator(stock: onnx.ModelProto) -> bytes:
    graph = _WholeGenerator(Weights(stock)).build()
    graph.output.append(helper.make_tensor_value_info("statistics", TensorProto.FLOAT, ["statistics"]))
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
