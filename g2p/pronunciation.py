"""What to say: the one object between text and every engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["hanzi", "english", "pause"]


@dataclass(frozen=True, slots=True)
class Token:
    """One thing to be said: a hanzi with its syllable, an English word, or a pause."""

    kind: Kind
    text: str
    """What is said, after normalisation: one hanzi (花儿 when erhua curls it), one English word or letter, or one
    punctuation mark (`，。！？；：、…—`, or `\\n` for a paragraph)."""
    start: int
    """Span of original characters it came from, [start, end); tokens may share one (`2024` -> 二零二四)."""
    end: int
    reading: str = ""
    """Hanzi: the syllable as spoken, after sandhi, tone number 1 to 5 (`chong2`, `nv3`, `hua1r` with erhua). Empty for
    a hanzi nobody knows. English: the IPA that somebody asked for, else empty."""
    base: str = ""
    """Hanzi: the dictionary form before sandhi."""
    word: int = 0
    """Index of the word it belongs to: neighbours with the same number form one prosodic word."""
    source: str = ""
    """Why this reading: `markup` or `dictionary` (somebody asked for it), `word` (an edited dictionary is sure), `rule`
    (grammar, or a name), `phrase` (an unedited word), `model`, `default` (the character's usual one)."""

    @property
    def certain(self) -> bool:
        """Whether the reading is known rather than judged: asked for, or stated by a word that has no other."""
        return self.source in ("markup", "dictionary", "word")


@dataclass(frozen=True, slots=True)
class Pronunciation:
    """A text and how it is said."""

    text: str
    """The original text, as the caller gave it. All spans refer to it."""
    tokens: tuple[Token, ...]

    def __bool__(self) -> bool:
        """Whether there is anything to say (pauses alone are nothing)."""
        return any(token.kind != "pause" for token in self.tokens)
