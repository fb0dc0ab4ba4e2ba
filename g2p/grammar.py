"""Readings that grammar decides: words that mean one thing as a verb and another as a preposition, particle or measure.

A model learns these badly, for it meets the words in one kind of text only; a few neighbours and their parts of speech
(jieba's letters: `v` verb, `a` adjective, `d` adverb, `n` noun, `r` pronoun, `m` numeral, `p` preposition, ...) tell
them apart in any. `RULES` says which character is decided by what.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from g2p import content_words, function_words
from g2p.clause import NOTHING, NUMERAL, Place, Token, clauses


def _always(reading: str) -> Callable[[Place], str | None]:
    """The reading of a character that is no part of a longer word."""
    return lambda _: reading


def _before(tags: str, reading: str) -> Callable[[Place], str | None]:
    """A reading before words of some kinds."""
    return lambda at: reading if at.next.tag and at.next.tag in tags else None


def _at_the_end(reading: str) -> Callable[[Place], str | None]:
    """The reading of a particle that ends a clause."""
    return lambda at: reading if at.before and at.next is NOTHING else None


def _if_next(pattern: str, reading: str, unless_after: str = "$^") -> Callable[[Place], str | None]:
    """A reading before some characters, unless others precede."""
    return lambda at: reading if re.match(pattern, at.right) and not re.search(unless_after, at.left) else None


def _unless_next(pattern: str, reading: str) -> Callable[[Place], str | None]:
    """A reading except before some characters."""
    return lambda at: None if re.match(pattern, at.right) else reading


def _if_after(pattern: str, reading: str) -> Callable[[Place], str | None]:
    """A reading after some characters."""
    return lambda at: reading if re.search(pattern, at.left) else None


RULES: dict[str, Callable[[Place], str | None]] = {
    "为": function_words.wei,
    "地": function_words.di,
    "得": function_words.de,
    "着": function_words.zhe,
    "了": function_words.le,
    "还": function_words.hai,
    "只": function_words.zhi,
    "都": function_words.dou,
    "当": function_words.dang,
    "应": function_words.ying,
    "行": content_words.hang,
    "中": content_words.zhong,
    "种": content_words.zhong_plant,
    "长": content_words.zhang,
    "空": content_words.kong,
    "倒": content_words.dao,
    "数": content_words.shu,
    "差": content_words.cha,
    "转": content_words.zhuan,
    "调": content_words.tiao,
    "干": content_words.gan,
    "教": content_words.jiao,
    "个": _if_after("[是有了来几那这哪]$", "ge5"),
    "燕": content_words.yan,
    "哦": _at_the_end("o5"),
    "啦": _at_the_end("la5"),
    "喽": _at_the_end("lou5"),
    "哇": _at_the_end("wa5"),
    "咯": _at_the_end("lo5"),
    "喔": _at_the_end("o5"),
    "胖": _always("pang4"),
    "重": content_words.zhong_heavy,
    "觉": _if_after("一$", "jiao4"),
    "盛": _if_next("[米]?饭|汤|菜|水|满|出来|着", "cheng2"),
    "和": _if_next("了[，。！]?$", "hu2"),
    "弄": _if_next("[不了干得出清到好成丢坏错脏懂来完死明个]", "nong4"),
    "粘": _if_next("[在着住上贴满了]|苍蝇", "zhan1"),
    "炸": _if_next("[鸡鱼酱薯虾肉串糕油丸糖酥]|至金黄|[好熟]", "zha2"),
    "相": _before("v", "xiang1"),
    "儿": content_words.curl,
    "哩": _at_the_end("li5"),
    "耶": _at_the_end("ye5"),
    "乐": _unless_next("[评曲团手器府坛理声章]", "le4"),
    "舍": _if_next("[不己身命生了得才的弃去近]|$", "she3"),
    "劲": _unless_next("[旅敌歌舞松草风健射爆]", "jin4"),
    "崴": _if_next("[了到伤脚着]", "wai3"),
    "脏": _always("zang1"),
    "冲": _if_next("[着你我他她]", "chong4"),
    "乾": _unless_next("[坤隆陵卦县元清嘉]", "gan1"),
    "著": function_words.zhe,
    "角": _unless_next("[色逐斗力]", "jiao3"),
    "钻": _if_next("[进出入到过来去了着研空]|$", "zuan1"),
    "扒": _if_next("[开着在下拉掉光出]", "ba1"),
    "哄": _if_next("[你我他她着得好睡骗孩]|$", "hong3"),
    "扇": _if_next("[你我他她了]|耳光|巴掌|风", "shan1"),
    "熟": _always("shu2"),
    "量": _if_next("[了一体血身尺]|距离|体温|血压", "liang2"),
    "撇": _if_next("[开下清]", "pie1"),
    "供": _unless_next("[桌品奉果佛]", "gong1"),
    "卷": _if_next("[起走入进成了着袖]", "juan3"),
    "散": _if_next("[了去开会场发伙]", "san4"),
    "吐": _if_next("[了血奶]", "tu4"),
    "号": _unless_next("[啕哭叫丧]", "hao4"),
    "没": _always("mei2"),
    "将": _before("vdpnr", "jiang1"),
    "更": _before("avdi", "geng4"),
    "曾": _before("vdp", "ceng2"),
    "少": _before("vdnra", "shao3"),
    "抡": _if_next("起|着|棒|锤|拳|刀|圆|动", "lun1"),
    "蹚": _always("tang1"),
    "刨": _always("pao2"),
    "咋": _before("vadr", "za3"),
    "挑": _always("tiao1"),
    "处": _if_after(f"[{NUMERAL}各此何某]$", "chu4"),
    "塞": _if_next("[进入到满给着了住在上得]", "sai1"),
    "卡": _if_next("[在住]", "qia3"),
    "藏": _if_next("[在着了进起到匿身好]", "cang2"),
    "薄": _if_after("[很太越更较最不厚]$", "bao2"),
    "扎": _if_next("头发|辫|马尾", "za1"),
    "背": _if_next("着|起|负|了|得动|不动", "bei1"),
    "石": _if_next("[米粮谷粟]", "dan4", "[^一二三四五六七八九十百千万两几]$"),
}
"""By character; each applies where the character is a word of the cut or stands in one that was only counted (六只)."""

_WORDS: dict[str, tuple[int, Callable[[Place], str | None]]] = {
    "穿着": (1, content_words.chuanzhuo),
    "实在": (1, content_words.shizai),
}
"""Words of which one character, at the given place, is read by what the whole word is."""

_LOOSE = frozenset("mrxzd")
"""Parts of speech under which jieba lists pairs that are no words: 六只, 一行, 我行, 长得."""

_ANYWHERE = [
    # the particle that ends a clause (走吧), not the bar (酒吧)
    ("吧", re.compile("(?<=[一-鿿])(?<![酒网贴吊书氧水茶])吧(?![一-鿿])"), "ba5"),
    # the sun in the morning (朝阳升起), not the district
    ("朝", re.compile("朝(?=阳(?:从|升|初|东升|产业|似火|般|洒|照|红|下))"), "zhao1"),
    # sounds of hesitation, surprise and agreement that stand alone
    ("额", re.compile("(?<![一-鿿])额(?![一-鿿])"), "e4"),
    ("欸", re.compile("(?<![一-鿿])欸(?!乃)"), "ei2"),
    ("喔", re.compile("(?<![一-鿿])喔(?![一-鿿])"), "o1"),
    # the tail of 睡觉 after a complement
    ("觉", re.compile("(?<=睡[得不]着)觉|(?<=睡[不好个了一大])觉|(?<=睡[了个]好)觉"), "jiao4"),
]


def decided(text: str, segments: list[int], tags: list[str]) -> dict[int, str]:
    """Positions whose reading a rule decides, and the reading.

    Args:
        text: Simplified characters.
        segments: Word index of each.
        tags: Part of speech of the word of each.
    """
    found = {m.start(): reading for char, rule, reading in _ANYWHERE if char in text for m in rule.finditer(text)}
    for tokens in clauses(text, segments, tags):
        begin, end = tokens[0].start, tokens[-1].start + len(tokens[-1].text)
        for k, token in enumerate(tokens):
            if token.text in _WORDS:
                offset, judge = _WORDS[token.text]
                left, right = text[begin : token.start], text[token.start + len(token.text) : end]
                if reading := judge(Place(tokens[:k], tokens[k + 1 :], left, right)):
                    found.setdefault(token.start + offset, reading)
            elif len(token.text) == 1 or (len(token.text) < 4 and (token.tag in _LOOSE or token.text[0] in NUMERAL)):
                for i, char in enumerate(token.text, token.start):
                    if (rule := RULES.get(char)) and (
                        reading := rule(_inside(tokens, k, i, text[begin:i], text[i + 1 : end]))
                    ):
                        found.setdefault(i, reading)
    return found


def _inside(tokens: list[Token], k: int, i: int, left: str, right: str) -> Place:
    """The place of the character at i in the word k."""
    word, offset = tokens[k], i - tokens[k].start
    before = [Token(word.text[:offset], word.tag, word.start)] if offset else []
    after = [Token(word.text[offset + 1 :], "x", i + 1)] if offset + 1 < len(word.text) else []
    return Place([*tokens[:k], *before], [*after, *tokens[k + 1 :]], left, right)
