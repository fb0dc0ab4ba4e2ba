"""Readings that the grammar of everyday speech decides, where the model, trained on an encyclopedia, is weak."""

from __future__ import annotations

import re

_RULES = [
    # the particle that ends a clause (走吧), not the bar (酒吧)
    ("吧", re.compile("(?<=[一-鿿])(?<![酒网贴吊书氧水茶])吧(?![一-鿿])"), "ba5"),
    # must: 我得走了, but 我得到了
    ("得", re.compile("(?<=[我你他她您们])得(?=[一-鿿])(?![到了出知分奖意罪以体失票名胜逞益病救过的])"), "dei3"),
    # how something is done: 说得对, 跑得很快
    (
        "得",
        re.compile(
            "(?<=[说跑走写做唱来看听过吃变画打跳笑哭睡学玩讲干长])得(?=[很好快慢不太真非多这那更最挺有]|对(?!方|手))"
        ),
        "de5",
    ),
    # the sun in the morning (朝阳升起), not the district
    ("朝", re.compile("朝(?=阳(?:从|升|初|东升|产业|似火|般|洒|照|红|下))"), "zhao1"),
    # sounds of hesitation, surprise and agreement that stand alone
    ("额", re.compile("(?<![一-鿿])额(?![一-鿿])"), "e4"),
    ("欸", re.compile("(?<![一-鿿])欸(?!乃)"), "ei2"),
    ("喔", re.compile("(?<![一-鿿])喔(?![一-鿿])"), "o1"),
    # to teach somebody
    ("教", re.compile("(?<![宗请执主求受佛指])教(?=[我你他她您]|大家|孩子)"), "jiao1"),
]


def decided(text: str) -> dict[int, str]:
    """Positions whose reading a rule decides, and the reading.

    Args:
        text: Simplified characters.
    """
    return {m.start(): reading for char, rule, reading in _RULES if char in text for m in rule.finditer(text)}
