"""Readings that grammar decides: words that mean one thing as a verb and another as a preposition, particle or measure.

A model learns these badly, for it meets the words in one kind of text only; a few neighbours and their parts of speech
(jieba's letters: `v` verb, `a` adjective, `d` adverb, `n` noun, `r` pronoun, `m` numeral, `p` preposition, ...) tell them
apart in any. Each rule returns a reading, or None where it has nothing to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Token(NamedTuple):
    """A word of the cut, or a mark."""

    text: str
    tag: str
    start: int


class Place(NamedTuple):
    """A character that is a word of its own, within its clause."""

    before: list[Token]
    """The clause so far, nearest last."""
    after: list[Token]
    """The rest of the clause."""
    left: str
    """The text of the clause before it."""
    right: str
    """The text of the clause after it."""

    @property
    def previous(self) -> Token:
        """The word before; an empty one at the beginning of a clause."""
        return self.before[-1] if self.before else _NOTHING

    @property
    def next(self) -> Token:
        """The word after; an empty one at the end of a clause."""
        return self.after[0] if self.after else _NOTHING


_NOTHING = Token("", "", -1)
_MARK = re.compile("[^〇㐀-鿿A-Za-z0-9《》“”‘’\"'、·]")
_NOMINAL = frozenset("nrtsfjmqbai")
_PREDICATE = frozenset("vabzi")
_NUMERAL = "零一二三四五六七八九十百千万亿两几数多半每"
_PERSON = re.compile("[你您我他她它咱]们?|自己|大家|各位|别人|人家|谁|孩子|老师|客户|用户|顾客|主人|同学们?|朋友们?|妈妈|爸爸")
# Verbs and adverbs after which 为 begins a phrase (愿意为您服务), unlike 称为, 定为, 改为.
_TAKES_A_PHRASE = re.compile(
    "会|能|能够|可|可以|可能|要|想|愿|愿意|乐意|甘愿|甘|肯|敢|应|应该|应当|必须|需|需要|得|请|来|去|将|已|已经|正|正在|在|"
    "都|也|还|又|再|就|只|才|却|别|没|没有|不|不要|不用|必定|一定|特|特地|特意|专|专门|一直|始终|曾|曾经|决定|打算|准备|"
    "开始|继续|试图|希望|尝试|努力|极力|立即|马上|立刻|或|或许|并|并且|则|便|纷纷|不断|常常|经常|主动|免费|负责|致力|全力"
)
_COPULA_ADVERB = frozenset("均 皆 即 则 乃 系 实 本 名 约 多 共 同 极 颇 甚 尤 最 更 较 大 广 稍 略 仅 总 现 原 长".split())


def _wei(at: Place) -> str | None:
    """为: for (wei4) with whom it is done and what is done; to be, to become (wei2) with what it is."""
    takes_a_phrase = bool(_TAKES_A_PHRASE.fullmatch(at.previous.text))
    if at.next is _NOTHING or re.match(".{0,6}所[^以有谓在长]", at.right) or any(t.text == "以" for t in at.before):
        return "wei2"
    if re.search("[视称誉选定列改作成认被图题型名其译]$", at.left) and not takes_a_phrase:
        return "wei2"
    whom = _PERSON.match(at.right)
    rest = at.right[whom.end() :] if whom else ""
    if rest and not (rest.startswith(("的", "是")) and not _has_verb(at.after[2:])):
        return "wei4"
    if re.match("[^，。]{1,12}而(?!且)", at.right) and not at.right.startswith("难"):
        return "wei4"
    if at.next.text in ("给", "向", "对", "让", "把") and _has_verb(at.after[1:]):
        return "wei4"
    begins = not at.before or (at.previous.tag in "cd" and len(at.before) == 1 and not at.previous.text in _COPULA_ADVERB)
    if begins and (at.next.tag in "vap" or _has_verb(at.after[1:])) and not re.match("[最近全历首主]", at.right):
        return "wei4"
    if at.previous.text in _COPULA_ADVERB or (at.previous.tag == "v" and not takes_a_phrase):
        return None
    if (at.next.tag in _NOMINAL or (takes_a_phrase and at.next.tag == "v")) and _has_verb(at.after[1:]):
        return "wei4"
    return None


def _has_verb(tokens: Sequence[Token]) -> bool:
    """Whether something is done in these words: a verb that neither a 的 makes an attribute nor a noun follows at once."""
    for k, token in enumerate(tokens):
        following = tokens[k + 1] if k + 1 < len(tokens) else _NOTHING
        if token.tag == "p" and token.text in "把将被给向对从在用":
            return True
        if token.tag == "v" and token.text not in "是有为":
            if following.text in ("的", "者", "所"):
                continue
            before = tokens[k - 1] if k else _NOTHING
            if before.text == "的" and following is _NOTHING and len(token.text) > 1:
                continue  # 公司的发展
            if following.tag == "n" and following.text not in ("时", "后") and before.tag == "n" and len(token.text) > 1:
                continue  # 公司管理人员
            return True
    return False


def _di(at: Place) -> str | None:
    """地: the mark of how it is done (de5), between a describing word and a verb; ground (di4)."""
    word = at.previous
    if word is _NOTHING or (word.tag in "pmqf" and not re.search("[声步个]$", word.text)):
        return None
    if re.search("[这那哪此每各本当两块片亩寸尺]$|[在到从往离占下上落种耕割征趴躺坐跪倒]$", word.text) and len(word.text) == 1:
        return None
    describing = (
        word.tag in "adzoi"
        or re.search("(.)\\1$", at.left)  # 慢慢
        or re.search("(.).\\1.$|(.)\\2(.)\\3$|一.不.$", at.left[-4:])  # 一步一步, 高高兴兴, 一步不离
        or re.search("[然似般样性声]$", at.left)
    )
    if at.next is _NOTHING:
        return "de5" if describing and len(word.text) > 1 and word.tag in "ad" else None
    if at.next.text in "上下里中处面理势形质铁图道税带块段区点板方位皮" or at.next.tag in "fu":
        return None
    doing = at.next.tag in "vdpzio" or at.next.text in ("把", "被", "将", "给", "向", "对", "在", "就", "一")
    if describing and (doing or at.next.tag in "arml"):
        return "de5"
    if len(word.text) > 1 and word.tag in "vnlbjt" and doing:
        return "de5"
    if doing and len(at.before) > 1 and word.tag in "avd":
        return "de5"  # 喉咙很响地吼
    return None


_DEGREE = re.compile(
    "[很太真挺极特超好]|非常|实在|特别|更加|比较|十分|格外|相当|如此|这么|那么|多么?[^少久大]|跟|像|好像|仿佛|不行|不得了|不轻|不像话|要命|"
    "要死|要哭|慌|厉害|离谱|可怕|吓人|惊人|[让叫令使]|连|直|团团|满|透|着觉|起|够|怎么样|如何|清|明明白白"
)
_MUST = re.compile("先|早|多|少|快|好好|[一二三四五六七八九十两几]|这|等|花|用|问|去|来|找|看|说|做|要|有|在|给|跟|把|让|靠|由|赶|再|马上|立即|立刻")


def _de(at: Place) -> str | None:
    """得: the mark of how it turns out (de5) after verb and adjective; must (dei3) before a verb; to get (de2)."""
    word, following = at.previous, at.next
    predicate = word.tag in _PREDICATE and word.text not in ("是", "有", "要", "会", "能", "可能", "想", "您", "很", "可以")
    if re.match("[了过着]?(?:[第冠亚季]|[一二三四五六七八九十两几][分票球]|[奖病癌罪])", at.right) and not predicate:
        return "de2"
    if re.match("以|体|失|知|逞|益于|罪|名|天独|意忘", at.right) or word.text in ("只", "不", "各", "所", "该", "应", "求", "未"):
        return None if word.text in ("只", "不") else "de2"
    if word.text == "非":
        return "dei3"
    pronoun = bool(_PERSON.fullmatch(word.text))
    if _DEGREE.match(at.right) and not pronoun and word is not _NOTHING and (predicate or word.tag in "nzdvm"):
        return "de5"
    if predicate:
        return "de5"
    subject = pronoun or not word.text or word.tag in "rnstfjcyd"
    if subject and at.right and (following.tag in "vpd" or _MUST.match(at.right)):
        return "dei3"
    if pronoun and at.right and not re.match("[了过着到]", at.right):
        return "dei3"
    return None


def _zhe(at: Place) -> str | None:
    """着: to hit, as a complement (zhao2: 睡不着, 猜着了); to wear (zhuo2)."""
    if re.match("急|火|凉|迷|魔", at.right):
        return "zhao2"
    if re.search("[睡找用犯够管见摸数烧点打逮碰遇捉][不得]$", at.left) or re.search("[睡猜点逮找]$", at.left) and (
        at.right.startswith("了") or at.next is _NOTHING and at.left.endswith("睡")
    ):
        return "zhao2"
    if at.right.startswith("了"):
        return "zhao2"
    if re.match(".{0,6}[衣裙裤装服袍衫袜鞋靴]", at.right) and re.search("(?:^|[下上内外身众人们皆均])$", at.left):
        return "zhuo2"
    return None


def _le(at: Place) -> str | None:
    """了: to be able to, to end (liao3), after 不 and 得 that follow a verb."""
    if at.left.endswith("不") and len(at.before) > 1 and at.before[-2].tag in "vazl":
        return "liao3"
    if re.search("[受忍办做吃治救少免走用帮管去来打喝跑动解改逃]得$", at.left):
        return "liao3"
    return None


def _hai(at: Place) -> str | None:
    """还: to give back (huan2); still (hai2)."""
    if re.match("[清完掉][了吗。]?$|[清完][^楚]|给|钱|债|款|贷款|书|车|账|信用卡|花呗|不清$|不起|得[起清]|了[钱债书款]|回[来去]?", at.right):
        return "huan2"
    if at.left.endswith("不") and at.right.startswith("后"):
        return "huan2"
    if at.next is _NOTHING or at.right in ("了", "吗", "呢", "的", "吧"):
        return "huan2" if at.before and at.previous.tag != "r" or at.right else None
    if at.next.tag in "dpc" or re.match("有|是|没|不|要|会|能|可|在|敢|想|得|需|应|让|挺|真|算|差|记得|未|剩|请", at.right):
        return "hai2"
    return None


def _zhi(at: Place) -> str | None:
    """只: the measure of animals and of one of a pair (zhi1); only (zhi3)."""
    only = re.match("是|有|能|要|会|好|不过|怕|需|想|见|剩|顾|差|可|得|用|为|在|限|知", at.right)
    if re.search(f"[{_NUMERAL}]$", at.left):
        return None if only and at.left[-1] in "多半数百千万" else "zhi1"
    if re.search("[这那哪]$", at.left) and not only:
        return "zhi1"
    if re.search("[犬羊船舰马牛]$", at.left):
        return "zhi1"
    return None


def _dou(at: Place) -> str | None:
    """都: all (dou1); a capital (du1) only in names."""
    if re.search("[之古故迁建定帝魔首陪京花成旧南]$", at.left) or re.match("城|市[^场]", at.right):
        return None
    return "dou1" if at.before and at.next.tag and at.next.tag in "vdpraucnmlzi" else None


def _dang(at: Place) -> str | None:
    """当: to take for (dang4: 把他当朋友)."""
    return "dang4" if re.search("[把拿][^，]{1,12}$", at.left) and at.right and not at.right.startswith("场") else None


def _ying(at: Place) -> str | None:
    """应: should (ying1) before a verb; in answer to (ying4)."""
    if re.match("[^，]{1,14}(?:邀|要求|请求|之约|之请|号召)", at.right):
        return "ying4"
    if at.next.tag and at.next.tag in "vdpaic" or re.match("为|是|在|有|当|予|先|从", at.right):
        return "ying1"
    return None


def _hang(at: Place) -> str | None:
    """行: a line, a row, a trade, a bank (hang2); all right, to walk (xing2)."""
    if re.search(f"第[{_NUMERAL}]+$|[每逐某]$|[上下这那哪][一两几]?$|最[后前]一$|[首末][一]?$", at.left):
        return None if re.search("[这那上下]一?$", at.left) and re.match("[不吗啊吧呀人]|$", at.right) and not re.match("竞", at.right) else "hang2"
    if re.search(f"[{_NUMERAL}]$", at.left) and (
        re.match("代码|字|文字|诗|泪|眼泪|小字|大字|数据|脚印|命令|文本|日志|树|白|记录|内容|注释|热泪|清泪|标题|的", at.right)
        or re.search("[干爱入改转]一$", at.left)
    ):
        return "hang2"
    if re.search("[我本该贵各他]$", at.left) and re.search("银行|利率|贷款|莅临|存款|客户|网点|汇率|柜台|账户", at.left + at.right):
        return "hang2"
    return None


def _zhong(at: Place) -> str | None:
    """中: to hit, to win (zhong4), as a verb."""
    if re.match("了|过(?!去)", at.right) and at.previous.tag not in ("n", "s"):
        return "zhong4"
    return None


def _zhong_plant(at: Place) -> str | None:
    """种: to plant (zhong4); a kind (zhong3)."""
    if re.search(f"[{_NUMERAL}这那各某何此哪]$", at.left):
        return None
    return "zhong4" if re.match("花|草|树|菜|[地田]|瓜|豆|粮|庄稼|玉米|棉|茄|葡萄|茶|着|下|植|满|活|过|了|在|出|上|的", at.right) else None


def _zhang(at: Place) -> str | None:
    """长: to grow (zhang3); long (chang2)."""
    if re.match("出|成|满|胖|着|势|个|高|大", at.right) and not re.search("[很太更最多米尺寸]$", at.left):
        return "zhang3"
    if at.right.startswith("得") and not re.match("得[很太离惊吓可要没]", at.right):
        return "zhang3"
    if at.right.startswith("了") and not re.search("[太很更变拉拖延拖加又越]$", at.left) and at.previous.tag in ("n", "r", "d"):
        return "zhang3"
    if re.search("[又]$", at.left) and re.match("了[一两几半]?岁", at.right):
        return "zhang3"
    if re.search("越$", at.left) and re.match("越[大高胖好漂壮快]", at.right):
        return "zhang3"
    if re.search("[省市县区乡镇村社局院校部科处厅所站馆厂店组班队连排营团]$", at.left) and at.next.tag != "u":
        return "zhang3" if at.previous.tag == "n" or len(at.previous.text) == 1 else None
    return "chang2" if re.search("[很太更最不米尺寸较]$", at.left) and at.next is _NOTHING else None


def _kong(at: Place) -> str | None:
    """空: free time (kong4)."""
    return "kong4" if re.search("(?:有|没|得|抽)$", at.left) and (at.next.tag in ("", "v", "y", "u", "p", "r")) else None


def _dao(at: Place) -> str | None:
    """倒: to pour, to turn over, on the contrary (dao4); to fall (dao3)."""
    if re.search("[摔跌打踢病晕压推难吓绊刮撞击扑醉累昏滑砸撂栽踩拉]$", at.left):
        return "dao3"
    if re.match("[进入出掉满]|在.{1,8}[上里中]|是|也|还|不如|没|有点|[一两几]?杯|点|水|茶|酒|油|垃圾|[一]?下", at.right):
        return None if at.right.startswith("下") else "dao4"
    return None


def _shu(at: Place) -> str | None:
    """数: to count (shu3)."""
    if re.match("一?数|不[清完尽过]|清|完|到[一二三四五六七八九十百]|钱|钞|星星|羊|着|了[一数]|出|一[下遍]|[你我他她它]|得[清着]", at.right):
        return "shu3" if not re.search("[参函倍常变次人分岁指]$", at.left) else None
    return "shu3" if re.search("[从就]$", at.left) and re.match("[一你我他她它]", at.right) else None


def _cha(at: Place) -> str | None:
    """差: bad, to lack (cha4)."""
    if re.search("[太很更最较不真好挺还只就了]$", at.left) and not re.match("别|异|距|额|价", at.right):
        return "cha4"
    return "cha4" if re.match(f"[{_NUMERAL}]|了[{_NUMERAL}]|不[多了离]|点|钱|得[远多很]", at.right) else None


def _zhuan(at: Place) -> str | None:
    """转: to go round (zhuan4); to turn, to change (zhuan3)."""
    if re.search("绕着?[^，]{0,8}$|[团空乱直飞自公]$|急得.*$", at.left) or re.match("[着]?圈|个?不停|来转去|[一两几]圈|悠|得飞?快", at.right):
        return "zhuan4"
    return "zhuan3" if re.match("[移换变为给到入向让告身学弯账发]", at.right) else None


def _tiao(at: Place) -> str | None:
    """调: to adjust (tiao2); to move somebody, a tune (diao4)."""
    if re.match(f"[大小高低亮暗快慢好匀味温弱强]|[到至成][{_NUMERAL}最静]|成|[上下]?调", at.right) or re.search("[上下难可微空]$", at.left):
        return "tiao2"
    return None


def _gan(at: Place) -> str | None:
    """干: dry (gan1), to do (gan4)."""
    if re.search("[擦晒晾吹风烘烤喝榨抹沥烧哭流]$", at.left):
        return "gan1"
    if re.match("得|不[了完]|什么|啥|嘛|吗|咱|[一二三两几]|完|好|起|的|了|过|着|这|那|点|些|[你我他她]", at.right):
        return "gan4" if not re.search("[很太口嘴皮]$", at.left) else "gan1"
    return None


def _jiao(at: Place) -> str | None:
    """教: to teach (jiao1), as a verb."""
    if re.match("[你我他她您它]|大家|孩子|学生|得|过|出|了|会[了你我他]|[教]|[数语英物化历音体]|书|给|人", at.right) and not re.search(
        "[宗请执主求受佛指信传邪]$", at.left
    ):
        return "jiao1"
    return None


def _curl(at: Place) -> str | None:
    """儿: after a noun or verb of two characters it curls (er5: 胡同儿)."""
    return "er5" if len(at.previous.text) == 2 and at.previous.tag in ("n", "v", "s", "f") and at.next.tag != "n" else None


def _shizai(at: Place) -> str | None:
    """实在: really, as an adverb, in full."""
    return "zai4" if at.next.tag in ("a", "v", "d", "l", "i", "z") else None


def _chuanzhuo(at: Place) -> str | None:
    """穿着: what one wears (zhuo2); wearing it (zhe5)."""
    noun = at.left.endswith("的") or re.match("打扮|得体|讲究|整齐|朴素|随便|随意|时尚|风格|[很也较不]|$", at.right)
    return "zhuo2" if noun else "zhe5"


def _always(reading: str) -> Callable[[Place], str | None]:
    """The reading of a character that is no part of a longer word."""
    return lambda _: reading


def _before(tags: str, reading: str) -> Callable[[Place], str | None]:
    """A reading before words of some kinds."""
    return lambda at: reading if at.next.tag and at.next.tag in tags else None


def _if_next(pattern: str, reading: str, unless_after: str = "$^") -> Callable[[Place], str | None]:
    """A reading before some characters, unless others precede."""
    return lambda at: reading if re.match(pattern, at.right) and not re.search(unless_after, at.left) else None


def _if_after(pattern: str, reading: str) -> Callable[[Place], str | None]:
    """A reading after some characters."""
    return lambda at: reading if re.search(pattern, at.left) else None


RULES: dict[str, Callable[[Place], str | None]] = {
    "为": _wei, "地": _di, "得": _de, "着": _zhe, "了": _le, "还": _hai, "只": _zhi, "都": _dou, "当": _dang, "应": _ying,
    "行": _hang, "中": _zhong, "种": _zhong_plant, "长": _zhang, "空": _kong, "倒": _dao, "数": _shu, "差": _cha,
    "转": _zhuan, "调": _tiao, "干": _gan, "教": _jiao,
    "个": _if_after("[是有了来几那这哪]$", "ge5"), "燕": _always("yan4"), "哦": _if_after("[一-鿿]$", "o5"),
    "啦": _always("la5"), "喽": _always("lou5"), "哇": _if_after("[一-鿿]$", "wa5"), "胖": _always("pang4"),
    "重": _before("v", "chong2"), "盛": _if_next("[米]?饭|汤|菜|水|满|出来|着", "cheng2"), "和": _if_next("了[，。！]?$", "hu2"),
    "弄": _if_next("[不了干得出清到好成丢坏错脏懂来完死明个]", "nong4"), "粘": _if_next("[在着住上贴满了]|苍蝇", "zhan1"),
    "炸": _if_next("[鸡鱼酱薯虾肉串糕油丸糖酥]|至金黄|[好熟]", "zha2"), "相": _before("v", "xiang1"),
    "儿": _curl,
    "没": _always("mei2"), "将": _before("vdpnr", "jiang1"), "更": _before("avdi", "geng4"), "曾": _before("vdp", "ceng2"),
    "少": _before("vdnra", "shao3"), "抡": _if_next("起|着|棒|锤|拳|刀|圆|动", "lun1"), "蹚": _always("tang1"),
    "刨": _always("pao2"), "咋": _before("vadr", "za3"), "挑": _always("tiao1"),
    "处": _if_after(f"[{_NUMERAL}各此何某]$", "chu4"),
    "塞": _if_next("[进入到满给着了住在上得]", "sai1"), "卡": _if_next("[在住]", "qia3"),
    "藏": _if_next("[在着了进起到匿身好]", "cang2"), "薄": _if_after("[很太越更较最不厚]$", "bao2"),
    "扎": _if_next("头发|辫|马尾", "za1"), "背": _if_next("着|起|负|了|得动|不动", "bei1"),
    "石": _if_next("[米粮谷粟]", "dan4", "[^一二三四五六七八九十百千万两几]$"),
}  # fmt: skip
"""By character; each applies where the character is a word of the cut, or stands in one that was only counted (六只)."""

_WORDS: dict[str, tuple[int, Callable[[Place], str | None]]] = {"穿着": (1, _chuanzhuo), "实在": (1, _shizai)}
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
    for tokens in _clauses(text, segments, tags):
        begin, end = tokens[0].start, tokens[-1].start + len(tokens[-1].text)
        for k, token in enumerate(tokens):
            size = len(token.text)
            for offset, char in enumerate(token.text):
                i = token.start + offset
                if size == 1 or (size < 4 and token.tag in _LOOSE):
                    rule = RULES.get(char)
                else:
                    place, rule = _WORDS.get(token.text, (-1, None))
                    if place != offset:
                        continue
                if rule is None or i in found:
                    continue
                whole = size > 1 and token.text in _WORDS
                before, after = tokens[:k], tokens[k + 1 :]
                if size > 1 and not whole:
                    before = [*before, Token(token.text[:offset], token.tag, token.start)] if offset else before
                    after = [Token(token.text[offset + 1 :], "x", i + 1), *after] if offset + 1 < size else after
                first, last = (token.start, token.start + size) if whole else (i, i + 1)
                if reading := rule(Place(before, after, text[begin:first], text[last:end])):
                    found[i] = reading
    return found


def _clauses(text: str, segments: list[int], tags: list[str]) -> list[list[Token]]:
    clauses: list[list[Token]] = [[]]
    start = 0
    for i in range(1, len(text) + 1):
        if i < len(text) and segments[i] == segments[start]:
            continue
        word = text[start:i]
        if _MARK.match(word):
            clauses.append([])
        else:
            clauses[-1].append(Token(word, tags[start], start))
        start = i
    return [clause for clause in clauses if clause]
