"""Which of its readings an English word has in its phrase: close the window, a close friend.

`data/heteronyms.tsv` comes first; then the part of speech, told from the neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from g2p.normalization.units import rows

_BEFORE_VERB = frozenset(
    (
        "to will would can could should must may might shall cannot can't won't couldn't wouldn't shouldn't do does "
        "did don't doesn't didn't please let's i you we they who i'll you'll we'll they'll he'll she'll "
        "it'll i'd you'd we'd they'd"
    ).split()
)
_BETWEEN = frozenset("not never always also then just really often usually simply only".split())
_THIRD_PERSON = frozenset("he she it who which that".split())
_BEFORE_NOUN = frozenset(
    (
        "the a an this that these those my your his her its our their some any no each every another which what whose "
        "of in on with for at from by about into under over without as than"
    ).split()
)
_BEFORE_ADJECTIVE = frozenset(
    (
        "is are was were be been being am very so too more most how quite it's that's he's she's i'm we're they're "
        "you're"
    ).split()
)
_OBJECTS = frozenset(
    "the a an this that these those my your his her its our their it them me us him all any every".split()
)
_AFTER_NOUN = frozenset("of is was are were has had will can and or in on at to for from with by".split())
_IMPERATIVE_AFTER = frozenset("and then please or now just".split())


@lru_cache(maxsize=1)
def _contexts() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    contexts: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for word, said, where in rows("heteronyms.tsv"):
        contexts.setdefault(word, []).append((said, re.compile(where)))
    return contexts


def choose(words: Sequence[str], i: int, forms: Mapping[str, str] | None) -> str | None:
    """How the word at a place is said.

    Args:
        words: The phrase.
        i: The place in it.
        forms: Its readings by part of speech, as `pronouncing.forms` gives them.
    """
    word = words[i]
    contexts = _contexts()
    listed = contexts.get(word) or contexts.get(word.lower(), [])
    if listed:
        around = [*(w.lower() for w in words[max(0, i - 12) : i]), "_", *(w.lower() for w in words[i + 1 : i + 13])]
        phrase = " ".join(around)
        for said, where in listed:
            if where.search(phrase):
                return said
    if not forms or len(forms) == 1:
        return forms["DEFAULT"] if forms else None
    for tag in _parts_of_speech(words, i):
        if tag in forms:
            return forms[tag]
    return forms["DEFAULT"]


def _parts_of_speech(words: Sequence[str], i: int) -> tuple[str, ...]:
    """Names of tags, likeliest first."""
    before = words[i - 1].lower().replace("’", "'") if i else ""
    after = words[i + 1].lower() if i + 1 < len(words) else ""
    if before in _BETWEEN and i > 1:
        before = words[i - 2].lower()
    if before in _BEFORE_VERB or (before in _THIRD_PERSON and words[i].endswith("s")):
        return ("VERB", "VBP")
    if (not before or before in _IMPERATIVE_AFTER) and after in _OBJECTS:
        return ("VERB",)
    if before in _BEFORE_ADJECTIVE:
        return ("ADJ",)
    if not after or after in _AFTER_NOUN:
        return ("NOUN",)
    return ("ADJ",) if before in _BEFORE_NOUN else ("DEFAULT",)
