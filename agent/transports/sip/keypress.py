"""A telephone key on its way to the other side."""

from __future__ import annotations

from aiortp import DtmfEvent
from aiortp.dtmf import DTMF_EVENTS

STEP_SECONDS = 0.02
CLOCK_RATE = 8000
STEP_TICKS = int(CLOCK_RATE * STEP_SECONDS)
DTMF_SECONDS = 0.16
DTMF_PAUSE = 0.08


class KeyPress:
    """One key as telephone events (RFC 4733, 2.5): growing durations every 20 ms, the end three times, a pause.

    Args:
        key: `0`-`9`, `*`, `#`, `A`-`D`.
        timestamp: RTP timestamp of the beginning, which all events of the key carry.
    """

    def __init__(self, key: str, timestamp: int) -> None:
        self.timestamp = timestamp
        self.done = False
        self._code = DTMF_EVENTS[key]
        self._steps = 0

    def step(self) -> list[tuple[DtmfEvent, bool]]:
        """The events of the next 20 ms, each with whether it is the first of the key."""
        self._steps += 1
        elapsed = self._steps * STEP_SECONDS
        self.done = elapsed >= DTMF_SECONDS + DTMF_PAUSE
        duration = min(self._steps * STEP_TICKS, int(DTMF_SECONDS * CLOCK_RATE))
        if elapsed < DTMF_SECONDS:
            return [(DtmfEvent(self._code, end=False, volume=10, duration=duration), self._steps == 1)]
        if elapsed < DTMF_SECONDS + STEP_SECONDS:
            return [(DtmfEvent(self._code, end=True, volume=10, duration=duration), False)] * 3
        return []
