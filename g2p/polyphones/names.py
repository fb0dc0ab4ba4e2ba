"""Surnames that are read differently from the word: 单老师 is *shan4*, 我姓曾 is *zeng1*."""

from __future__ import annotations

import re
from collections.abc import Collection

SURNAMES = {
    "单": "shan4", "曾": "zeng1", "解": "xie4", "区": "ou1", "仇": "qiu2", "查": "zha1", "任": "ren2", "华": "hua4",
    "朴": "piao2", "盖": "ge3", "乐": "yue4", "员": "yun4", "翟": "zhai2", "燕": "yan1", "宁": "ning4", "缪": "miao4",
    "葛": "ge3", "覃": "qin2", "秘": "bi4", "繁": "po2", "种": "chong2", "应": "ying1", "那": "na1", "哈": "ha3",
    "盛": "sheng4", "卜": "bu3", "召": "shao4", "折": "she2", "藏": "zang1", "重": "chong2", "晁": "chao2",
    "谌": "chen2",
    "冯": "feng2", "尉": "wei4", "车": "che1", "沈": "shen3", "臧": "zang1", "洗": "xian3", "佴": "nai4", "黑": "he4",
}  # fmt: skip
_TITLE = (
    "先生|女士|小姐|老师|教授|经理|总监|医生|大夫|主任|局长|处长|科长|校长|院长|队长|同学|同志|师傅|博士|律师|太太|"
    "夫人|阿姨|叔叔|警官|将军"
)
_NO_FAMILIAR = "黑车盖种折洗员召那应藏重区查繁"
"""老区, 小黑: these stand after 老 and 小 as words more often than as surnames."""
_NAME = re.compile(
    f"(?:(?<=姓)(?<!百姓)|(?<=[我他她您你]叫)|(?<=名叫)|(?<=[名字]是))(?P<asked>[{''.join(SURNAMES)}])|"
    rf"(?P<titled>[{''.join(SURNAMES)}])(?=(?:[^\W子的是和了在张个位些天种次年样里么边儿家段件本条只]{{0,2}}(?:{_TITLE})|氏|某|总(?![一-鿿])))|"
    f"(?:(?<=老)|(?<=小))(?P<familiar>[{''.join(sorted(SURNAMES.keys() - set(_NO_FAMILIAR)))}])(?![一-鿿])"
)


_SERVES = re.compile("[^的是和与跟叫请找问向给对把被让由位\\W]$")
"""What precedes 任 where it is a verb (由他任主任 has a name before it, 找任主任 has not)."""


def surnames(text: str, segments: list[int], certain: Collection[int] = ()) -> dict[int, str]:
    """Where a text has such a surname, and its reading.

    Args:
        text: Simplified characters.
        segments: Word index of each character; a surname begins a word.
        certain: Positions of which a word is sure: no surname (解放军叔叔).
    """
    found = {}
    for match in _NAME.finditer(text):
        i = match.end() - 1
        if i in certain or (text[i] in "任那" and match.lastgroup == "titled" and _SERVES.search(text[:i])):
            continue
        if match.lastgroup != "titled" or i == 0 or segments[i - 1] != segments[i]:
            found[i] = SURNAMES[text[i]]
    return found
