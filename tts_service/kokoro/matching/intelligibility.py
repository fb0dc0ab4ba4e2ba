"""Is a voice understood? Sentences in both languages, and how many of their syllables and words Whisper mishears."""

from __future__ import annotations

import re
from collections.abc import Sequence

from g2p.frontend import analyze

SENTENCES = (
    "请把窗户关上，外面太吵了。",
    "The children are playing in the park.",
    "我们坐地铁去机场比较快。",
    "Please send me the report before Friday.",
    "这条路一直走，到红绿灯右转。",
    "She opened the window and looked outside.",
    "晚饭想吃面条还是米饭？",
    "It takes twenty minutes to get to the airport.",
    "会议改到下周一下午开始。",
    "My brother is learning to play the piano.",
    "图书馆晚上九点关门。",
    "There is a small garden behind the house.",
    "桌子上的花是昨天买的。",
    "Could you bring me a glass of water?",
    "医生说他需要休息两个星期。",
    "We missed the last bus and walked home.",
    "火车晚点了二十分钟。",
    "The new phone is lighter than the old one.",
    "价格比去年便宜了不少。",
    "You can leave your coat by the door.",
)
"""The languages take turns, so that the first few test both."""
MANDARIN = tuple(text for text in SENTENCES if not text.isascii())
"""By whose syllables those tell tones who speak Mandarin natively."""


def units(text: str) -> list[str]:
    """Syllables without tones where there are hanzi, words elsewhere; a number is as it is read."""
    tokens = analyze(text).tokens
    syllables = [part for one in tokens for part in re.findall("[^0-9]+", re.sub("r$", "er", one.reading))]
    return syllables or [one.text.lower() for one in tokens if one.kind == "english"]


def errors(heard: Sequence[str], said: Sequence[str]) -> int:
    """Edit distance."""
    row = list(range(len(said) + 1))
    for i, one in enumerate(heard, 1):
        above, row[0] = row[0], i
        for j, other in enumerate(said, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (one != other))
    return row[-1]
