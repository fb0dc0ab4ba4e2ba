"""What neighbours do to tones: 一 and 不, third-tone chains, erhua.

Rules after Chao, A Grammar of Spoken Chinese (1968), and Duanmu, The Phonology of Standard Chinese (2007): third tones
change inside the word first, then between words from the right, so that 我很好 is *wo3 hen2 hao3*.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

_NUMERALS = frozenset("零〇一二三四五六七八九十百千万亿两点幺第")
_MAGNITUDES = frozenset("百千万亿")
_NAMED = frozenset("月日号楼")
_PREFIXES = frozenset("小老好很")
# Words that end in 一 and keep its first tone before whatever follows.
_WHOLE_ONE = frozenset("统唯专周初期单同逐划惟归合之其万不")
# Where 一 is the first of a row: 一年级, 一等奖.
_ORDINAL = re.compile(
    "一(?:年级|季度|等[奖品功兵舱座]|审|汽|把手|车间|食堂|单元|中学|班[的学同长]|战(?!成名|而|到底)|化$)"
)
# 不 after these is no part of a verb, before these no part of a complement.
_BEFORE_NOT = frozenset("毫并绝决从再也都还就才又更最太很要可若如莫无岂永甚何倘且尚均皆而则我你他她它们谁这那的了得是")
_REACHED = frozenset("开懂到见完了起来去上下出进住动清着过好成及得定掉全够惯通透明饱死")
# 儿 is a syllable of its own in these; elsewhere at the end of a word it only curls the syllable before.
_CHILD_WORDS = frozenset(
    (
        "女儿 婴儿 幼儿 少儿 孤儿 健儿 胎儿 男儿 宠儿 弃儿 患儿 混血儿 新生儿 早产儿 低能儿 婴幼儿 小儿 孙儿 侄儿 妻儿 "
        "育儿 托儿 产儿 弄潮儿 幸运儿 畸形儿 双胞胎儿 雏儿 球儿 生儿 而儿 乖儿 爱儿 痴儿 吾儿 我儿 犬儿 胡儿 木兰儿 "
        "乞儿 歌儿 宁馨儿 好男儿 连体儿 私生儿 试管婴儿 儿"
    ).split()
)
_KIN = frozenset("姐奶姥嫂婶宝")
# Dictionaries print the second syllable with its tone; speech does not.
_LIGHT_SECOND = frozenset("认识 衣服 弟弟 好处 枇杷".split())
# The first is a third tone in its own right and yet rises before a neutral syllable that was one.
_RISING_BEFORE_NEUTRAL = frozenset(("小姐 哪里 等等 手里 把手 打手 打扫 晌午").split())


def sandhi(
    chars: str,
    base: Sequence[str],
    words: Sequence[int],
    is_word: Callable[[str], bool],
    figures: Sequence[bool] | None = None,
) -> list[str]:
    """Tones as spoken, for one stretch between pauses.

    Args:
        chars: The hanzi, [n].
        base: Their dictionary readings, tone number last, [n]; empty where unknown.
        words: Word index of each, [n].
        is_word: Whether two characters are a word; it tells 展览+馆 from 小+老虎.
        figures: Whether each was written in figures, [n]: 1.1点 is no 一点一点; None: none was.
    """
    spoken = list(base)
    for i, char in enumerate(chars):
        if char == "一" and base[i] == "yi1":
            spoken[i] = "yi" + _tone_of_one(chars, base, words, i, figures is not None and figures[i])
        elif char == "不" and base[i] == "bu4":
            if 0 < i < len(chars) - 1 and (chars[i - 1] == chars[i + 1] or _is_potential(chars, words, i)):
                spoken[i] = "bu5"
            elif i + 1 < len(chars) and base[i + 1].endswith("4"):
                spoken[i] = "bu2"
    starts = [i for i in range(len(words)) if i == 0 or words[i] != words[i - 1]]
    groups = [range(start, end) for start, end in pairwise([*starts, len(words)])]
    for group in groups:
        if len(group) > 1:
            _inside_word(chars, spoken, group, is_word)
    for group, after in zip(reversed(groups[:-1]), reversed(groups[1:]), strict=True):
        if _third(spoken[group[-1]]) and _third(spoken[after[0]]):
            spoken[group[-1]] = _raised(spoken[group[-1]])
    return spoken


def _is_potential(chars: str, words: Sequence[int], i: int) -> bool:
    """Whether this 不 stands between a verb and what it cannot reach: 打不开, 来不及."""
    if chars[i - 1] in _BEFORE_NOT or chars[i + 1] not in _REACHED:
        return False
    end = i + 2
    return words[i - 1] == words[i] == words[i + 1] or (
        (i < 2 or words[i - 2] != words[i - 1]) and (end == len(chars) or words[end] != words[i + 1])
    )


def _tone_of_one(chars: str, base: Sequence[str], words: Sequence[int], i: int, figure: bool) -> str:
    if i + 1 == len(chars):
        return "1"
    before, after = chars[i - 1 : i], chars[i + 1]
    if _ORDINAL.match(chars, i) or (before and before in "高初大研" and after not in "点些截头倍个层下会把样家"):
        return "1"
    size = next((n for n in (2, 3) if chars[i : i + n] in (chars[i - n : i], chars[i + n : i + 2 * n])), 0)
    if size and not figure:  # 一步一步
        return _before_tone(base, i, after)
    if before in _NUMERALS and not (after in _MAGNITUDES and before not in ("第", "点", "零")):
        return "1"
    if after in _NUMERALS - _MAGNITUDES and not (after == "点" and chars[i + 2 : i + 3] not in _NUMERALS):
        return "1"
    if after in _NAMED or (before and before in _WHOLE_ONE and words[i - 1] == words[i] != words[i + 1]):
        return "1"
    if after + chars[i + 2 : i + 3] == before + "二":  # 数一数二
        return "1"
    if before and before == after and words[i - 1 : i + 2].count(words[i]) != 1:
        return "5"
    if before and before == after and after not in _NUMERALS:
        return "5"
    return _before_tone(base, i, after)


def _before_tone(base: Sequence[str], i: int, after: str) -> str:
    tone = base[i + 1].rstrip("r")[-1:]
    return "2" if tone == "4" or after == "个" else "4" if tone in "123" and tone else "1" if not tone else "2"


def _inside_word(chars: str, spoken: list[str], group: range, is_word: Callable[[str], bool]) -> None:
    text = chars[group.start : group.stop]
    if text in _LIGHT_SECOND:
        spoken[group[1]] = spoken[group[1]][:-1] + "5"
    if (text in _RISING_BEFORE_NEUTRAL or _is_tried(text, spoken, group)) and _third(spoken[group[0]]):
        spoken[group[0]] = _raised(spoken[group[0]])
    if len(group) == 3 and all(_third(spoken[i]) for i in group):
        # 2 + 1 (展览馆): both change. 1 + 2 (小老虎): only the middle one.
        pairs = [1] if is_word(text[1:]) and (text[0] in _PREFIXES or not is_word(text[:2])) else [0, 1]
        for k in pairs:
            spoken[group[k]] = _raised(spoken[group[k]])
        return
    if len(group) == 4:
        _inside_word(chars, spoken, group[2:], is_word)
        _inside_word(chars, spoken, group[:2], is_word)
    for left in reversed(group[:-1]):
        if _third(spoken[left]) and _third(spoken[left + 1]):
            spoken[left] = _raised(spoken[left])


def _is_tried(text: str, spoken: list[str], group: range) -> bool:
    """Whether it begins with a verb said twice (想想, 洗洗手): the first rises; kin do not (姐姐)."""
    return len(text) > 1 and text[0] == text[1] and text[0] not in _KIN and spoken[group[1]].endswith("5")


def is_erhua(word: str) -> bool:
    """Whether the last 儿 of a word curls the syllable before it (花儿) instead of being one (女儿)."""
    return (
        len(word) > 1
        and word.endswith("儿")
        and word not in _CHILD_WORDS
        and word[-3:] not in _CHILD_WORDS
        and word[-2:] not in _CHILD_WORDS
    )


def _third(reading: str) -> bool:
    return "3" in reading


def _raised(reading: str) -> str:
    return reading.replace("3", "2")
