"""Whose voice it is, by its loudness: a television across the room is much quieter than who holds the telephone."""

from __future__ import annotations

from collections import deque

import numpy as np

FARTHER = 10.0
"""Decibels below the caller's own voice at which a voice is somebody else's."""
LEARNING = 0.3
"""How much the latest voice with words counts."""


class Nearness:
    """Remembers how loud the caller speaks in this call, and compares."""

    def __init__(self) -> None:
        self._caller: float | None = None
        self._latest: deque[tuple[float, float]] = deque(maxlen=200)
        """Seconds and decibels of what was heard last."""
        self._levels: list[float] = []
        """Of the present voice."""
        self._voice = False

    def hear(self, pcm: bytes, rate: int) -> None:
        """Add 16-bit mono samples."""
        samples = np.frombuffer(pcm, np.int16).astype(np.float32)
        if len(samples):
            power = float((samples**2).mean()) / 2**30
            self._latest.append((len(samples) / rate, 10 * float(np.log10(power + 1e-10))))
        if self._voice:
            self._levels.append(self._latest[-1][1])

    def begin(self, already: float) -> None:
        """A voice began so many seconds ago."""
        self._levels, self._voice = [], True
        for seconds, level in reversed(self._latest):
            if already <= 0:
                break
            self._levels.append(level)
            already -= seconds

    def end(self) -> None:
        """The voice is over; its loudness is known until the next one begins."""
        self._voice = False

    def learn(self) -> None:
        """It was the caller's."""
        if self._levels:
            loudness = self._loudness
            self._caller = loudness if self._caller is None else self._caller + LEARNING * (loudness - self._caller)

    @property
    def is_far(self) -> bool:
        """Whether the voice is too quiet to be the caller's; False as long as that is not known."""
        return self._caller is not None and bool(self._levels) and self._loudness < self._caller - FARTHER

    @property
    def _loudness(self) -> float:
        return float(np.percentile(self._levels, 90))
