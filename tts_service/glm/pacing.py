"""When each character is heard. The model gives no alignment, so time is shared out by how long things take to say."""

from __future__ import annotations

import math

from g2p.pronunciation import Pronunciation, Token
from tts_service.engine import CharTiming

_SECONDS_PER_SYLLABLE = 0.22


def _weight(token: Token) -> float:
    """In syllables."""
    if token.kind == "hanzi":
        return 1.0
    if token.kind == "english":
        return max(1.0, len(token.text) / 3)
    return 1.2 if token.text in "。！？；…\n" else 0.6


def syllables(pronunciation: Pronunciation) -> float:
    """How long a text is, in syllables, pauses included."""
    return sum(_weight(token) for token in pronunciation.tokens)


class Pacer:
    """Timings of one segment, handed out as its audio is.

    Until the end is known, the pace is that of the reference recording; from then on what is left fills what is left.
    """

    def __init__(self, pronunciation: Pronunciation, pace: float | None) -> None:
        """Begin a segment; `pace` is in seconds per syllable, None for a common one."""
        self._pace = pace or _SECONDS_PER_SYLLABLE
        self._marks: list[tuple[float, int, int]] = []
        weight = 0.0
        for token in pronunciation.tokens:
            if token.kind != "pause":
                self._marks.append((weight, token.start, token.end))
            weight += _weight(token)
        self._total = weight
        self._anchor = (0.0, 0.0)  # syllables and seconds where the present pace began

    def end_at(self, seconds: float) -> None:
        """Tell the segment's length."""
        done, begun = self._anchor
        if self._total > done:
            self._pace = max(0.0, seconds - begun) / (self._total - done)

    def heard(self, until: float, final: bool) -> tuple[CharTiming, ...]:
        """Timings that fall before `until` seconds; all that are left if `final`."""
        done, begun = self._anchor
        timings = []
        while self._marks:
            weight, start, end = self._marks[0]
            seconds = begun + (weight - done) * self._pace
            if seconds >= until and not final:
                break
            timings.append(CharTiming(start, end, min(seconds, until)))
            self._marks.pop(0)
        if self._pace > 0 and math.isfinite(until):
            reached = min(self._total, done + (until - begun) / self._pace)
            self._anchor = (min(reached, self._marks[0][0] if self._marks else reached), until)
        return tuple(timings)
