"""What is known about characters and words: candidate readings, words that state a reading, word frequencies.

One file of sorted arrays, read in milliseconds and searched with numpy; `training/build_dictionary.py` writes it
and names its sources.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_WORD = 8
UNSTATED = 15
"""A word says nothing about this character (it has one reading)."""
NEUTRAL = 14
"""A word gives this character the neutral tone that it has nowhere else (朋友)."""

AGREED = 2
"""The trust of words on which the lists agree that nobody has edited."""
EDITED = 3
"""The trust of words that an edited dictionary confirms."""
HAND_WRITTEN = 4
"""The trust of words that a person wrote down (`data/words.txt`)."""

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_NOT_A_WORD = 255
_MAX_WORD_COST = 160
_FILTER_BITS = 22
_FILTER_SHIFT = np.uint64(64 - _FILTER_BITS)


def hash_words(word: str) -> int:
    """64-bit rolling hash; `Dictionary.find` computes it for every substring at once."""
    value = 0
    for char in word:
        value = (value * int(_PRIME) + ord(char)) & 0xFFFFFFFFFFFFFFFF
    return value


class Word(NamedTuple):
    """A dictionary word found in a text."""

    start: int
    length: int
    readings: int
    """Four bits a character, the first lowest: index into its candidates, `NEUTRAL` or `UNSTATED`."""
    trust: int
    """0: only known as a word; 1: sources disagree, 2: they agree, 3: an edited dictionary too; 4: hand-written."""
    cost: int
    """Negative log probability in eighths of a nat; 255: seen in no corpus."""
    tag: str
    """Part of speech, the first letter of jieba's; `x`: not known."""

    def stated(self, position: int) -> int:
        """What it says about the character at a position of the text."""
        return self.readings >> 4 * (position - self.start) & 15


class Dictionary:
    """Characters and words, read-only and thread-safe."""

    def __init__(self) -> None:
        with np.load(Path(__file__).parents[1] / "data" / "dictionary.npz") as file:
            data = dict(file)
        syllables = data["syllables"].tolist()
        self._readings = [syllables[i] for i in data["readings"].tolist()]
        self._offsets: list[int] = data["offsets"].tolist()
        self._index = {chr(code): i for i, code in enumerate(data["chars"].tolist())}
        self._modelled: list[bool] = data["modelled"].tolist()
        self._char_cost: list[int] = data["char_cost"].tolist()
        self._hashes: NDArray[np.uint64] = data["word_hashes"]
        # Most substrings are no word; one byte looked up by the leading bits of the hash says so without a search.
        self._present = np.zeros(1 << _FILTER_BITS, np.bool_)
        self._present[self._hashes >> _FILTER_SHIFT] = True
        self._word_readings: NDArray[np.uint32] = data["word_readings"]
        self._word_trust: NDArray[np.uint8] = data["word_trust"]
        self._word_cost: NDArray[np.uint8] = data["word_cost"]
        self._word_tag: NDArray[np.uint8] = data["word_tag"]
        self._char_tag: NDArray[np.uint8] = data["char_tag"]
        self._simple = str.maketrans(str(data["traditional"]), str(data["simplified"]))

    def simplify(self, text: str) -> str:
        """Traditional to simplified, character by character, so that positions stay."""
        return text.translate(self._simple)

    def candidates(self, char: str) -> list[str]:
        """All dictionary readings of a hanzi, the usual one first; empty: unknown."""
        i = self._index.get(char)
        return [] if i is None else self._readings[self._offsets[i] : self._offsets[i + 1]]

    def is_modelled(self, char: str) -> bool:
        """Whether it is a polyphone that the contextual model knows."""
        i = self._index.get(char)
        return i is not None and self._modelled[i]

    def is_common(self, char: str) -> bool:
        """Whether a corpus of 60 million words has the character as a word often enough to be generally known."""
        i = self._index.get(char)
        return i is not None and self._char_cost[i] < 140

    def is_frequent(self, char: str) -> bool:
        """Whether the character as a word is among some eight hundred most frequent ones of the corpus."""
        i = self._index.get(char)
        return i is not None and self._char_cost[i] < 70

    def is_word(self, word: str) -> bool:
        """Whether it is a dictionary word of 2 to 8 characters."""
        wanted = np.uint64(hash_words(word))
        row = int(np.searchsorted(self._hashes, wanted))
        return row < len(self._hashes) and self._hashes[row] == wanted

    def find(self, text: str) -> list[Word]:
        """All dictionary words of 2 to 8 characters in a text, by length, then by place."""
        size = len(text)
        if size < 2:
            return []
        # NULs pad the end, so that all lengths have as many places; no word contains one.
        padded = text + "\0" * (MAX_WORD - 1)
        codes = np.frombuffer(padded.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
        hashes = np.empty((MAX_WORD - 1, size), np.uint64)
        value = codes[:size]
        for extra, row in enumerate(hashes, 1):
            np.multiply(value, _PRIME, row)
            row += codes[extra : extra + size]
            value = row
        wanted = hashes.ravel()
        likely = self._present[wanted >> _FILTER_SHIFT].nonzero()[0]
        wanted = wanted[likely]
        rows = self._hashes.searchsorted(wanted)
        found = self._hashes.take(rows, mode="clip") == wanted
        rows = rows[found]
        return [
            Word(place % size, 2 + place // size, readings, trust, cost, chr(tag))
            for place, readings, trust, cost, tag in zip(
                likely[found].tolist(),
                self._word_readings[rows].tolist(),
                self._word_trust[rows].tolist(),
                self._word_cost[rows].tolist(),
                self._word_tag[rows].tolist(),
                strict=True,
            )
        ]

    def segment(self, text: str, words: list[Word]) -> list[int]:
        """The most probable cut into words (unigram Viterbi): for each character the index of its word.

        Args:
            text: Simplified characters.
            words: What `find` found in it.
        """
        size = len(text)
        best = [0] * (size + 1)
        back = [1] * (size + 1)
        ending: dict[int, list[Word]] = {}
        for word in words:
            if word.cost != _NOT_A_WORD or word.length > 3:
                ending.setdefault(word.start + word.length, []).append(word)
        for end, char in enumerate(text, 1):
            i = self._index.get(char)
            least, length = best[end - 1] + (_NOT_A_WORD if i is None else self._char_cost[i]), 1
            for word in ending.get(end, ()):
                cost = best[word.start] + min(word.cost, _MAX_WORD_COST)
                if cost < least:
                    least, length = cost, word.length
            best[end], back[end] = least, length
        cuts = []
        end = size
        while end:
            cuts.append(back[end])
            end -= back[end]
        return [number for number, length in enumerate(reversed(cuts)) for _ in range(length)]

    def tags(self, text: str, words: list[Word], segments: list[int]) -> list[str]:
        """Part of speech of the word of each character of a text: the first letter of jieba's, `x` where unknown.

        Args:
            text: Simplified characters.
            words: What `find` found in it.
            segments: How `segment` cut it.
        """
        tags = ["x" if (i := self._index.get(char)) is None else chr(self._char_tag[i]) for char in text]
        known = {(word.start, word.length): word.tag for word in words}
        start = 0
        for end in range(1, len(text) + 1):
            if end == len(text) or segments[end] != segments[start]:
                if end - start > 1:
                    tags[start:end] = known.get((start, end - start), "x") * (end - start)
                start = end
        return tags


@lru_cache(maxsize=1)
def dictionary() -> Dictionary:
    """The packaged dictionary, read once."""
    return Dictionary()
