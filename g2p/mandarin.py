"""Mandarin syllables: their parts, their notations, and what neighbours do to their tones."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

HANZI = "〇\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""The characters that are hanzi, as ranges for the inside of a pattern's brackets. Written as numbers, for editors
normalise the characters at their ends into others."""
_INITIALS = re.compile("(zh|ch|sh|[bpmfdtnlgkhjqxrzcs])?(.*)")
_ZERO_INITIAL = {
    "yi": "i", "ya": "ia", "yo": "io", "ye": "ie", "yao": "iao", "you": "iou", "yan": "ian", "yin": "in",
    "yang": "iang",
    "ying": "ing", "yong": "iong", "wu": "u", "wa": "ua", "wo": "uo", "wai": "uai", "wei": "uei", "wan": "uan",
    "wen": "uen", "wang": "uang", "weng": "ueng", "yu": "v", "yue": "ve", "yuan": "van", "yun": "vn",
}  # fmt: skip
_WRITTEN_ZERO_INITIAL = {final: letters for letters, final in _ZERO_INITIAL.items()}
_FULL_FORMS = {"iu": "iou", "ui": "uei", "un": "uen", "ue": "ve"}
_SHORT_FORMS = {"iou": "iu", "uei": "ui", "uen": "un", "ii": "i", "iii": "i"}
FINALS = frozenset(
    (
        "a ai an ang ao e ei en eng er i ia ian iang iao ie in iou ing iong io ong ou o u uei ua uai uan uen uang ueng "
        "uo v ve van vn ii iii ê m n ng"
    ).split()
)
"""Finals in their full forms."""
_SYLLABLE = re.compile("([a-zê]+)([1-5])(r?)")
_GLM_TOKEN = re.compile(r"<\|([A-Z]+)([1-5])?\|>|(.)", re.DOTALL)
_TONE_MARKS = {"\u0304": 1, "\u0301": 2, "\u030c": 3, "\u0306": 3, "\u0300": 4}


@lru_cache(maxsize=4096)
def split_syllable(reading: str) -> tuple[str, str, int, bool]:
    """Initial, final in full (`iou`, `uei`, `uen`, `v`, `ii` after z/c/s, `iii` after zh/ch/sh/r), tone, erhua.

    Args:
        reading: A syllable with tone number, such as `zhuang4`, `nv3` or `hua1r`.

    Raises:
        ValueError: It is not one.
    """
    match = _SYLLABLE.fullmatch(reading)
    if not match:
        raise ValueError(f"{reading!r} is not a pinyin syllable; write it like 'zhong1', 'nv3' or 'hua1r'")
    letters, tone, erhua = match.groups()
    if letters in _ZERO_INITIAL:
        initial, final = "", _ZERO_INITIAL[letters]
    elif letters in ("m", "n", "ng"):
        initial, final = "", letters
    elif letters in ("hm", "hng"):
        initial, final = "h", letters[1:]
    else:
        initial, final = _INITIALS.fullmatch(letters).groups("")  # type: ignore[union-attr]
        if final == "i" and initial in ("z", "c", "s"):
            final = "ii"
        elif final == "i" and initial in ("zh", "ch", "sh", "r"):
            final = "iii"
        elif initial in ("j", "q", "x") and final.startswith("u"):
            final = "v" + final[1:]
        else:
            final = _FULL_FORMS.get(final, final)
    if final not in FINALS:
        raise ValueError(f"{reading!r} is not a pinyin syllable: no final {final!r}")
    return initial, final, int(tone), bool(erhua)


def join_syllable(initial: str, final: str, tone: int, erhua: bool = False) -> str:
    """The inverse of `split_syllable`."""
    if not initial:
        letters = _WRITTEN_ZERO_INITIAL.get(final, final)
    elif initial in ("j", "q", "x") and final.startswith("v"):
        letters = initial + "u" + final[1:]
    else:
        letters = initial + _SHORT_FORMS.get(final, final)
    return f"{letters}{tone}{'r' if erhua else ''}"


@lru_cache(maxsize=4096)
def numbered(syllable: str) -> str | None:
    """`chóng`, `CHONG2`, `nǚ`, `lv4` or `huār` as `chong2`, ...; None: no syllable. Without a tone it is neutral."""
    tone, letters = 0, ""
    for char in unicodedata.normalize("NFD", syllable.strip().lower().replace("u:", "v")):
        if char in _TONE_MARKS:
            tone = tone or _TONE_MARKS[char]
        elif char == "\u0308" and letters.endswith("u"):
            letters = letters[:-1] + "v"
        elif char == "\u0302" and letters.endswith("e"):
            letters = letters[:-1] + "ê"
        else:
            letters += char
    match = re.fullmatch("([a-zê]+?)([0-5]?)(r?)", letters)
    if not match or (match[2] and tone):
        return None
    for body, erhua in ((match[1] + match[3] * (not match[2]), match[3] * bool(match[2])), (match[1], match[3])):
        reading = f"{body}{tone or int(match[2] or 5) or 5}{erhua}"
        try:
            initial, final, number, curled = split_syllable(reading)
        except ValueError:
            continue
        if f"{initial}{final}" in _SYLLABARY and join_syllable(initial, final, number, curled) == reading:
            return reading
    return None


def glm_syllables(text: str) -> list[str | None]:
    """GLM-TTS's hybrid text as syllables: `<|X|><|IAN2|>` is `xian2`; a plain character is None (read as usual)."""
    syllables: list[str | None] = []
    initial = ""
    for match in _GLM_TOKEN.finditer(text):
        name, tone, char = match.groups()
        if char is not None:
            syllables.append(None)
        elif tone is None:
            initial = name.lower()
        else:
            syllables.append(join_syllable(initial, name.lower(), int(tone)))
            initial = ""
    return syllables


_SYLLABARY = frozenset(
    f"{initial}{final}"
    for finals, initials in {
        "a": " b p m f d t n l g k h zh ch sh z c s", "ai": " b p m d t n l g k h zh ch sh z c s",
        "an": " b p m f d t n l g k h zh ch sh r z c s", "ang": " b p m f d t n l g k h zh ch sh r z c s",
        "ao": " b p m d t n l g k h zh ch sh r z c s", "e": " m d t n l g k h zh ch sh r z c s",
        "ei": " b p m f d t n l g k h zh sh z c", "en": " b p m f d n l g k h zh ch sh r z c s",
        "eng": " b p m f d t n l g k h zh ch sh r z c s", "er": " ", "ê": " ", "m": " h", "n": " ", "ng": " h",
        "i": " b p m d t n l j q x", "ia": " b d l n j q x", "ian": " b p m d t n l j q x", "iang": " b n l j q x d",
        "iao": " b p m f d t n l j q x", "ie": " b p m d t n l j q x", "in": " b p m d n l j q x",
        "iou": " m d n l j q x",
        "ing": " b p m d t n l j q x", "iong": " j q x", "io": " ", "ong": "b d t n l g k h zh ch sh r z c s",
        "ou": " p m f d t n l g k h zh ch sh r z c s", "o": " b p m f l",
        "u": " b p m f d t n l g k h zh ch sh r z c s",
        "uei": " d t g k h zh ch sh r z c s", "ua": " g k h zh ch sh r", "uai": " g k h zh ch sh",
        "uan": " d t n l g k h zh ch sh r z c s", "uen": " d t n l g k h zh ch sh r z c s",
        "uang": " g k h zh ch sh", "ueng": " ", "uo": " d t n l g k h zh ch sh r z c s", "v": " n l j q x",
        "ve": " n l j q x", "van": " j q x l", "vn": " j q x l", "ii": "z c s", "iii": "zh ch sh r",
    }.items()
    for final in [finals]
    for initial in initials.split(" ")
)  # fmt: skip
