"""LLM deltas -> speakable segments.

The segmenter is pulled, not pushed: whoever synthesises asks for the next segment at the moment it can use one and says
how much of a hurry it is in. With audio in reserve it waits for whole sentences, which sound best; about to fall
silent, it gives what is speakable now. The first segment is short, so that sound starts early, unless the engine wants
whole sentences.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tts_service.engine import Phrasing

LONGEST_WORD = 8
"""Hanzi that must be seen beyond a place to know whether it parts a word."""

_SENTENCE_END = "。！？!?…\n"
_CLAUSE_END = "，、；：,;:—"
_CLOSING = "”’」』）》】〉)]\"'*_~"
_ASCII_AMBIGUOUS = ".,:;!?-"
_ABBREVIATION = re.compile(
    r"(?:(?<![A-Za-z])(?:Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|vs|etc|No|Inc|Ltd|Co|e\.g|i\.e|a\.m|p\.m|U\.S|U\.K|[A-Za-z])|(?:^|\n)\s*\d+)\.$"
)
# What is never cut: ASCII runs (words, numbers, URLs, e-mail addresses), inline markup, emoji sequences.
_ATOM = re.compile(
    r"[㐀-鿿]{1,8}\[[^\[\]\n]{0,60}(?:\]|$)"
    r"|[A-Za-zÀ-ɏḀ-ỿ'’]{1,40}\[(?:/[^\[\]/\n]{0,80})?(?:/\]|$)"
    r"|<\|[A-Z0-9_]{1,8}\|>"
    r"|[A-Za-z0-9](?:[A-Za-z0-9'’_@/&=+%#~?.:,-]*[A-Za-z0-9/%])?"
    r"|[\U0001F1E6-\U0001F1FF]{2}"
    r"|[\u2600-\u27BF\U0001F000-\U0001FAFF](?:[\uFE0F\u200D\U0001F3FB-\U0001F3FF\u2640\u2642]|[\U0001F000-\U0001FAFF](?<=\u200D.))*"
)
_URL_TAIL = re.compile(r"(?:https?://|www\.)[!-~]*$", re.IGNORECASE)
_SPEAKABLE = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of text that is spoken in one breath."""

    text: str
    start: int
    """Where it begins in all the text that was fed."""


class Segmenter:
    """Collects the text of one utterance and hands it out in speakable pieces, in order, losing nothing.

    Args:
        entries: Returns the spans of custom-dictionary entries in a text; no segment ends inside one.
        words: Returns the spans of the words in a text, asked where no punctuation comes in time; None: any hanzi.
        phrasing: What the engine wants of segments.
    """

    def __init__(
        self,
        entries: Callable[[str], Iterable[tuple[int, int]]] | None = None,
        words: Callable[[str], Iterable[tuple[int, int]]] | None = None,
        phrasing: Phrasing | None = None,
    ) -> None:
        self._phrasing = phrasing or Phrasing()
        self._entries = entries
        self._words = words
        self._deltas: list[str] = []
        self._text = ""
        self._at = 0  # how much of _text has been handed out
        self._dropped = 0  # handed out and forgotten before _text
        self._ended = False
        self._first = True

    def feed(self, delta: str) -> None:
        """Add text as the LLM writes it.

        Raises:
            ValueError: The text had already ended.
        """
        if self._ended:
            raise ValueError("the text has ended; nothing can be added to it")
        self._deltas.append(delta)

    def end(self) -> None:
        """No more text will come."""
        self._ended = True

    @property
    def exhausted(self) -> bool:
        """Whether all text has been handed out and no more will come."""
        return self._ended and not self.waiting

    @property
    def waiting(self) -> bool:
        """Whether text has been fed that was not handed out yet."""
        return self._at < len(self._text) or any(self._deltas)

    def take(self, *, hurry: bool = False, stalled: bool = False) -> Segment | None:
        """The next segment, or None if it is better (or necessary) to wait for more text.

        Args:
            hurry: Playback is about to run dry: a clause will do.
            stalled: No text has come for a while: take whatever ends at a safe place.
        """
        if self._deltas:
            self._text = self._text[self._at :] + "".join(self._deltas)
            self._dropped += self._at
            self._at = 0
            self._deltas.clear()
        cut = self._cut(hurry or self._first, stalled)
        if not cut:
            return None
        segment = Segment(self._text[self._at : self._at + cut], self._dropped + self._at)
        self._at += cut
        self._first = self._first and not _SPEAKABLE.search(segment.text)
        return segment

    def _cut(self, hurry: bool, stalled: bool) -> int:
        """Where to cut the waiting text: its length up to there, or 0 to wait."""
        shape, first = self._phrasing, self._first
        longest = shape.first_longest if first else shape.longest
        window = self._text[self._at : self._at + round(longest) * 12]
        sentences, clauses, safe, overfull = self._boundaries(window, longest)
        clause = shape.first_clause if first else shape.clause
        # Earliest sound first: a clause, if it ends before the sentence does.
        if first and not shape.whole:
            soon = next((at for at, weight in clauses if weight >= clause), 0)
            sentence = next((at for at, _ in sentences), 0)
            if soon and (not sentence or soon < sentence):
                return soon
        wanted = 1 if first and not shape.whole else shape.sentence
        for at, weight in sentences:
            if weight >= wanted:
                return at
        if overfull:
            marked = _last(clauses, clause) or _last(sentences)
            if shape.whole:
                marked = _last(sentences) or _last(clauses, clause)
            return marked or _last(self._between_words(window, safe)) or len(window)
        if self._ended:
            return len(self._text) - self._at
        if stalled:
            return _last(sentences) or _last(clauses) or _last(safe)
        if hurry:
            return _last(sentences) or _last(clauses, clause)
        return 0

    def _boundaries(
        self, window: str, longest: float
    ) -> tuple[list[tuple[int, float]], list[tuple[int, float]], list[tuple[int, float]], bool]:
        """Places where the waiting text may be cut, as (length up to there, spoken weight up to there).

        The weight is roughly the number of syllables. Looks no further than `longest` of it, so the cost of a call does
        not grow with the text.

        Returns:
            Sentence ends, clause ends, other safe places, and whether the text is longer than `longest`.
        """
        protected = self._protected(window)
        sentences: list[tuple[int, float]] = []
        clauses: list[tuple[int, float]] = []
        safe: list[tuple[int, float]] = []
        weight = 0.0
        inside_until = 0
        for index, char in enumerate(window):
            weight += _weight(char)
            at = index + 1
            inside_until = max(inside_until, protected.get(index, 0))
            if at < inside_until:
                continue
            if weight > longest:
                return sentences, clauses, safe, True
            if weight == 0:
                continue
            kind = self._kind(window, index)
            if kind:
                while at < len(window) and window[at] in _CLOSING + _SENTENCE_END:
                    at += 1
                (sentences if kind == "sentence" else clauses).append((at, weight))
            # At the very end an ASCII word may still be growing.
            elif ord(char) > 0x2E7F or (at < len(window) and (char == " " or at == inside_until)):
                safe.append((at, weight))
        return sentences, clauses, safe, len(window) < len(self._text) - self._at

    def _between_words(self, window: str, places: list[tuple[int, float]]) -> list[tuple[int, float]]:
        """Those of the places that are not inside a word, unless all are."""
        if not self._words or not places:
            return places
        inside = {
            at for start, end in self._words(window[: places[-1][0] + LONGEST_WORD]) for at in range(start + 1, end)
        }
        return [place for place in places if place[0] not in inside] or places

    def _protected(self, window: str) -> dict[int, int]:
        """Start -> end of everything that must stay in one piece."""
        spans = [match.span() for match in _ATOM.finditer(window)]
        if self._entries:
            spans.extend(self._entries(window))
        protected: dict[int, int] = {}
        for start, end in spans:
            protected[start] = max(protected.get(start, 0), end)
        return protected

    def _kind(self, window: str, index: int) -> str:
        """`sentence`, `clause`, or empty: what ends with this character, as far as can be told now."""
        char = window[index]
        following = window[index + 1 : index + 2]
        if char in _ASCII_AMBIGUOUS:
            if char in "!?":
                if _URL_TAIL.search(window[: index + 1][-200:]):
                    return ""
                return "" if following.isascii() and following.isalnum() else "sentence"
            if not following and not self._ended:
                return ""
            if following.isascii() and not following.isspace() and following not in _CLOSING and following:
                return ""
            if char == ".":
                return "" if _ABBREVIATION.search(window[max(0, index - 8) : index + 1]) else "sentence"
            return "clause" if char in _CLAUSE_END else ""
        if char in _SENTENCE_END:
            return "sentence"
        return "clause" if char in _CLAUSE_END else ""


def _last(places: list[tuple[int, float]], least: float = 0.0) -> int:
    """The last place, if it carries at least so much weight; else 0."""
    return places[-1][0] if places and places[-1][1] >= least else 0


def _weight(char: str) -> float:
    """About how many syllables a character is read as."""
    if char.isascii():
        return 1.0 if char.isdigit() else 0.4 if char.isalpha() else 0.0
    return 1.0 if char.isalnum() else 0.0
