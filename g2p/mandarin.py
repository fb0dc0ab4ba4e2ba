"""Mandarin syllables: their parts, and what neighbours do to their tones."""

from __future__ import annotations

import re

_INITIALS = re.compile(r"(zh|ch|sh|[bpmfdtnlgkhjqxrzcs])?(.*)")
_ZERO_INITIAL = {
    "yi": "i", "ya": "ia", "yo": "io", "ye": "ie", "yao": "iao", "you": "iou", "yan": "ian", "yin": "in", "yang": "iang",
    "ying": "ing", "yong": "iong", "wu": "u", "wa": "ua", "wo": "uo", "wai": "uai", "wei": "uei", "wan": "uan", "wen": "uen",
    "wang": "uang", "weng": "ueng", "yu": "v", "yue": "ve", "yuan": "van", "yun": "vn",
}  # fmt: skip
_FULL_FORMS = {"iu": "iou", "ui": "uei", "un": "uen", "ue": "ve"}
_SYLLABLE = re.compile(r"([a-zê]+)([1-5])(r?)")


def split_syllable(reading: str) -> tuple[str, str, int, bool]:
    """Initial, final in its full form (`iou`, `uei`, `uen`, `v`, `ii` after z/c/s, `iii` after zh/ch/sh/r), tone, erhua.

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
    elif letters in ("m", "n", "ng", "hm", "hng"):
        initial, final = (
            letters[:-2] if letters == "hng" else letters[:-1] if letters == "hm" else "",
            letters.lstrip("h"),
        )
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
    return initial, final, int(tone), bool(erhua)


def sandhi(chars: list[str], base: list[str], words: list[int]) -> list[str]:
    """Tones as spoken, for one stretch between pauses.

    Args:
        chars: The hanzi.
        base: Their dictionary readings.
        words: Word index of each.
    """
    spoken = list(base)
    count = len(chars)
    for i, char in enumerate(chars):
        following = base[i + 1][-1:] if i + 1 < count else ""
        if char == "不" and base[i] == "bu4" and following == "4":
            spoken[i] = "bu2"
        elif (
            char == "一"
            and base[i] == "yi1"
            and following not in ("", "5")
            and not (i and chars[i - 1] in "第零一二三四五六七八九十百千点")
        ):
            if chars[i + 1] not in "零一二三四五六七八九十点年月日":
                spoken[i] = "yi2" if following == "4" else "yi4"
    for i in range(count - 1):
        if spoken[i].endswith("3") and spoken[i + 1].endswith("3") and words[i] == words[i + 1]:
            spoken[i] = spoken[i][:-1] + "2"
    for i in range(count - 1):
        if spoken[i].endswith("3") and spoken[i + 1].endswith("3") and words[i] != words[i + 1]:
            spoken[i] = spoken[i][:-1] + "2"
    return spoken
