"""A voice pauses, long before the voice activity detector is certain of it."""

from __future__ import annotations

import numpy as np

LULL = 0.06
"""Seconds of quiet after which recognition begins; the voice activity detector needs three times as many. Every second
time it is in vain, and what was begun stops before its next step."""
LONG_LULL = 0.1
"""The same where nothing hastens: for the detector of ends, which is quicker than the words, and while the agent
speaks, where half a nod is not to pass for a whole one."""
QUIET = 0.06
"""Of the loudness of the voice: below it is quiet."""


class Lull:
    """Notices in the loudness of a voice that it has paused.

    Args:
        after: Seconds of quiet.
    """

    def __init__(self, after: float) -> None:
        self._after = after
        self._loudest = 0.0
        self.seconds = 0.0
        """For which it has been quiet."""

    def is_lull(self, pcm: bytes, rate: int) -> bool:
        """Whether it has been quiet for long enough, this piece of 16-bit samples included."""
        samples = np.frombuffer(pcm, np.int16).astype(np.float32)
        if not len(samples):
            return False
        level = float(np.sqrt((samples**2).mean()))
        self._loudest = max(self._loudest, level)
        self.seconds = self.seconds + len(samples) / rate if level < QUIET * self._loudest else 0.0
        return self.seconds >= self._after
