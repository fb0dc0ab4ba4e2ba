"""How the model's sound follows its style: a Gaussian process from timbre to what is heard.

It has learnt from random timbres in and around the space that the packaged voices span. While a voice is matched it
learns from every rendering on the way, and its own doubt keeps it near what has been heard (Rasmussen and Williams
2006).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from tts_service.kokoro.matching.space import timbres
from tts_service.kokoro.tones import Teachers

STEP = 1 / 24
"""Of the stored outputs, of their spread."""
RIDGE = 3.0
"""Of the way back from what is heard to a timbre."""
SELDOM = 5
"""Steps with one look at the doubt, which changes slowly and is the dearest part."""
SENTENCE = 0.1
"""Variance of what a sentence adds of its own to all that is heard in it."""
LEAST = 1e-3
"""Of the doubt's square: below, rounding has more to say."""
MIDDLE_PITCH = 7.5
"""Octaves above 1 Hz, between women and men."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Heard:
    """What is heard in a recording or rendering."""

    embedding: NDArray[np.float32]
    """Of the speaker, [256], of length one."""
    colour: NDArray[np.float32]
    """Of the sound, [40], see `Manner`."""


class Response:
    """The process: inputs are the coordinates of a timbre in `Space` [128] and a pitch in octaves."""

    def __init__(self, arrays: Mapping[str, NDArray]) -> None:
        self.packaged, self.pitches = arrays["packaged"].astype(np.float32), arrays["pitches"].astype(np.float64)
        """What the packaged voices sound like, in their order: embeddings [54, 256] and pitches in octaves [54]."""
        self.prosody = arrays["prosody"].astype(np.float64)
        """[3, 128]: the changes of the prosody half that raise each of `prosody_features` by one."""
        self.teachers = Teachers.of(arrays)
        self._linear, self._smooth, self._length, self._noise, self._pitch = (float(x) for x in arrays["kernel"])
        self._mean, self._spread = arrays["output_mean"].astype(np.float64), arrays["output_spread"].astype(np.float64)
        coordinates = timbres().coordinates(arrays["timbres"].astype(np.float64))
        self._inputs = self._points(coordinates, arrays["octaves"].astype(np.float64))
        self._outputs = STEP * arrays["outputs"].astype(np.float64)
        self._back = np.linalg.solve(
            self._outputs.T @ self._outputs + RIDGE * len(self._outputs) / 100 * np.eye(self._outputs.shape[1]),
            self._outputs.T @ coordinates,
        )
        kernel = self._kernel(self._inputs, self._inputs)
        self._learnt = np.linalg.inv(kernel + self._noise * np.eye(len(kernel)))
        self._inverse = self._learnt
        self._weights = self._inverse @ self._outputs
        self._said: list[int] = []

    @classmethod
    def load(cls) -> Response:
        """The shipped one."""
        with files(__package__).joinpath("response.npz").open("rb") as file, np.load(file) as arrays:
            return cls({name: arrays[name] for name in arrays.files})

    def guess(self, wanted: Heard) -> Array:
        """Where timbres that sound so lie on average, [128]."""
        return self._output(wanted) @ self._back

    def observe(self, coordinates: Array, pitch: float, heard: Sequence[Heard], said: Sequence[int]) -> None:
        """Learn from renderings.

        Args:
            coordinates: Of each, [n, 128].
            pitch: Of all.
            heard: What was heard in each.
            said: Number of the sentence in each.
        """
        count = len(self._learnt)
        outputs = np.stack([self._output(one) for one in heard])
        self._said += said
        same = SENTENCE * np.equal.outer(self._said, self._said)
        self._inputs = np.vstack([self._inputs, self._points(coordinates, pitch)])
        self._outputs = np.vstack([self._outputs, outputs])
        # By blocks, and always from what was learnt beforehand: from the inverse before, errors would grow.
        own = self._inputs[count:]
        across = self._kernel(own, self._inputs[:count])
        solved = self._learnt @ across.T
        corner = np.linalg.inv(self._kernel(own, own) + same + self._noise * np.eye(len(own)) - across @ solved)
        side = solved @ corner
        self._inverse = np.block([[self._learnt + side @ solved.T, -side], [-side.T, corner]])
        self._weights = self._inverse @ self._outputs

    def predict(self, coordinates: Array, pitch: float) -> Heard:
        """The expected embedding and colour of a timbre."""
        kernel = self._kernel(self._points(coordinates[None], pitch), self._inputs)[0]
        output = kernel @ self._weights * self._spread + self._mean
        embedding = np.maximum(output[:256], 0)
        return Heard((embedding / np.linalg.norm(embedding)).astype(np.float32), output[256:].astype(np.float32))

    def propose(
        self, wanted: Heard, start: Array, pitch: float, *, pull: float, colour: float, doubt: float, steps: int = 100
    ) -> Array:
        """The coordinates [128] that are expected to come nearest.

        Args:
            wanted: What it should sound like.
            start: Where the search begins, and what it is pulled towards.
            pitch: Octaves above 1 Hz that it will be spoken at.
            pull: Weight of the squared distance from the start.
            colour: Weight of the mean squared distance of the colour.
            doubt: Weight of the expectation's own standard deviation, which keeps it near what has been heard.
            steps: Of Adam (Kingma and Ba 2015).
        """
        x, first, second = start.copy(), np.zeros(len(start)), np.zeros(len(start))
        for step in range(1, steps + 1):
            if step % SELDOM == 1:
                solved = self._inverse @ self._kernel(self._points(x[None], pitch), self._inputs)[0]
            gradient = self._gradient(x, wanted, pitch, colour, doubt, solved) + 2 * pull * (x - start)
            first = 0.9 * first + 0.1 * gradient
            second = 0.99 * second + 0.01 * gradient**2
            x -= 0.02 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
        return x

    def _gradient(self, x: Array, wanted: Heard, pitch: float, colour: float, doubt: float, solved: Array) -> Array:
        """Of `1 - cosine + colour x distance + doubt x deviation`; `solved` is the inverse times the kernel near x."""
        point = self._points(x[None], pitch)[0]
        apart = self._inputs - point
        smooth = self._smooth * np.exp(-0.5 * np.square(apart).sum(axis=1) / self._length**2)
        kernel = self._linear * (self._inputs @ point) + smooth
        output = kernel @ self._weights * self._spread + self._mean
        embedding, target = output[:256], wanted.embedding.astype(np.float64)
        length = np.linalg.norm(embedding)
        cosine = embedding @ target / length
        wish = np.concatenate(
            [
                (cosine * embedding / length - target) / length,
                2 * colour * (output[256:] - wanted.colour) / len(wanted.colour),
            ]
        )
        variance = float(self._linear * (point @ point) + self._smooth - kernel @ solved)
        pressure = doubt / max(variance, LEAST) ** 0.5
        along = self._weights @ (wish * self._spread) - pressure * solved
        slope = self._linear * along @ self._inputs + (along * smooth / self._length**2) @ apart
        return slope[:-1] + pressure * self._linear * x

    def _points(self, coordinates: Array, pitch: float | Array) -> Array:
        octaves = np.broadcast_to(self._pitch * (np.asarray(pitch) - MIDDLE_PITCH), len(coordinates))
        return np.column_stack([coordinates, octaves])

    def _output(self, heard: Heard) -> Array:
        return (np.concatenate([heard.embedding, heard.colour]) - self._mean) / self._spread

    def _kernel(self, points: Array, others: Array) -> Array:
        """Between points [m, 129] and others [n, 129], [m, n]."""
        products = points @ others.T
        squares = (others**2).sum(axis=1) + (points**2).sum(axis=1)[:, None] - 2 * products
        return self._linear * products + self._smooth * np.exp(-0.5 * squares / self._length**2)
