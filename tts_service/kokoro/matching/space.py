"""The spaces that the packaged voices span, timbre and prosody apart, as coordinates around their middle."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tts_service.kokoro.cast import style_table, table_names
from tts_service.kokoro.voice import style_row

TIMBRE = 128
"""Columns of a style that steer timbre; the rest steers prosody."""
DIRECTIONS = 40
"""They hold 99 % of what the voices differ by."""
OUTSIDE = 0.5
"""What a step that leads out of these counts: no voice tells what is there."""
SYMBOLS = 41
"""Of the sentence whose rows stand for the tables, about three seconds."""


@dataclass(frozen=True, slots=True)
class Space:
    """Coordinates of halves of styles: the columns themselves, in steps of about length one."""

    centre: NDArray[np.float64]
    """The middle of the voices, [128]."""
    length: float
    """How far the voices are from it (root mean square)."""
    directions: NDArray[np.float64]
    """In which they differ from it, each of length one, [40, 128]."""
    spread: NDArray[np.float64]
    """Standard deviation of the voices along these, of their length, [40]."""
    unit: NDArray[np.float64]
    """Standard deviation of every column of the voices' styles, [128]."""

    @classmethod
    def of(cls, rows: NDArray[np.float64]) -> Space:
        """That voices [n, 128] span."""
        centre = rows.mean(axis=0)
        _, sizes, right = np.linalg.svd(rows - centre, full_matrices=False)
        length = float(np.sqrt((sizes**2).sum() / len(rows)))
        spread = sizes[:DIRECTIONS] / np.sqrt(len(rows)) / length
        return cls(centre, length, right[:DIRECTIONS], spread, rows.std(axis=0))

    def coordinates(self, rows: NDArray) -> NDArray[np.float64]:
        """Of rows [..., 128]."""
        steps = (rows - self.centre) / self.length
        return OUTSIDE * steps + (1 - OUTSIDE) * self.within(rows) @ self.directions

    def at(self, coordinates: NDArray) -> NDArray[np.float64]:
        """The rows [..., 128] at coordinates [..., 128]."""
        within = coordinates @ self.directions.T @ self.directions
        return self.centre + self.length * (within + (coordinates - within) / OUTSIDE)

    def within(self, rows: NDArray) -> NDArray[np.float64]:
        """How far rows [..., 128] lie in each of the directions, [..., 40]."""
        return (rows - self.centre) / self.length @ self.directions.T


@lru_cache(maxsize=1)
def timbres() -> Space:
    """Of all packaged voices."""
    return Space.of(_rows()[:, :TIMBRE])


@lru_cache(maxsize=1)
def prosodies() -> Space:
    """Of all packaged voices."""
    return Space.of(_rows()[:, TIMBRE:])


def _rows() -> NDArray[np.float64]:
    return np.stack([style_row(style_table(name), SYMBOLS) for name in table_names()]).astype(np.float64)
