"""Japanese kana in Latin letters (Hepburn), so that a name or a greeting between Chinese words is said at all."""

from __future__ import annotations

import re
import unicodedata

KANA = "ぁ-ゖァ-ヺーｦ-ﾟ"
_HEPBURN = (
    ("si", "shi"), ("ti", "chi"), ("tu", "tsu"), ("hu", "fu"), ("zi", "ji"), ("di", "ji"), ("du", "zu"),
)  # fmt: skip
_GREETINGS = {"konnichiha": "konnichiwa", "konbanha": "konbanwa"}
"""Their last kana is the particle, written ha and said wa."""


def romaji(kana: str) -> str:
    """Latin letters of a run of kana: カラオケ is karaoke, キャ is kya, マッチャ is matcha.

    Args:
        kana: Hiragana and katakana; half-width ones, too.
    """
    letters = ""
    doubled = False
    for char in unicodedata.normalize("NFKC", kana):
        name = unicodedata.name(char, "").split(" ")
        sound = name[-1].lower()
        if char == "ー":
            letters += letters[-1:]
        elif sound == "tu" and "SMALL" in name:
            doubled = True
        elif "SMALL" in name and letters[-1:] in ("i", "e", "u") and sound[0] in "yaeiou":
            stem = letters[:-1] or "w"
            letters = stem + (sound[1:] if sound[0] == "y" and stem.endswith(("sh", "ch", "j")) else sound)
        elif "LETTER" in name:
            said = next((new for old, new in _HEPBURN if sound == old), sound)
            if doubled:
                letters += "t" if said.startswith("ch") else said[0]
            letters += said
            doubled = False
    letters = re.sub("(.)\\1{2,}", "\\1\\1", letters)
    return _GREETINGS.get(letters, letters)
