"""What the model will sound like in a style that nobody has rendered yet.

A Gaussian process over a thousand random styles and what was heard in them, made by `training/fit_responses.py`. It
gives the first guess for a voice; every rendering made while matching is a further observation, and corrects it where
it matters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

TIMBRE = 128
"""Columns of a style that steer timbre; the rest steers prosody."""
ROUNDING = 0.1
"""Standard deviation of what differs from sentence to sentence, in the outputs' own."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Heard:
    """What is heard in a recording or rendering."""

    embedding: NDArray[np.float32]
    """Of the speaker, [256], of length one."""
    colour: NDArray[np.float32]
    """Of the sound, [40], see `Manner`."""


class Response:
    """The process: inputs are a timbre in units of the voices' spread [128] and a pitch in octaves."""

    def __init__(self, arrays: Mapping[str, NDArray]) -> None:
        self.centre, self.unit = arrays["centre"], arrays["unit"]
        """Of the packaged styles: mean [256] and spread [256]."""
        self.prosody = arrays["prosody"].astype(np.float64)
        """[5, 3, 128]: for each packaged voice the changes of the prosody half, in its units, that raise each of
        `prosody_features` by one."""
        self.packaged, self.pitches, self.dynamics = arrays["packaged"], arrays["pitches"], arrays["dynamics"]
        """What the packaged voices sound like: embeddings [5, 256], pitches in octaves [5] and dynamics in dB [5]."""
        self._linear, self._smooth, self._length, self._noise, self._pitch = arrays["kernel"]
        self._mean, self._spread = arrays["output_mean"].astype(np.float64), arrays["output_spread"].astype(np.float64)
        self._inputs = arrays["inputs"].astype(np.float64)
        self._outputs = arrays["outputs"].astype(np.float64)
        self._noises = np.full(len(self._inputs), self._noise)
        self._solve()

    @classmethod
    def load(cls) -> Response:
        """The shipped one."""
        with files(__package__).joinpath("response.npz").open("rb") as file, np.load(file) as arrays:
            return cls({name: arrays[name] for name in arrays.files})

    def observe(self, timbre: Array, pitch: float, heard: Heard) -> None:
        """Add a rendering, which weighs more than a random one of the thousand: it is the mean of several sentences."""
        output = (np.concatenate([heard.embedding, heard.colour]) - self._mean) / self._spread
        self._inputs = np.vstack([self._inputs, self._input(timbre, pitch)])
        self._outputs = np.vstack([self._outputs, output])
        self._noises = np.append(self._noises, ROUNDING**2 * self._noise)
        self._solve()

    def predict(self, timbre: Array, pitch: float) -> Heard:
        """The expected embedding and colour of a style."""
        output = self._kernel(self._input(timbre, pitch)[None])[0] @ self._weights * self._spread + self._mean
        embedding = np.maximum(output[:256], 0)
        return Heard((embedding / np.linalg.norm(embedding)).astype(np.float32), output[256:].astype(np.float32))

    def propose(
        self, wanted: Heard, start: Array, pitch: float, *, pull: float, colour: float, doubt: float, steps: int = 200
    ) -> Array:
        """The timbre [128] that is expected to come nearest.

        Args:
            wanted: What it should sound like.
            start: The timbre of the voice it starts from, which it is pulled towards.
            pitch: Octaves above 1 Hz that it will be spoken at.
            pull: Weight of the mean squared distance from the start.
            colour: Weight of the mean squared distance of the colour.
            doubt: Weight of the expectation's own standard deviation, which keeps it near what has been heard.
            steps: Of Adam (Kingma and Ba 2015).
        """
        z, first, second = start.copy(), np.zeros(TIMBRE), np.zeros(TIMBRE)
        for step in range(1, steps + 1):
            gradient = self._gradient(z, wanted, pitch, colour, doubt) + 2 * pull * (z - start) / TIMBRE
            first = 0.9 * first + 0.1 * gradient
            second = 0.99 * second + 0.01 * gradient**2
            z -= 0.05 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
        return z

    def _gradient(self, z: Array, wanted: Heard, pitch: float, colour: float, doubt: float) -> Array:
        """Of `1 - cosine + colour x distance + doubt x deviation`, in z."""
        x = self._input(z, pitch)
        k, slope = self._kernel_slope(x)
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
        variance = max(self._linear * (x @ x) / TIMBRE + self._smooth - k @ solved, 1e-9)
        along -= doubt / np.sqrt(variance) * solved
        return slope(along) + doubt / np.sqrt(variance) * self._linear * z / TIMBRE

    def _input(self, timbre: Array, pitch: float) -> Array:
        return np.append(timbre, self._pitch * (pitch - 7.5))

    def _kernel(self, x: Array) -> Array:
        squares = ((self._inputs**2).sum(axis=1) + (x**2).sum(axis=1)[:, None] - 2 * x @ self._inputs.T) / TIMBRE
        return self._linear * (x @ self._inputs.T) / TIMBRE + self._smooth * np.exp(-0.5 * squares / self._length**2)

    def _kernel_slope(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        """The kernel's column at x [n], and a function from weights [n] to the gradient of their sum in z."""
        squares = ((self._inputs - x) ** 2).sum(axis=1) / TIMBRE
        smooth = self._smooth * np.exp(-0.5 * squares / self._length**2)

        def slope(weights: Array) -> Array:
            toward = self._linear * weights @ self._inputs
            toward += (weights * smooth / self._length**2) @ self._inputs - (weights @ smooth) / self._length**2 * x
            return toward[:TIMBRE] / TIMBRE

        return self._linear * (self._inputs @ x) / TIMBRE + smooth, slope

    def _solve(self) -> None:
        kernel = self._kernel(self._inputs)
        self._inverse = np.linalg.inv(kernel + np.diag(self._noises))
        self._weights = self._inverse @ self._outputs
