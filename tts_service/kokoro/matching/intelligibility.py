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
TONES = (
    *MANDARIN,
    "明天有雨，出门带伞。",
    "我们坐地铁去比较快。",
    "他的手表停在六点一刻。",
    "这家店的面包很好吃。",
    "周末一起去爬山怎么样？",
    "窗外的树叶都黄了。",
    "老师让我们早点回家。",
    "请问洗手间在哪里？",
    "雪下了一整夜，早上才停。",
    "他每天骑自行车上班。",
    "你把帽子放到什么地方去了？",
    "这种水果南方才有。",
    "工人们正在修马路。",
    "我想买两张去上海的票。",
    "妹妹最喜欢听奶奶讲故事。",
    "湖边有一座白色的小房子。",
    "别忘了带雨衣和手电筒。",
    "今年夏天特别热，几乎没下雨。",
    "他们结婚已经三十年了。",
    "医院旁边有一家药店。",
)
"""Whose tones have to be as clear as those of the voice that a match starts from."""


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
