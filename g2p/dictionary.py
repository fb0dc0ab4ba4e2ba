"""What is known about characters and words: candidate readings, words that state a reading, word frequencies.

One file of sorted arrays, read in milliseconds and searched with numpy; `training/build_dictionary.py` writes it
and names its sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

MAX_WORD = 8
UNSTATED = 15
"""A word says nothing about this character (it has one reading)."""
NEUTRAL = 14
"""A word gives this character the neutral tone that it has nowhere else (朋友)."""

EDITED = 3
"""The trust of words that an edited dictionary confirms."""
HAND_WRITTEN = 4
"""The trust of words that a person wrote down (`data/words.txt`)."""

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_NOT_A_WORD = 255
_FILTER_BITS = 22
_FILTER_SHIFT = np.uint64(64 - _FILTER_BITS)


def hash_words(word: str) -> int:
    """64-bit rolling hash; `Dictionary.find` computes it for every substring at once."""
    value = 0
    for char in word:
        value = (value * int(_PRIME) + ord(char)) & 0xFFFFFFFFFFFFFFFF
    return value


@dataclass(frozen=True, slots=True)
class Word:
    """A dictionary word found in a text."""

    start: int
    length: int
    readings: int
    """Four bits a character, the first lowest: index into its candidates, `NEUTRAL` or `UNSTATED`."""
    trust: int
    """0: only known as a word; 1: sources disagree, 2: they agree, 3: an edited dictionary too; 4: hand-written."""
    cost: int
    """Negative log probability in eighths of a nat; 255: seen in no corpus."""

    def stated(self, position: int) -> int:
        """What it says about the character at a position of the text."""
        return self.readings >> 4 * (position - self.start) & 15


class Dictionary:
    """Characters and words, read-only and thread-safe."""

    def __init__(self) -> None:
        with files("g2p").joinpath("data/dictionary.npz").open("rb") as file:
            data = dict(np.load(file))
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

    def is_word(self, word: str) -> bool:
        """Whether it is a dictionary word of 2 to 8 characters."""
        wanted = np.uint64(hash_words(word))
        row = int(np.searchsorted(self._hashes, wanted))
        return row < len(self._hashes) and self._hashes[row] == wanted

    def find(self, text: str) -> list[Word]:
        """All dictionary words of 2 to 8 characters in a text, by length, then by place."""
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
        value, hashes, starts = codes, [], []
        for length in range(2, min(MAX_WORD, len(codes)) + 1):
            value = value[:-1] * _PRIME + codes[length - 1 :]
            hashes.append(value)
            starts.append(np.arange(len(value)))
        if not hashes:
            return []
        wanted = np.concatenate(hashes)
        likely = np.nonzero(self._present[wanted >> _FILTER_SHIFT])[0]
        rows = np.searchsorted(self._hashes, wanted[likely])
        rows[rows == len(self._hashes)] = 0
        found = self._hashes[rows] == wanted[likely]
        rows, hits = rows[found], likely[found]
        lengths = np.repeat(np.arange(2, 2 + len(hashes)), [len(h) for h in hashes])[hits]
        return [
            Word(*values)
            for values in zip(
                np.concatenate(starts)[hits].tolist(),
                lengths.tolist(),
                self._word_readings[rows].tolist(),
                self._word_trust[rows].tolist(),
                self._word_cost[rows].tolist(),
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
        best = [0.0] * (size + 1)
        back = [1] * (size + 1)
        ending: list[list[Word]] = [[] for _ in range(size + 1)]
        for word in words:
            if word.cost != _NOT_A_WORD or word.length > 3:
                ending[word.start + word.length].append(word)
        for end in range(1, size + 1):
            i = self._index.get(text[end - 1])
            best[end] = best[end - 1] + (_NOT_A_WORD if i is None else self._char_cost[i])
            back[end] = 1
            for word in ending[end]:
                cost = best[word.start] + min(word.cost, 160)
                if cost < best[end]:
                    best[end], back[end] = cost, word.length
        cuts = []
        end = size
        while end:
            cuts.append(back[end])
            end -= back[end]
        return [number for number, length in enumerate(reversed(cuts)) for _ in range(length)]


@lru_cache(maxsize=1)
def dictionary() -> Dictionary:
    """The packaged dictionary, read once."""
    return Dictionary()
