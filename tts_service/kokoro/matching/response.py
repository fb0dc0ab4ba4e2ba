"""How the model's sound follows its style: a Gaussian process from timbre to what is heard.

It has learnt from random timbres of the space that the packaged voices span. While a voice is matched it learns from
every rendering on the way, and its own doubt keeps it near what has been heard (Rasmussen and Williams 2006).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from tts_service.kokoro.tones import Teachers

ROUNDING = 0.1
"""Of the noise of a random rendering: what is left in the mean of several sentences."""
RIDGE = 3.0
"""Of the way back from what is heard to a timbre."""
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
    """The process: inputs are the coordinates of a timbre in `Space` [40] and a pitch in octaves."""

    def __init__(self, arrays: Mapping[str, NDArray]) -> None:
        self.packaged, self.pitches = arrays["packaged"].astype(np.float32), arrays["pitches"].astype(np.float64)
        """What the packaged voices sound like, in their order: embeddings [54, 256] and pitches in octaves [54]."""
        self.prosody = arrays["prosody"].astype(np.float64)
        """[3, 128]: the changes of the prosody half that raise each of `prosody_features` by one."""
        self.teachers = Teachers.of(arrays)
        self._linear, self._smooth, self._length, self._noise, self._pitch = (float(x) for x in arrays["kernel"])
        self._mean, self._spread = arrays["output_mean"].astype(np.float64), arrays["output_spread"].astype(np.float64)
        self._inputs = arrays["inputs"].astype(np.float64)
        self._outputs = arrays["outputs"].astype(np.float64)
        self._noises = np.full(len(self._inputs), self._noise)
        self._back = np.linalg.solve(
            self._outputs.T @ self._outputs + RIDGE * len(self._outputs) / 100 * np.eye(self._outputs.shape[1]),
            self._outputs.T @ self._inputs[:, :-1],
        )
        self._solve()

    @classmethod
    def load(cls) -> Response:
        """The shipped one."""
        with files(__package__).joinpath("response.npz").open("rb") as file, np.load(file) as arrays:
            return cls({name: arrays[name] for name in arrays.files})

    def guess(self, wanted: Heard) -> Array:
        """Where timbres that sound so lie on average, [40]."""
        return self._output(wanted) @ self._back

    def observe(self, coordinates: Array, pitch: float, heard: Heard) -> None:
        """Add a rendering, which weighs more than a random one: it is the mean of several sentences."""
        self._inputs = np.vstack([self._inputs, self._input(coordinates, pitch)])
        self._outputs = np.vstack([self._outputs, self._output(heard)])
        self._noises = np.append(self._noises, ROUNDING * self._noise)
        self._solve()

    def predict(self, coordinates: Array, pitch: float) -> Heard:
        """The expected embedding and colour of a timbre."""
        output = self._kernel(self._input(coordinates, pitch)[None])[0] @ self._weights * self._spread + self._mean
        embedding = np.maximum(output[:256], 0)
        return Heard((embedding / np.linalg.norm(embedding)).astype(np.float32), output[256:].astype(np.float32))

    def propose(
        self, wanted: Heard, start: Array, pitch: float, *, pull: float, colour: float, doubt: float, steps: int = 120
    ) -> Array:
        """The coordinates [40] that are expected to come nearest.

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
            gradient = self._gradient(x, wanted, pitch, colour, doubt) + 2 * pull * (x - start)
            first = 0.9 * first + 0.1 * gradient
            second = 0.99 * second + 0.01 * gradient**2
            x -= 0.02 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
        return x

    def _gradient(self, x: Array, wanted: Heard, pitch: float, colour: float, doubt: float) -> Array:
        """Of `1 - cosine + colour x distance + doubt x deviation`."""
        point = self._input(x, pitch)
        k, slope = self._kernel_slope(point)
        output = k @ self._weights * self._spread + self._mean
        embedding, target = output[:256], wanted.embedding.astype(np.float64)
        length = np.linalg.norm(embedding)
        cosine = embedding @ target / length
        wish = np.concatenate(
            [
                (cosine * embedding / length - target) / length,
                2 * colour * (output[256:] - wanted.colour) / len(wanted.colour),
            ]
        )
        along = self._weights @ (wish * self._spread)
        solved = self._inverse @ k
        variance = float(self._linear * (point @ point) + self._smooth - k @ solved)
        pressure = doubt / max(variance, 1e-9) ** 0.5
        return slope(along - pressure * solved) + pressure * self._linear * x

    def _input(self, coordinates: Array, pitch: float) -> Array:
        return np.append(coordinates, self._pitch * (pitch - MIDDLE_PITCH))

    def _output(self, heard: Heard) -> Array:
        return (np.concatenate([heard.embedding, heard.colour]) - self._mean) / self._spread

    def _kernel(self, x: Array) -> Array:
        squares = (self._inputs**2).sum(axis=1) + (x**2).sum(axis=1)[:, None] - 2 * x @ self._inputs.T
        return self._linear * (x @ self._inputs.T) + self._smooth * np.exp(-0.5 * squares / self._length**2)

    def _kernel_slope(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        """The kernel's column at x [n], and a function from weights [n] to the gradient of their sum."""
        squares = ((self._inputs - x) ** 2).sum(axis=1)
        smooth = self._smooth * np.exp(-0.5 * squares / self._length**2)

        def slope(weights: Array) -> Array:
            toward = self._linear * weights @ self._inputs
            toward += (weights * smooth / self._length**2) @ self._inputs - (weights @ smooth) / self._length**2 * x
            return toward[:-1]

        return self._linear * (self._inputs @ x) + smooth, slope

    def _solve(self) -> None:
        kernel = self._kernel(self._inputs)
        self._inverse = np.linalg.inv(kernel + np.diag(self._noises))
        self._weights = self._inverse @ self._outputs
