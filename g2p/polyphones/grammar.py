"""Readings that grammar decides: words that mean one thing as a verb and another as a preposition, particle or measure.

A model learns these badly, for it meets the words in one kind of text only; a few neighbours and their parts of speech
(jieba's letters: `v` verb, `a` adjective, `d` adverb, `n` noun, `r` pronoun, `m` numeral, `p` preposition, ...) tell
them apart in any. `RULES` says which character is decided by what.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from g2p.polyphones import content_words, function_words
from g2p.polyphones.clause import NUMERAL, Place, Token, clauses

_NEVER = "(?!)"
"""Matches nothing, not even the empty text before the first word of a clause."""


def _always(reading: str) -> Callable[[Place], str | None]:
    """The reading of a character that is no part of a longer word."""
    return lambda _: reading


def _before(tags: str, reading: str, unless_after: str = _NEVER) -> Callable[[Place], str | None]:
    """A reading before words of some kinds, unless others precede."""
    return lambda at: reading if at.next.tag and at.next.tag in tags and not re.search(unless_after, at.left) else None


def _at_the_end(reading: str, unless_after: str = _NEVER) -> Callable[[Place], str | None]:
    """The reading of a particle that ends a clause, unless others precede."""
    end = '[”’"』」]?$'
    return lambda at: (
        reading
        if re.search("[一-鿿]$", at.left) and re.match(end, at.right) and not re.search(unless_after, at.left)
        else None
    )


def _if_next(pattern: str, reading: str, unless_after: str = _NEVER) -> Callable[[Place], str | None]:
    """A reading before some characters, unless others precede."""
    return lambda at: reading if re.match(pattern, at.right) and not re.search(unless_after, at.left) else None


def _unless_next(pattern: str, reading: str, unless_after: str = _NEVER) -> Callable[[Place], str | None]:
    """A reading except before some characters, and after others."""
    return lambda at: None if re.match(pattern, at.right) or re.search(unless_after, at.left) else reading


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
    "间": _if_after(f"[这那哪每{NUMERAL}]$", "jian1"),
    "看": _unless_next("[孩娃门家摊店仓瓜守护着押]|小孩", "kan4"),
    "与": _unless_next("[会闻]", "yu3"),
    "咧": _at_the_end("lie5"),
    "嘎": _always("ga1"),
    "嗒": _unless_next("然", "da1"),
    "答": _always("da2"),
    "倔": _always("jue4"),
    "磨": content_words.mo,
    "划": _if_next("伤|破|花|了?一道|了?一下|手|开|船|桨|行|过|痕|水|拳|算|得来|不来|火柴|小船", "hua2"),
    "尽": content_words.jin,
    "蒙": content_words.meng,
    "结": _if_next("[满了着]?[一二三四五六七八九十几许多累大小红]*[个颗粒]?[的]?[果籽瓜]|满", "jie1", "[团勾终完总]$"),
    "假": content_words.jia,
    "个": _if_after("[是有了来当找做弄搞出得]$", "ge5"),
    "燕": content_words.yan,
    "哦": _at_the_end("o5"),
    "啦": _at_the_end("la5", "[哆替]$"),
    "喽": _at_the_end("lou5"),
    "哇": _at_the_end("wa5"),
    "咯": _at_the_end("lo5"),
    "喔": _at_the_end("o5"),
    "胖": _always("pang4"),
    "重": content_words.zhong_heavy,
    "涨": _if_next("得?[通发]?红|得[通发]", "zhang4"),
    "闷": content_words.men,
    "折": _if_next("了|断|$", "she2", "(?<![枝腿臂骨杆腰根摔撞砸压])$"),
    "露": _if_next("了?一手|了?[馅怯富底]|了?马脚|了?脸", "lou4"),
    "喝": _if_next("一声|[彩令止斥问]|道", "he4", "(?<![大断怒暴厉])(?<=[一-鿿])$"),
    "落": _if_next("(?:下|了|下了)[一两几半][本把个件张份]|在(?:家|车|店|学校|公司|宿舍|酒店)", "la4"),
    "剥": _if_next("[了开]?[橘桔虾蛋花核瓜豆蒜栗香柚石糖皮]", "bao1"),
    "缝": content_words.feng,
    "奔": _if_next("着.{1,6}[去来走]|小康|[四五六七八九]十[岁的了]", "ben4"),
    "撒": _if_next("[点些上了把]*[一点些把]?[盐粉糖葱芝胡面土种灰花料]", "sa3"),
    "咽": _if_next("[口下了不唾食得]", "yan4"),
    "觉": _if_after("一$", "jiao4"),
    "盛": _if_next("[米]?饭|汤|菜|水(?!期)|满|出来|着|了?[一两半几][大小满]?[碗盘盆勺杯]", "cheng2"),
    "和": _if_next("了$|了一?[把局次]", "hu2"),
    "弄": content_words.nong,
    "粘": _if_next("[在住上贴满了回好牢紧]|一下|起来|着(?!性|力)|苍蝇", "zhan1"),
    "炸": _if_next("制|熟|[至约]|\\d|[一二三四五六七八九十两几]+分钟|[鸡鱼酱薯虾肉串糕油丸糖酥]|至金黄|[好熟]", "zha2"),
    "相": _before("v", "xiang1"),
    "儿": content_words.curl,
    "子": content_words.zi,
    "呗": _at_the_end("bei5", "[梵赞唱]$"),
    "糊": _unless_next("弄", "hu2", "[面米玉粉芝麻浆]$"),
    "哩": _at_the_end("li5", "[英海浬咖哔哩]$"),
    "耶": _at_the_end("ye5", "[比尔维拉里蒂塔莱德路伊科萨]$"),
    "乐": _unless_next("[评曲团手器府坛理声章]", "le4"),
    "舍": _if_next("[不己身命生了得才的弃去近]|$", "she3"),
    "几": _unless_next("[乎欲近率案净何维丁]", "ji3"),
    "镐": _if_after("[铁斧洋锄冰电风尖嘴]$", "gao3"),
    "仇": _always("chou2"),
    "朴": _if_after("[实太古质简纯敦抱淳浑诚俭拙]$", "pu3"),
    "椎": _unless_next("心|髓|牛|鲁", "zhui1"),
    "肖": _unless_next("[像似]", "xiao1", "[不酷毕惟惟神生]$"),
    "劲": _unless_next("[旅敌歌舞松草风健射爆骑椎弩吹直升拔]", "jin4", "[加刚风遒苍雄]$"),
    "崴": _if_next("[了到伤脚着]", "wai3"),
    "脏": _always("zang1"),
    "冲": content_words.chong,
    "乾": _unless_next("[坤隆陵卦县元清嘉]", "gan1"),
    "著": function_words.zhe,
    "角": _unless_next("[色逐斗力]", "jiao3"),
    "钻": _if_next("[进出入到过来去了着研空]|$", "zuan1"),
    "扒": _if_next("[开着在下拉掉光出]", "ba1"),
    "哄": _if_next("[你我他她着得好睡骗孩]|$", "hong3", "[起乱闹一哄]$"),
    "扇": _if_next("[你我他她了]|耳光|巴掌|风", "shan1", "[一两几这那折电蒲羽毛积]$"),
    "熟": _always("shu2"),
    "量": _if_next("[了一体血身尺]|距离|体温|血压", "liang2"),
    "撇": _if_next("[开下清]", "pie1"),
    "供": _unless_next("[桌品奉果佛]", "gong1"),
    "卷": _if_next("[起走入进成了着袖]", "juan3", f"[{NUMERAL}第上下画试考案]$"),
    "散": content_words.san,
    "吐": content_words.tu,
    "丽": _always("li4"),
    "攒": _if_next("[下钱够了着点起到劲]", "zan3"),
    "号": _unless_next("[啕哭叫丧]", "hao4"),
    "没": _always("mei2"),
    "将": _before("vdpnr", "jiang1", "[众偏天神名上中少虎猛健强]$"),
    "更": content_words.geng,
    "曾": _before("vdprac", "ceng2"),
    "抡": _if_next("[起着棒锤拳刀圆动完得了铁大开]", "lun1"),
    "蹚": _always("tang1"),
    "刨": _always("pao2"),
    "咋": _unless_next("[舌呼]", "za3"),
    "挑": _unless_next("[起战拨逗衅灯梁头]", "tiao1"),
    "处": content_words.chu,
    "塞": _if_next("[进入到满给着了住在上得严紧车]|不[进下住]", "sai1"),
    "卡": _if_next("[在住]", "qia3"),
    "藏": _if_next("[在着了进起到匿身好]", "cang2"),
    "薄": _if_after("[很太越更最较不厚又轻挺、点些偏]$", "bao2"),
    "咔": _always("ka1"),
    "粥": _always("zhou1"),
    "吭": _unless_next("颈", "keng1"),
    "呢": _unless_next("[料子绒]|大衣|外套", "ne5"),
    "哟": _at_the_end("yo5"),
    "给": _unless_next("[予与养]", "gei3"),
    "率": content_words.lv,
    "降": _unless_next("[伏服龙虎妖魔将卒书表汉曹金敌]", "jiang4", "[投诱招归受请劝不迎出乞纳来]$"),
    "好": content_words.hao,
    "少": content_words.shao,
    "难": content_words.nan,
    "累": _unless_next("[计积及累代世犯迁转升官进举任至年月岁]", "lei4"),
    "晕": _if_after("^$|[很好真头有我他她都直发四]$", "yun1"),
    "壳": _always("ke2"),
    "汗": _if_after("[出流满身冷热的把淌冒擦]$|^(?:真是?|好)?大?$", "han4"),
    "铺": _if_next("[散满开了着上在设通成垫好平路床地]", "pu1"),
    "血": _if_next("[的了流和也都就]|$", "xie3", "[热心气贵混鲜冷]$"),
    "弹": _if_next(
        "[出起上下来回奏唱一两几]|不[出起上动]|钢琴|吉他|古筝|琵琶|琴|了|得", "tan2", "[子炮炸导飞中投氢核原]$"
    ),
    "扎": _if_next("头发|辫|马尾", "za1"),
    "背": content_words.bei,
    "石": _if_next("[米粮谷粟]", "dan4", "[^一二三四五六七八九十百千万两几]$"),
}
"""By character; each applies where the character is a word of the cut or stands in one that was only counted (六只)."""

_WORDS: dict[str, tuple[int, Callable[[Place], str | None]]] = {
    "穿着": (1, content_words.chuanzhuo),
    "长得": (0, content_words.zhangde),
    "多重": (1, content_words.duozhong),
    "实在": (1, content_words.shizai),
    "自在": (1, content_words.zizai),
    "兄弟": (1, content_words.xiongdi),
    "将就": (1, content_words.jiangjiu),
    "难为": (1, content_words.nanwei),
}
"""Words of which one character, at the given place, is read by what the whole word is."""

_LOOSE = frozenset("mrxzd")
"""Parts of speech under which jieba lists pairs that are no words: 六只, 一行, 我行, 长得."""

_ANYWHERE = [
    # the particle that ends a clause (走吧), not the bar (酒吧)
    ("吧", re.compile("(?<=[一-鿿])(?<![酒网贴吊书氧水茶])吧(?![一-鿿])"), "ba5"),
    # the sun in the morning (朝阳升起), not the district
    ("朝", re.compile("朝(?=阳(?:从|升|初|东升|产业|似火|般|洒|照|红|下))"), "zhao1"),
    # a measure without weight; in full where each is meant (一个个, 各个)
    ("个", re.compile(f"(?<=[这那哪几半每某{NUMERAL}])个(?!个)"), "ge5"),
    # sounds of hesitation, surprise and agreement that stand alone
    ("额", re.compile("(?<![一-鿿])额(?![一-鿿])"), "e4"),
    ("欸", re.compile("(?<![一-鿿])欸(?!乃)"), "ei2"),
    ("诶", re.compile("(?<![一-鿿])诶"), "ei2"),
    ("诶", re.compile("(?<=[一-鿿])诶(?![一-鿿])"), "ei5"),
    ("喔", re.compile("(?<![一-鿿])喔(?![一-鿿])"), "o1"),
    # 不停地下雨 is not underground
    ("地", re.compile("(?<=不停|不断|一直|使劲|哗哗|纷纷)地(?=下)"), "de5"),
    # the tail of 理发 after a measure
    ("发", re.compile("(?<=理[了过个一])发|(?<=理[了一两三][次个回])发"), "fa4"),
    # all over the floor
    ("地", re.compile("(?<=[了的满得]一)地(?=都|是|$|[，。])"), "di4"),
    # a verb said twice
    ("量", re.compile("量(?=一量)|(?<=量一)量"), "liang2"),
    # the tail of 睡觉 after a complement
    ("觉", re.compile("(?<=睡[得不]着)觉|(?<=睡[不好个了一大])觉|(?<=睡[了个]好)觉"), "jiao4"),
]


def decided(
    text: str, segments: list[int], tags: list[str], certain: Collection[int], told: Collection[int]
) -> dict[int, str]:
    """Positions whose reading a rule decides, and the reading.

    Args:
        text: Simplified characters.
        segments: Word index of each.
        tags: Part of speech of the word of each.
        certain: Positions of which a word is sure: there only `_WORDS` and `_ANYWHERE` have a say.
        told: Positions of which a word says anything: where none does, a character in a longer word is open, too.
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
            elif len(token.text) < 4:
                loose = len(token.text) == 1 or token.tag in _LOOSE or token.text[0] in NUMERAL
                for i, char in enumerate(token.text, token.start):
                    if (rule := RULES.get(char)) and i not in certain and (loose or i not in told):
                        reading = rule(_inside(tokens, k, i, text[begin:i], text[i + 1 : end]))
                        if reading:
                            found.setdefault(i, reading)
    return found


def _inside(tokens: list[Token], k: int, i: int, left: str, right: str) -> Place:
    """The place of the character at i in the word k."""
    word, offset = tokens[k], i - tokens[k].start
    before = [Token(word.text[:offset], word.tag, word.start)] if offset else []
    after = [Token(word.text[offset + 1 :], "x", i + 1)] if offset + 1 < len(word.text) else []
    return Place([*tokens[:k], *before], [*after, *tokens[k + 1 :]], left, right)
