"""The pronouncing dictionary of American English: a sorted file, searched on disk so that it costs no memory."""

from __future__ import annotations

import mmap
import unicodedata
from functools import lru_cache
from pathlib import Path

_FILE = Path(__file__).parent / "data" / "english.txt"


@lru_cache(maxsize=1)
def _lines() -> mmap.mmap:
    with _FILE.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _find(word: str) -> str | None:
    """What stands behind a word in the file, by bisection."""
    lines, key = _lines(), word.encode()
    low, high = 0, len(lines)
    while low < high:
        middle = (low + high) // 2
        start = lines.rfind(b"\n", 0, middle) + 1
        end = lines.find(b"\n", start)
        found, _, said = lines[start:end].partition(b"\t")
        if found == key:
            return said.decode()
        if found < key:
            low = end + 1
        else:
            high = start
    return None


@lru_cache(maxsize=8192)
def forms(word: str) -> dict[str, str] | None:
    """How a word is said, by part of speech (`DEFAULT`, `NOUN`, `VERB`, `ADJ`, ...), in Kokoro's letters.

    Args:
        word: As written: `Polish`, `don't`, `café`. Its own capitals come first, then small letters, then one capital.

    Returns:
        None for a word that it does not have.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", word.replace("’", "'")) if not unicodedata.combining(c))
    for spelling in dict.fromkeys((plain, plain.lower(), plain.lower().capitalize())):
        if said := _find(spelling):
            if " " not in said:
                return {"DEFAULT": said}
            tagged = dict(form.split(" ", 1) for form in said.split(";"))
            return {"DEFAULT": next(iter(tagged.values()))} | tagged
    return None
