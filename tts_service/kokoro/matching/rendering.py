"""Rendering any style whole: what a new voice sounds like before its normalisation constants have been measured.

The streaming generator needs the constants of its voice; the stock model needs none and takes twice as long. This is
the streaming generator with every instance norm taking its statistics from the utterance itself, as the stock has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from tts_service.engine import StopSignal
from tts_service.kokoro.derived import derive
from tts_service.kokoro.front_graph import DURATIONS, ENERGY, FRAMES, PITCH
from tts_service.kokoro.generator_graph import DILATIONS, GENERATOR, Generator
from tts_service.kokoro.model import model_file
from tts_service.kokoro.network import audible, open_session, run
from tts_service.kokoro.voice import EPSILON, FRAME, Styling
from tts_service.kokoro.weights import Weights


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
        return self._begin(tokens, style)[0]

    def render(self, tokens: NDArray[np.int64], style: NDArray[np.float32]) -> Rendering:
        """Speak.

        Args:
            tokens: [T], pads included.
            style: [256].
        """
        silent, frames, pitch, (start, end) = self._begin(tokens, style)
        affines = [rows.ravel() for rows in self._styling.projections(style)]
        feeds = {
            "frames": np.ascontiguousarray(frames.T),
            "source": np.pad(self._styling.source(pitch), 10, mode="reflect"),
            "inner": np.array([0, len(pitch)], np.int64),
            "affine0": affines[0],
            "affine1": affines[1],
        }
        samples = run(self._generator, ["audio"], feeds, StopSignal())[0][FRAME * start : FRAME * end]
        return Rendering(samples, silent.pitch, silent.energy, silent.durations, start)

    def _begin(
        self, tokens: NDArray[np.int64], style: NDArray[np.float32]
    ) -> tuple[Rendering, NDArray[np.float32], NDArray[np.float32], tuple[int, int]]:
        feeds = {"tokens": tokens[None], "style": style[None].astype(np.float32), "speed": np.ones(1, np.float32)}
        frames, pitch, energy, durations = run(self._front, [FRAMES, PITCH, ENERGY, DURATIONS], feeds, StopSignal())
        start, end = audible(energy[0])
        silent = Rendering(np.zeros(0, np.float32), pitch[0, start:end], energy[0, start:end], durations, start)
        return silent, frames[0], pitch[0], (start, end)


class _WholeGenerator(Generator):
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
        centred = self._op("Sub", x, self._op("ReduceMean", x, self._ints(0), keepdims=1))
        variance = self._op("ReduceMean", self._op("Mul", centred, centred), self._ints(0), keepdims=1)
        factor = self._op("Div", scale, self._op("Sqrt", self._op("Add", variance, self._floats(EPSILON))))
        return self._op("Add", self._op("Mul", centred, factor), shift)


def _whole_generator(stock: onnx.ModelProto) -> bytes:
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(
        _WholeGenerator(Weights(stock)).build(), opset_imports=opsets, ir_version=9
    ).SerializeToString()
