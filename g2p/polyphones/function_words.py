"""How the function words 为 地 得 着 了 还 只 都 当 应 are read: by what stands around them.

Each rule returns a reading, or None where it has nothing to say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from g2p.polyphones.clause import NOTHING, NUMERAL, Place, Token

NOMINAL = frozenset("nrtsfjmqbai")
PREDICATE = frozenset("vabzi")
PERSON = re.compile(
    "[你您我他她它咱]们?|自己|大家|各位|别人|人家|谁|孩子|老师|客户|用户|顾客|主人|同学们?|朋友们?|妈妈|爸爸"
)
# Verbs and adverbs after which 为 begins a phrase (愿意为您服务), unlike 称为, 定为, 改为.
_TAKES_A_PHRASE = re.compile(
    "会|能|能够|可|可以|可能|要|想|愿|愿意|乐意|甘愿|甘|肯|敢|应|应该|应当|必须|需|需要|得|请|来|去|将|已|已经|正|正在|在|"
    "都|也|还|又|再|就|只|才|却|别|没|没有|不|不要|不用|必定|一定|特|特地|特意|专|专门|一直|始终|曾|曾经|决定|打算|准备|坚持|开展|"
    "表示|承诺|宣布|同意|决心|开始|继续|试图|希望|尝试|努力|极力|立即|马上|立刻|或|或许|并|并且|则|便|纷纷|不断|常常|经常|主动|免费|负责|致力|全力"
)
_COPULA_ADVERB = frozenset(
    "均 皆 即 则 乃 系 实 本 名 约 多 共 同 极 颇 甚 尤 最 更 较 大 广 稍 略 仅 总 现 原 长".split()
)


def wei(at: Place) -> str | None:
    """为: for (wei4) with whom it is done and what is done; to be, to become (wei2) with what it is."""
    takes_a_phrase = bool(_TAKES_A_PHRASE.fullmatch(at.previous.text))
    if at.next is NOTHING or re.match(".{0,6}所[^以有谓在长]", at.right) or any(t.text == "以" for t in at.before):
        return "wei2"
    if re.search("[视称誉选定列改作成认被图题型名其译]$", at.left) and not takes_a_phrase:
        return "wei2"
    whom = PERSON.match(at.right)
    rest = at.right[whom.end() :] if whom else ""
    if rest and not (rest.startswith(("的", "是")) and not _has_verb(at.after[2:])):
        return "wei4"
    if re.match("[^，。]{1,12}而(?!且)", at.right) and not at.right.startswith("难"):
        return "wei4"
    if at.next.text in ("给", "向", "对", "让", "把") and _has_verb(at.after[1:]):
        return "wei4"
    begins = not at.before or (
        at.previous.tag in "cd" and len(at.before) == 1 and at.previous.text not in _COPULA_ADVERB
    )
    if begins and (at.next.tag in "vap" or _has_verb(at.after[1:])) and not re.match("[最近全历首主]", at.right):
        return "wei4"
    if at.previous.text in _COPULA_ADVERB or (at.previous.tag == "v" and not takes_a_phrase):
        return None
    serial = at.next.tag == "v" and at.previous.tag == "n" and any(t.tag == "v" for t in at.before[-3:])
    if (at.next.tag in NOMINAL or serial or (takes_a_phrase and at.next.tag == "v")) and _has_verb(at.after[1:]):
        return "wei4"
    return None


def _has_verb(tokens: Sequence[Token]) -> bool:
    """Whether something is done in these words: a verb that is no attribute of a noun."""
    for k, token in enumerate(tokens):
        following = tokens[k + 1] if k + 1 < len(tokens) else NOTHING
        if token.tag == "p" and token.text in "把将被给向对从在用":
            return True
        if token.tag in "il" and len(token.text) == 4 and following is NOTHING and k:
            return True  # 为争家产蠢蠢欲动
        if token.tag == "v" and token.text not in "是有为":
            if following.text in ("的", "者", "所"):
                continue
            before = tokens[k - 1] if k else NOTHING
            if before.text == "的" and following is NOTHING and len(token.text) > 1:
                continue  # 公司的发展
            if (
                following.tag == "n"
                and following.text not in ("时", "后")
                and before.tag == "n"
                and len(token.text) > 1
            ):
                continue  # 公司管理人员
            return True
    return False


def di(at: Place) -> str | None:
    """地: the mark of how it is done (de5), between a describing word and a verb; ground (di4)."""
    word = at.previous
    repeated = bool(re.search("(.)\\1$|(.).\\2.$|(.)\\3(.)\\4$", at.left[-4:]))  # 慢慢, 一步一步, 高高兴兴
    if word is NOTHING or (word.tag in "pmqf" and not repeated and not word.text.endswith("声")):
        return None
    manner = repeated or (word.tag in "adzi" and len(word.text) > 1) or bool(re.search("一.不.$|[声然]$", at.left))
    land = at.next.text in "上下里中处面理势形质铁图道税带块段区点板方位皮陷震基主球线" or at.next.tag in "fu"
    if at.next is not NOTHING and not land and (manner or word.tag == "o"):
        return "de5"
    if (
        re.search("[这那哪此每各本当两块片亩寸尺]$|[在到从往离占下上落种耕割征趴躺坐跪倒]$", word.text)
        and len(word.text) == 1
    ):
        return None
    describing = word.tag in "adzoi" or repeated or bool(re.search("一.不.$|[然似般样性声]$", at.left))
    if at.next is NOTHING:
        return "de5" if describing and (repeated or (len(word.text) > 1 and word.tag in "ad")) else None
    if land:
        return None
    doing = at.next.tag in "vdpzio" or at.next.text in (
        "把",
        "被",
        "将",
        "给",
        "向",
        "对",
        "在",
        "就",
        "一",
        "往",
        "朝",
        "从",
    )
    if describing and (doing or at.next.tag in "arml"):
        return "de5"
    if len(word.text) > 1 and word.tag in "vnlbjt" and doing:
        return "de5"
    if doing and len(at.before) > 1 and word.tag in "avd":
        return "de5"  # 喉咙很响地吼
    return None


_DEGREE = re.compile(
    "[很太真挺极特超好]|老[高远长大]|非常|实在|特别|更加|比较|十分|格外|相当|如此|这么|那么|多么?[^少久大]|跟|像|好像|仿佛|不行|不得了|不轻|不像话|要命|"
    "要死|要哭|慌|厉害|离谱|可怕|吓人|惊人|[让叫令使]|连|直|团团|满|透|着觉|起|够|怎么样|如何|清|明明白白|"
    "多(?:[了的，]|$)|[更最][^需要应]|[哭笑跳叫][了起出得]|无[法言语比]|[说睁合喘抬站吃睡]不|差不多|一般[，]?|有[些点]|[快慢早晚高好]$"
)
_FEELINGS = frozenset("伤心 生气 生长 疼 痛 想象".split())
_OWNERS = frozenset("人 事 钱 货 饭 书 车 票 话 家 课 活 店 药 娃 爸 妈".split())
_MUST = re.compile(
    "先|早|多|少|快|好好|[一二三四五六七八九十两几]|这|等|花|用|问|去|来|找|看|说|做|要|有|在|给|跟|把|让|靠|由|赶|再|马上|立即|立刻"
)


def de(at: Place) -> str | None:
    """得: the mark of how it turns out (de5) after verb and adjective; must (dei3) before a verb; to get (de2)."""
    word, following = at.previous, at.next
    predicate = word.tag in PREDICATE and word.text not in (
        "是",
        "有",
        "要",
        "会",
        "能",
        "可能",
        "想",
        "您",
        "很",
        "可以",
    )
    if re.match("了(?:[第冠亚季满奖病癌]|[一二三四五六七八九十两几][分票球个])", at.right):
        return "de2"
    if re.match("[了过着]?(?:[第冠亚季]|[一二三四五六七八九十两几][分票球]|[奖病癌罪])", at.right) and not predicate:
        return "de2"
    if not word.text and at.right.startswith("不"):
        return None
    if re.match("以|体|失|释|免|存|胜|救|赦|知|逞|益于|罪|名|天独|意忘", at.right) or word.text in (
        "只",
        "不",
        "各",
        "所",
        "该",
        "应",
        "求",
        "未",
    ):
        return None if word.text in ("只", "不") else "de2"
    if word.text == "非":
        return "dei3"
    pronoun = bool(PERSON.fullmatch(word.text))
    if _DEGREE.match(at.right) and not pronoun and word is not NOTHING and (predicate or word.tag in "nzdvmfqc"):
        return "de5"
    verbal = word.tag == "n" and len(word.text) == 1 and word.text not in _OWNERS  # 飞, 学, 气 as jieba has them
    if predicate or verbal or word.text in _FEELINGS:
        return "de5"
    subject = pronoun or not word.text or word.tag in "rnstfjcyd"
    if subject and at.right and (following.tag in "vpdl" or _MUST.match(at.right)):
        return "dei3"
    if pronoun and at.right and not re.match("[了过着到]", at.right):
        return "dei3"
    return None


def zhe(at: Place) -> str | None:
    """着: to hit, as a complement (zhao2: 睡不着, 猜着了); to wear (zhuo2)."""
    burning = re.search("[喷射冒吐带围向朝隔迎顶烤玩]$", at.left)
    if re.match("急|火|凉|迷|魔", at.right) and not burning:
        return "zhao2"
    if re.search("[睡找用犯够管见摸数烧点打逮碰遇捉][不得]$", at.left) or (
        re.search("[睡猜点逮找]$", at.left)
        and (at.right.startswith("了") or (at.next is NOTHING and at.left.endswith("睡")))
    ):
        return "zhao2"
    if at.right.startswith("了"):
        return "zhao2"
    if re.match(".{0,6}[衣裙裤装服袍衫袜鞋靴]", at.right) and re.search("(?:^|[下上内外身众人们皆均])$", at.left):
        return "zhuo2"
    return None


def le(at: Place) -> str | None:
    """了: to be able to, to end (liao3), after 不 and 得 that follow a verb."""
    if re.search("[^再也都还就才我你他她它们可又决绝并从毫这那]不$", at.left):
        return "liao3"
    if re.search("[受忍办做吃治救少免走用帮管去来打喝跑动解改逃]得$", at.left):
        return "liao3"
    ended = at.left.endswith(("不", "得")) or re.match("[结断却然事无悟望不]", at.right)
    return "le5" if at.before and not ended else None


def hai(at: Place) -> str | None:
    """还: to give back (huan2); still (hai2)."""
    if re.match(
        "[清完掉][了吗。]?$|[清完][^楚]|给|钱|债|款|贷款|书|车|账|信用卡|花呗|不清$|不起|得[起清]|了[钱债书款]|回(?![绝选答复应忆避味想到头])",
        at.right,
    ):
        return "huan2"
    if at.left.endswith("不") and at.right.startswith("后"):
        return "huan2"
    if at.next is NOTHING or at.right in ("了", "吗", "呢", "的", "吧"):
        return "huan2" if (at.before and at.previous.tag != "r") or at.right else None
    if at.next.tag in "dpc" or re.match(
        "有|是|没|不|要|会|能|可|在|敢|想|得|需|应|让|挺|真|算|差|记得|未|剩|请|略|更|稍|比", at.right
    ):
        return "hai2"
    returning = re.search("(?<![本原后将从未近起])来$|[往生归送退偿交返放奉璧讨南北遣召遂乃亦]$", at.left) or re.match(
        "[至京家乡都师军朝镇洛建葬俗愿手击报阳魂政本原国府]", at.right
    )
    return "hai2" if not returning and at.next.tag in "varmtn" else None


def zhi(at: Place) -> str | None:
    """只: the measure of animals and of one of a pair (zhi1); only (zhi3)."""
    only = re.match("是|有|能|要|会|好|不过|怕|需|想|见|剩|顾|差|可|得|用|为|在|限|知", at.right)
    if re.search(f"[{NUMERAL}]$", at.left):
        return None if only and at.left[-1] in "多半数百千万" else "zhi1"
    if re.search("[这那哪整]$", at.left) and not only:
        return "zhi1"
    if re.search("[犬羊船舰马牛]$", at.left):
        return "zhi1"
    return None


def dou(at: Place) -> str | None:
    """都: all (dou1); a capital (du1) only in names."""
    if re.search("[之古故迁建帝魔首陪京花成旧南燕邺洪]$|(?<!也)许$|(?<![一决肯确否坚稳])定$", at.left) or re.match(
        "城|市[^场]|督|司|统|尉|护府", at.right
    ):
        return None
    return "dou1" if at.before and at.next.tag and at.next.tag in "vdpraucnmlzi" else None


def dang(at: Place) -> str | None:
    """当: to take for (dang4: 把他当朋友, 我当你同意了)."""
    if re.search("(?:^|[还都只就])[我你他她]$|[我你他她]还$", at.left) and re.match(
        "[你我他她它][^，]{1,8}了", at.right
    ):
        return "dang4"
    return "dang4" if re.search("[把拿][^，]{1,12}$", at.left) and at.right and not at.right.startswith("场") else None


def ying(at: Place) -> str | None:
    """应: should (ying1) before a verb; in answer to (ying4)."""
    if re.match("[^，]{1,14}(?:邀|要求|请求|之约|之请|号召)", at.right):
        return "ying4"
    if (at.next.tag and at.next.tag in "vdpaic") or re.match("为|是|在|有|当|予|先|从", at.right):
        return "ying1"
    return None
