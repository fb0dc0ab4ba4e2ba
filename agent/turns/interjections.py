"""What people say into somebody's speech, to show that they listen or to stop them, also as a recogniser mishears it.

One or two syllables without a sentence around them are misheard more often than not, but as what sounds like them: 耗的
for 好的, 课试 for 可是. Hanzi are therefore compared by their syllables, too.
"""

from __future__ import annotations

import math
import re

import g2p

OF_A_STOP, OF_A_NOD, OF_A_SENTENCE = 3.0, -3.0, 5.0
"""What words weigh beside the sound of the whole, in log-odds that it interrupts; a sentence, more than any sound."""
OF_A_DOUBTFUL_STOP = 2.0
"""The same for no, hold, what and 喂, which oh, uh-huh and 嗯 are misheard as."""
OF_NEITHER = -0.5
"""The same for words that are like neither: what people say most while they listen is a nod."""
_NODS = """
嗯 恩 摁 唔 哦 噢 喔 啊 哈 呵 嘿 诶 欸 哎 唉 哇 哇塞 天哪 对 队 堆 兑 好 号 是 事 行 对的 好的 好吧 好嘞 好哦 行吧
是的 是吗 是么 没错 没事 没问题 没关系 明白 明白了 知道 知道了 我知道 懂 懂了 我懂 清楚 清楚了 了解 了解了 可以 当然
当然了 确实 的确 同意 可不是 可不 就是 也是 也对 那是 倒也是 那倒是 难怪 怪不得 有道理 有意思 原来如此 原来是这样
是这样 这样 这样子 真的 真的吗 真的假的 不错 厉害 很好 挺好 挺好的 真好 真棒 太好了 太棒了 说得对 说的对 说的是 说得好
太对了 一点没错 没毛病 我同意 我也是 我也觉得 同感 真不错 挺不错 挺不错的 还不错 还行 还好 可以的 那好 那行 那不错
那挺好 那太好了 那当然 那倒也是 这倒是 必须的 好棒 真厉害 太厉害了 好厉害 真有意思 有趣 我明白 我明白了 我了解 我清楚
晓得了 收到 没意见 赞成 是呢 对呢 好呢 嗯呢 天啊 我的天 u++h++ hu++h++ m++ m++h++m++ hm++ a++h++ oh o++h{2,}+ aha yeah
yep yes yup right ok okay sure surething really wow whoa isee iknow igetit gotit igotit gotcha iunderstand understood
iagree agreed ofcourse exactly absolutely definitely totally true great good alright allright indeed cool nice fine
perfect excellent lovely wonderful amazing awesome interesting correct very makessense thatmakessense soundsgood
fairenough goodpoint goodtoknow noproblem noworries youbet fantastic brilliant funny fair certainly naturally
obviously precisely quiteright verynice goodidea greatidea goodnews goodtohear nokidding nodoubt forsure soundsgreat
soundsright looksgood worksforme wellsaid pointtaken fairpoint ihearyou imlistening goon keepgoing carryon allgood
seriously isthatso mygoodness gosh boy dear sotrue howtrue hownice howinteresting howlovely metoo samehere ithinksotoo
iguessso 说得是 可不嘛 没说的 好哒 好滴 好咧 嗯呐 得嘞 妥 妥了 成 哟 哎哟 哎呀 哎呦 哦哟 如此 确实如此 的确如此 果然
果真 想不到 goodforyou goodforhim goodforher goodforthem rightyouare ibet mygod goodheavens 我懂了 我知道了 我了解了
我清楚了
""".split()
_PRAISE = (
    "(?:听起来|看起来|听上去|看上去|说得|说的|讲得|那|这|倒|还)*(?:很|挺|真|好|太|还|蛮|非常|特别|确实|的确|也)"
    "(?:好|不错|对|棒|厉害|有意思|有趣|有道理|可以|行|好玩|合适|方便|清楚|简单|难得|贴心)[的了啊呀呢嘛]*+",
    "(?:听起来|看起来|听上去|看上去)(?:好|不错|对|有意思|有道理|可以)",
    "(?:that|it|this)?(?:is|s|was)?(?:sounds?|looks?|seems?)?(?:really|very|so|quite|pretty|just|absolutely|how)?"
    "(?:good|great|nice|lovely|fine|right|true|cool|fair|funny|sweet|amazing|awesome|brilliant|clever|excellent|fantastic"
    "|helpful|impressive|interesting|perfect|wonderful|correct|sure|clear)(?:idea|point|news|one|stuff|job|thing)?",
)
"""How people agree in more words."""
_NOD = re.compile(rf"(?:(?:thats)?(?:{'|'.join((*_PRAISE, *sorted(_NODS, key=len, reverse=True)))})[呀嘛呐啦]?)+")
_LONGEST = 40
"""Letters or hanzi of a nod; more may be parsed in too many ways."""
_NOD_SYLLABLES = re.compile(
    r"(?:(?:en|wu|o|a|ai|ei|hao|hao de|dui|dui de|shi|shi de|xing|dong|mei cuo|mei shi|mei wen ti|ming bai|zhi dao"
    r"|qing chu|liao jie|ke yi|dang ran|que shi|di que|tong yi|jiu shi|ye shi|na shi|you dao li|zhen de|bu cuo)"
    r"(?: (?:ya|a|ha|ma|na|la|le|ba|o|lei))? )+"
)
_STOPS = re.compile(
    r"[停等不别够喂慢错谁啥换]|你错|打住|打断|暂停|闭嘴|安静|算了|取消|跳过"
    r"|(?:stop|top|wait|no|hey|hold|hang|shut|what|why|who|when|where|how|nope|not|pause|quiet|be quiet|shh|sorry"
    r"|excuse|but|enough|cancel|skip|never ?mind|listen|actually|don.?t|again)\b"
)
"""How people begin who stop each other."""
_STOP_SYLLABLES = re.compile(
    r"(?:ting|deng|bu(?! cuo)|bie|gou|wei|man|cuo|shei|sha|huan|ni cuo|da zhu|da duan|zan ting|bi zui|an jing|suan le"
    r"|qu xiao|tiao guo|shao deng|ni ting|xian ting|ke shi|dan shi) "
)
_DOUBTFUL = re.compile(r"(?:no|hold|what|why|who|how|hey|where|when)\b")
_ASKED = re.compile(r"吗$|[?？](?:[^?？]{0,4}|[ -~]{0,12})$")
"""A question, and what is said until somebody who answers at once is noticed."""
_TELLING = 8
"""Characters at the beginning that are compared by their syllables; a nod has no more."""


def is_nod(text: str) -> bool:
    """Whether a text is nothing but what people say to show that they listen."""
    said = _bare(text)
    return len(said) <= _LONGEST and bool(_NOD.fullmatch(said))


def sounds_like_nod(text: str) -> bool:
    """Whether a text is a nod, or has the syllables of one, which the recogniser wrote as other words."""
    short = len(_bare(text)) <= _TELLING and not is_stop(text)
    return is_nod(text) or (short and bool(_NOD_SYLLABLES.fullmatch(_syllables(text))))


def is_stop(text: str) -> bool:
    """Whether a text begins as one does that stops somebody who speaks, or sounds like it; 不错 does not."""
    if is_nod(text):
        return False
    return bool(_STOPS.match(_begun(text)) or _STOP_SYLLABLES.match(_syllables(text)))


def is_unclear(text: str) -> bool:
    """Whether a text is too little to be believed: one syllable, alone or repeated, or one short word."""
    said = _bare(text)
    return len(set(said)) <= 1 if not said.isascii() else len(said) < 6 and len(text.split()) <= 1


def is_sentence(text: str) -> bool:
    """Whether a text is more than a misheard nod: five syllables, or four words (嗯，是的 can become 暗示的呀)."""
    said = _bare(text)
    return len(set(text.lower().split())) >= 4 if said.isascii() else len(set(said)) >= 5


def asks(said: str) -> bool:
    """Whether somebody who is interrupted there has just asked something, to which a nod is an answer.

    Args:
        said: What was heard of them: up to the question, or a word or two behind it.
    """
    return bool(_ASKED.search(said))


def means_it(text: str, meant: float | None) -> bool:
    """Whether the words of a voice during the agent's speech interrupt it.

    Args:
        text: All that was recognised of it.
        meant: How much it sounded like an interruption; None: nobody listened to that.
    """
    if meant is None:
        return is_stop(text) or not (is_nod(text) or is_unclear(text))
    meant = min(max(meant, 0.01), 0.99)
    return math.log(meant / (1 - meant)) + _weight(text) > 0


def _weight(text: str) -> float:
    """What words weigh; those that are only like the right ones, as much: the sound speaks as well."""
    said = _bare(text)
    if is_nod(text):
        return OF_A_NOD
    if is_sentence(text) or (_STOPS.match(said) and not said.isascii() and len(said) > 1):
        return OF_A_SENTENCE
    if is_stop(text):
        is_doubtful = _DOUBTFUL.match(_begun(text)) or _syllables(text).startswith("wei ")
        return OF_A_DOUBTFUL_STOP if is_doubtful else OF_A_STOP
    return OF_A_NOD if sounds_like_nod(text) else OF_NEITHER


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())


def _begun(text: str) -> str:
    return re.sub(r"^\W+", "", text.lower())


def _syllables(text: str) -> str:
    """The first syllables without their tones, each with a space behind it; what is no hanzi stays."""
    said = _bare(text)[:_TELLING]
    read = "" if said.isascii() else g2p.readings(said)
    return "".join(f"{syllable[:-1] if syllable else char} " for char, syllable in zip(said, read, strict=False))
