"""Rendering any style whole: what a new voice sounds like before its normalisation constants are known.

The streaming generator needs the constants of its voice; the stock model needs none and takes twice as long. This is
the streaming generator with every instance norm taking its statistics from the utterance itself, as the stock has it,
and telling them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tts_service.engine import StopSignal
from tts_service.files import published
from tts_service.kokoro.derived import Derived, derive
from tts_service.kokoro.forecast import summary
from tts_service.kokoro.graphs.front import DURATIONS, ENERGY, FRAMES, PITCH, READING, front_parts
from tts_service.kokoro.graphs.generator import DILATIONS, GENERATOR, UPSAMPLING, Generator
from tts_service.kokoro.graphs.weights import Weights
from tts_service.kokoro.model import model_file
from tts_service.kokoro.network import audible, open_session, run
from tts_service.kokoro.voice import EPSILON, FRAME, NORMS, Styling

BESIDE, SELDOM = 4, 6
"""Pairs of silent frames beside the sound, and at either end, that are computed; of those further off each sixth."""
READ = 64
"""Texts whose reading is kept, which does not depend on the style; more than a match says."""
RATE = UPSAMPLING[0] * UPSAMPLING[1]
"""Rows of the second stage in a frame."""


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
    """Of the frames, see `tts_service.kokoro.forecast.summary`; empty where nothing was rendered."""
    statistics: NDArray[np.float32]
    """What the instance norms saw, as in `Normalisation`; empty where nothing was rendered."""


class Renderer:
    """Renders tokens in a style.

    Args:
        cache: Where the model is prepared the first time.
        threads: Cores that a rendering may use.
    """

    def __init__(self, cache: Path, threads: int) -> None:
        derived = derive(lambda: model_file(cache), cache, lambda stage, fraction: None)
        parts = (part.SerializeToString() for part in front_parts(onnx.load(derived.front)))
        reading, self._intonation, self._front = (open_session(part, threads) for part in parts)
        self._generator = open_session(_whole_generator(cache, derived), threads)
        self._styling = Styling.load(derived.styling)

        @lru_cache(READ)
        def read(tokens: bytes) -> NDArray[np.float32]:
            [found] = run(reading, [READING], {"tokens": np.frombuffer(tokens, np.int64)[None]}, StopSignal())
            return found

        self._read = read

    def prosody(self, tokens: NDArray[np.int64], style: NDArray[np.float32]) -> Rendering:
        """Pitch, energy and durations alone, in a thirtieth of the time; the last `READ` texts are read once."""
        feeds = self._feeds(tokens, style, 1.0)
        pitch, energy, durations = run(self._intonation, [PITCH, ENERGY, DURATIONS], feeds, StopSignal())
        return _silent(pitch[0], energy[0], durations)

    def render(self, tokens: NDArray[np.int64], style: NDArray[np.float32], speed: float = 1.0) -> Rendering:
        """Speak.

        Args:
            tokens: [T], pads included.
            style: [256].
            speed: Tempo factor.
        """
        outputs = [FRAMES, PITCH, ENERGY, DURATIONS]
        feeds = self._feeds(tokens, style, speed) | {"tokens": tokens[None]}
        [frames], [pitch], [energy], durations = run(self._front, outputs, feeds, StopSignal())
        silent = _silent(pitch, energy, durations)
        start, end = silent.begin, silent.begin + len(silent.pitch)
        kept, shares = _thinned(len(pitch), start, end)
        affines = [rows.ravel() for rows in self._styling.projections(style)]
        source = self._styling.source(pitch).reshape(-1, FRAME)[kept].ravel()
        feeds = {
            "frames": np.ascontiguousarray(frames.T[kept]),
            "source": np.pad(source, 10, mode="reflect"),
            "inner": np.array([0, len(kept)], np.int64),
            "affine0": affines[0],
            "affine1": affines[1],
            "shares0": np.repeat(shares, UPSAMPLING[0])[None] / UPSAMPLING[0],
            "shares1": np.append(np.repeat(shares, RATE), 0.0).astype(np.float32)[None] / RATE,
        }
        samples, statistics = run(self._generator, ["audio", "statistics"], feeds, StopSignal())
        begin = FRAME * int(np.searchsorted(kept, start))
        samples = samples[begin : begin + FRAME * (end - start)]
        return replace(silent, samples=samples, summary=summary(frames), statistics=statistics)

    def _feeds(self, tokens: NDArray[np.int64], style: NDArray[np.float32], speed: float) -> dict[str, NDArray]:
        reading = self._read(tokens.tobytes())
        return {READING: reading, "style": style[None].astype(np.float32), "speed": np.full(1, speed, np.float32)}


def _silent(pitch: NDArray[np.float32], energy: NDArray[np.float32], durations: NDArray[np.int64]) -> Rendering:
    start, end = audible(energy)
    nothing = np.zeros(0, np.float32)
    return Rendering(nothing, pitch[start:end], energy[start:end], durations, start, nothing, nothing)


def _thinned(count: int, start: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The frames that are computed of `count`, and the share that each has in the statistics: of silence only a few.

    Frames come in twos, an even and an odd one, which differ even in silence.
    """
    pairs = np.arange((count + 1) // 2)
    silent = np.maximum(start // 2 - pairs, pairs - (end + 1) // 2)
    within = np.minimum(pairs, len(pairs) - 1 - pairs)
    kept = (np.minimum(silent, within) < BESIDE) | (pairs % SELDOM == 0)
    stands_for = np.bincount(np.cumsum(kept) - 1)
    frames = (2 * pairs[kept][:, None] + [0, 1]).ravel()
    shares = np.repeat(stands_for, 2)[frames < count]
    return frames[frames < count], (shares / shares.sum()).astype(np.float32)


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
        shares = f"shares{len(self._seen) // NORMS}"
        mean = self._op("MatMul", shares, x)
        power = self._op("MatMul", shares, self._op("Mul", x, x))
        variance = self._op("Max", self._op("Sub", power, self._op("Mul", mean, mean)), self._floats(1e-12))
        self._seen.append((mean, self._op("Log", variance)))
        factor = self._op("Div", scale, self._op("Sqrt", self._op("Add", variance, self._floats(EPSILON))))
        offset = self._op("Sub", shift, self._op("Mul", mean, factor))
        return self._op("Add", self._op("Mul", x, factor), offset)

    def _waveform(self, x: str) -> str:
        stages = self._seen[:NORMS], self._seen[NORMS:]
        rows = [row for stage in stages for kind in zip(*stage, strict=True) for row in kind]
        flat = self._op("Concat", *(self._op("Reshape", row, self._ints(-1)) for row in rows), axis=0)
        self._nodes.append(helper.make_node("Identity", [flat], ["statistics"]))
        return super()._waveform(x)


def _whole_generator(cache: Path, derived: Derived) -> Path:
    """The graph, made once into the cache as those that it stands beside."""
    recipe = hashlib.sha256(derived.generator.name.encode() + Path(__file__).read_bytes())
    path = cache / f"kokoro-whole.onnx-{recipe.hexdigest()[:12]}"
    if path.exists():
        with contextlib.suppress(OSError):  # somebody else's cache: they freshen it
            os.utime(path)
        return path
    graph = _WholeGenerator(Weights(onnx.load(model_file(cache)))).build()
    value, number = helper.make_tensor_value_info, TensorProto.FLOAT
    graph.input.extend(value(f"shares{i}", number, [1, f"rows{i}"]) for i in (0, 1))
    graph.output.append(value("statistics", number, ["statistics"]))
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    with published(path) as file:
        file.write(model.SerializeToString(deterministic=True))
    return path
