"""Symbols as numbers, and long texts in pieces that the model can read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from g2p.encode.kokoro import Symbols
from g2p.pronunciation import Pronunciation

VOCABULARY: dict[str, int] = json.loads(files(__package__).joinpath("vocab.json").read_text(encoding="utf-8"))
LONGEST_PIECE = 180
"""Symbols; about ten seconds. The cost of the front grows with the piece, and nothing is heard before it is done."""
LONGEST_FIRST_PIECE = 60
"""Symbols; about three seconds."""
LONGEST_OPENING = 70
"""Symbols that the first piece of all may run to if no mark comes before: what the front reads in time for a first
sound after 150 ms. Beyond, it is cut between words."""
LONE_WORD = 12
MARKS = ".!?…;:—,"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of symbols that the model speaks in one breath."""

    symbols: str
    owners: tuple[int, ...]
    """For each symbol the index of its token in the pronunciation."""

    @property
    def mark(self) -> str:
        """The punctuation mark at its end, or an empty string."""
        return self.symbols[-1] if self.symbols[-1] in MARKS else ""

    def english(self, pronunciation: Pronunciation) -> NDArray[np.bool_]:
        """Which of the tokens [T] are English, spaces around it included, where there is Mandarin, too."""
        kinds = ["pause", *(pronunciation.tokens[owner].kind for owner in self.owners)]
        found = np.array([kind == "english" for kind in kinds])
        found[1:-1] |= found[2:] & np.array([symbol == " " for symbol in self.symbols[:-1]])
        found &= "hanzi" in kinds
        return np.append(found, np.zeros(len(self.tokens()) - len(found), np.bool_))

    def tokens(self) -> NDArray[np.int64]:
        """The model's tokens [T], a pad on either side.

        A word alone without punctuation comes out clipped, so a full stop is added to it.
        """
        symbols = self.symbols if self.mark or len(self.symbols) > LONE_WORD else f"{self.symbols}."
        return np.array([0, *(VOCABULARY[symbol] for symbol in symbols), 0], np.int64)


def pieces(symbols: Symbols, *, opening: bool) -> Iterator[Piece]:
    """Cut at punctuation into a short first piece and longer ones; between words where there is no punctuation.

    Args:
        symbols: What is to be said.
        opening: Whether somebody waits in silence for the first piece, so that its length counts most.
    """
    text, start = symbols.text, 0
    while start < len(text):
        wanted = LONGEST_FIRST_PIECE if start == 0 else LONGEST_PIECE
        end = _cut(text, start, wanted, LONGEST_OPENING if opening and start == 0 else LONGEST_PIECE)
        stretch = text[start:end]
        lead = len(stretch) - len(stretch.lstrip(" "))
        body = stretch.strip(" ")
        if body.strip(MARKS + " "):
            yield Piece(body, symbols.tokens[start + lead : start + lead + len(body)])
        start = end


def _cut(text: str, start: int, wanted: int, most: int) -> int:
    """Where the piece that begins at `start` ends: after a mark if there is one in reach, else after a space."""
    rest = len(text) - start
    for limit in (wanted, most):
        # A remainder of a word or two would be spoken out of breath: leave it with the clause before.
        if rest <= limit:
            return len(text)
        marks = [i + 1 for i in range(start, start + limit) if text[i] in MARKS]
        if marks:
            return marks[-1]
    middle = min(most, max(rest // 2, wanted))
    space = text.rfind(" ", start + 1, start + middle)
    return space + 1 if space > 0 else start + middle
