"""A text as clauses of words: what a rule of grammar looks at."""

from __future__ import annotations

import re
from typing import NamedTuple

_MARK = re.compile("[^〇㐀-鿿A-Za-z0-9《》“”‘’\"'、·]")
NUMERAL = "零一二三四五六七八九十百千万亿两几数多半每"


class Token(NamedTuple):
    """A word of the cut, or a mark."""

    text: str
    tag: str
    start: int


class Place(NamedTuple):
    """A character that is a word of its own, within its clause."""

    before: list[Token]
    """The clause so far, nearest last."""
    after: list[Token]
    """The rest of the clause."""
    left: str
    """The text of the clause before it."""
    right: str
    """The text of the clause after it."""

    @property
    def previous(self) -> Token:
        """The word before; an empty one at the beginning of a clause."""
        return self.before[-1] if self.before else NOTHING

    @property
    def next(self) -> Token:
        """The word after; an empty one at the end of a clause."""
        return self.after[0] if self.after else NOTHING


NOTHING = Token("", "", -1)
"""No word: the edge of a clause."""


def clauses(text: str, segments: list[int], tags: list[str]) -> list[list[Token]]:
    """Cut a text at its marks.

    Args:
        text: Simplified characters.
        segments: Word index of each.
        tags: Part of speech of the word of each.
    """
    clauses: list[list[Token]] = [[]]
    start = 0
    for i in range(1, len(text) + 1):
        if i < len(text) and segments[i] == segments[start]:
            continue
        word = text[start:i]
        if _MARK.match(word):
            clauses.append([])
        else:
            # jieba lists 地走了 as a phrase
            particle = len(word) > 1 and word[0] in "地得" and tags[start] == "l"
            cut = 1 if particle else len(word)
            clauses[-1].append(Token(word[:cut], "u" if particle else tags[start], start))
            if particle:
                clauses[-1].append(Token(word[1:], "v", start + 1))
        start = i
    return [clause for clause in clauses if clause]
