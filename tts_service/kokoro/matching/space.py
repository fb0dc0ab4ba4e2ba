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
SYMBOLS = 41
"""Of the sentence whose rows stand for the tables, about three seconds."""


@dataclass(frozen=True, slots=True)
class Space:
    """Coordinates of halves of styles, of about length one."""

    centre: NDArray[np.float64]
    """The middle of the voices, [128]."""
    directions: NDArray[np.float64]
    """[40, 128], as long as the voices are far from their middle (root mean square, all directions together)."""
    spread: NDArray[np.float64]
    """Standard deviation of the voices' coordinates, [40]."""
    unit: NDArray[np.float64]
    """Standard deviation of every column of the voices' styles, [128]."""

    @classmethod
    def of(cls, rows: NDArray[np.float64]) -> Space:
        """That voices [n, 128] span."""
        centre = rows.mean(axis=0)
        _, sizes, right = np.linalg.svd(rows - centre, full_matrices=False)
        length = np.sqrt((sizes**2).sum() / len(rows))
        spread = sizes[:DIRECTIONS] / np.sqrt(len(rows)) / length
        return cls(centre, length * right[:DIRECTIONS], spread, rows.std(axis=0))

    def coordinates(self, rows: NDArray) -> NDArray[np.float64]:
        """Of rows [..., 128], without what lies outside."""
        return (rows - self.centre) @ self.directions.T / (self.directions[0] @ self.directions[0])

    def at(self, coordinates: NDArray) -> NDArray[np.float64]:
        """[..., 128] at coordinates [..., 40]."""
        return self.centre + coordinates @ self.directions


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
