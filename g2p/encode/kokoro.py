"""Pronunciation to the IPA symbols of Kokoro-82M v1.0.

Mandarin follows Kokoro's own front end: initial, medial and nucleus, tone mark on the nucleus, coda; words apart.
English is American, with its capital-letter diphthongs. Every symbol is one character of the model's 114-symbol
vocabulary.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from g2p import english
from g2p.ipa import kokoro_letters
from g2p.pronunciation import Pronunciation, Token

TONES = ("", "→", "↗", "↓", "↘", "")
INITIALS = {
    "b": "p", "p": "pʰ", "m": "m", "f": "f", "d": "t", "t": "tʰ", "n": "n", "l": "l", "g": "k", "k": "kʰ", "h": "x",
    "j": "ʨ", "q": "ʨʰ", "x": "ɕ", "zh": "ꭧ", "ch": "ꭧʰ", "sh": "ʂ", "r": "ɻ", "z": "ʦ", "c": "ʦʰ", "s": "s", "": "",
}  # fmt: skip
# The tone mark stands where the 0 is. Finals are in their full forms: iou, uei, uen, v for ü.
FINALS = {
    "a": "a0", "ai": "ai0", "an": "a0n", "ang": "a0ŋ", "ao": "au0", "e": "ɤ0", "ei": "ei0", "en": "ə0n", "eng": "ə0ŋ",
    "i": "i0", "ia": "ja0", "ian": "jɛ0n", "iang": "ja0ŋ", "iao": "jau0", "ie": "je0", "in": "i0n", "iou": "jou0",
    "ing": "i0ŋ", "iong": "jʊ0ŋ", "io": "jɔ0", "ong": "ʊ0ŋ", "ou": "ou0", "o": "wo0", "u": "u0", "uei": "wei0",
    "ua": "wa0",
    "uai": "wai0", "uan": "wa0n", "uen": "wə0n", "uang": "wa0ŋ", "ueng": "wə0ŋ", "uo": "wo0", "v": "y0", "ve": "ɥe0",
    "van": "ɥɛ0n", "vn": "y0n", "ii": "ɨ0", "iii": "ɨ0", "er": "ɚ0", "ê": "ɛ0", "m": "m0", "n": "n0", "ng": "ŋ0",
}  # fmt: skip
_INTERJECTION_O = "ɔ0"  # o without an initial
_PAUSES = {
    "，": ",", "、": ",", "。": ".", "！": "!", "？": "?", "；": ";", "：": ":", "…": "…", "—": "—", "\n": ".",
}  # fmt: skip

# espeak's IPA to Kokoro's English letters, longest first.
_ENGLISH = [
    ("ʔˌn̩", "tᵊn"), ("ʔn̩", "tᵊn"), ("ʔn", "tᵊn"), ("a^ɪ", "I"), ("a^ʊ", "W"), ("d^ʒ", "ʤ"), ("e^ɪ", "A"),
    ("t^ʃ", "ʧ"),
    ("ɔ^ɪ", "Y"), ("ɚɹ", "əɹ"), ("ə^l", "ᵊl"), ("o^ʊ", "O"), ("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ"), ("ɪə", "iə"), ("^", ""),
    ("ː", ""), ("ɚ", "əɹ"),
    ("r", "ɹ"), ("x", "k"), ("ç", "k"), ("ɐ", "ə"), ("ɬ", "l"), ("\u0303", ""), ("e", "A"), ("o", "ɔ"), ("ɾ", "T"),
    ("ʔ", "t"),
]  # fmt: skip
_STOPS = re.compile(r"(?<!s)([ptk])(?=[ˈˌ]?[^ptkbdɡsʃzʒ\s])")
_SYLLABIC = re.compile("(\\S)\u0329")


@dataclass(frozen=True, slots=True)
class Symbols:
    """What the model reads, and where each symbol belongs."""

    text: str
    """The symbols, one character each."""
    tokens: tuple[int, ...]
    """For each symbol the index of its token, as long as `text`, never falling. A space belongs to the token before."""


def encode(pronunciation: Pronunciation) -> Symbols:
    """Write a pronunciation in Kokoro's symbols.

    Args:
        pronunciation: What to say.
    """
    text: list[str] = []
    owners: list[int] = []

    def emit(symbols: str, owner: int) -> None:
        text.extend(symbols)
        owners.extend([owner] * len(symbols))

    tokens = pronunciation.tokens
    spoken = _english_phones(tokens)
    for i, token in enumerate(tokens):
        if text and text[-1] != " " and token.kind != "pause" and token.word != tokens[i - 1].word:
            emit(" ", owners[-1])
        if token.kind == "hanzi" and token.reading:
            emit(syllable(token.reading), i)
        elif token.kind == "english":
            emit(spoken[i], i)
        elif text and (mark := _PAUSES.get(token.text, ",")):
            while text and text[-1] == " ":
                text.pop()
                owners.pop()
            if not text or text[-1] not in ",.!?;:…—":
                emit(mark, i)
            emit(" ", i)
    while text and text[-1] == " ":
        text.pop()
        owners.pop()
    return Symbols("".join(text), tuple(owners))


def syllable(reading: str) -> str:
    """One Mandarin syllable: `zhong1` -> `ꭧʊ→ŋ`, `hua1r` -> `xwa→ɚ`."""
    from g2p.mandarin import split_syllable

    initial, final, tone, erhua = split_syllable(reading)
    pattern = _INTERJECTION_O if final == "o" and not initial else FINALS[final]
    return INITIALS[initial] + pattern.replace("0", TONES[tone]) + ("ɚ" if erhua else "")


def _english_phones(tokens: tuple[Token, ...]) -> dict[int, str]:
    """Kokoro's symbols for each English token, by index. Neighbouring words are read as a phrase."""
    spoken: dict[int, str] = {}
    phrase: list[int] = []
    for i in range(len(tokens) + 1):
        if i < len(tokens) and tokens[i].kind == "english":
            phrase.append(i)
        elif phrase:
            words = tuple(tokens[j].text for j in phrase)
            letters_of = _breathed if any(token.kind == "hanzi" for token in tokens) else _american
            spoken.update(zip(phrase, map(letters_of, english.phones(words)), strict=True))
            asked = {j: letters for j in phrase if (letters := kokoro_letters(tokens[j].reading))}
            spoken.update(asked)
            phrase = []
    return spoken


def _breathed(ipa: str) -> str:
    """English beside Mandarin, whose p, t and k are unaspirated: English ones need the breath written down."""
    return _STOPS.sub("\\1ʰ", _american(ipa).replace("T", "t"))


def _american(ipa: str) -> str:
    for old, new in _ENGLISH:
        ipa = ipa.replace(old, new)
    return _SYLLABIC.sub(r"ᵊ\1", ipa).replace("\u0329", "")
