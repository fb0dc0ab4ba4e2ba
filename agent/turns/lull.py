"""A voice pauses, long before the voice activity detector is certain of it."""

from __future__ import annotations

import numpy as np

LULL = 0.1
"""Seconds of quiet after which what takes long begins; the voice activity detector needs twice as many. With 60 ms half
of the looks were in vain, and those that counted had to wait for them."""
QUIET = 0.06
"""Of the loudness of the voice: below it is quiet."""


class Lull:
    """Notices in the loudness of a voice that it has paused."""

    def __init__(self) -> None:
        self._loudest = 0.0
        self.seconds = 0.0
        """For which it has been quiet."""

    def is_lull(self, pcm: bytes, rate: int) -> bool:
        """Whether it has been quiet for `LULL` seconds, this piece of 16-bit samples included."""
        samples = np.frombuffer(pcm, np.int16).astype(np.float32)
        if not len(samples):
            return False
        level = float(np.sqrt((samples**2).mean()))
        self._loudest = max(self._loudest, level)
        self.seconds = self.seconds + len(samples) / rate if level < QUIET * self._loudest else 0.0
        return self.seconds >= LULL
