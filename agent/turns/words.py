"""What the words so far tell about whether more of them will come, in Mandarin and English."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_FILLER = re.compile(
    r"(?:嗯+|呃+|额|那个|就是|这个|怎么说呢?|叫什么来着|我想想|我看看"
    r"|\b(?:u+[hm]+|er+m?|hm+|you know|i mean|let me (?:see|think)|how do i say(?: this)?|what was it|like|well))$"
)
_OPEN = re.compile(
    r"(?:因为|所以|但是|可是|不过|然后|而且|或者|如果|要是|虽然|的话|除了|关于|比如说?|例如|就是说|[叫喊]做?|和|跟|与|以及|还有"
    r"|[在把被给向往替]|为了|[我你他她它们]的?|一[个下]|大概|好像|第[一二三四五]|首先|[^不]能不能|可不可以|帮我|打算|准备"
    r"|[^是不]是|改到|喜欢的|(?:上|下|那|这)次的|想[要问找买]?|(?:下|这|那)个月|我觉得吧?|[0-9]年|[0-9]月|号楼|单元|以后"
    r"|\b(?:and|or|but|because|so|if|when|which|who|the|a|an|to|of|for|with|in|on|at|by|from|about|near|is|are|was|were"
    r"|am|be|my|your|his|her|our|their|i|we|it's|i'm|i'd|i'll|you're|could|would|can|should|will|than|as|into|maybe|called"
    r"|double|apartment|then|also|just|let|some|very|really|prefers?|set|keeps|big|i think"
    r"|^(?:next|last|this) (?:week|month|year)))$"
)
_CLOSED = re.compile(
    r"(?:[吗呢吧了啦]|谢谢你?|再见|多少钱?|几[点个位]|什么|哪里|哪儿|怎么样|为什么|没有|不用|可以|行|好的?|还是.+"
    r"|\b(?:thank you|thanks(?: a lot)?|please|(?:good)?bye|that's all|okay|again|today))$"
)
_SUBORDINATE = re.compile(
    r"^(?:那|嗯|就是|其实)?(?:如果|要是|假如|因为|由于|虽然|尽管|等|当|除了|关于|只要|只有|既然|不管|无论|一方面|首先|第一|我?本来|我先"
    r"|不是我?不|(?:if|because|although|though|when|while|since|unless|after|before|apart from|about the"
    r"|on the one hand|first|once|until|as soon as|it's not that)\b)"
)
_MAIN = re.compile(
    r"[就却才]|所以|但是?|可是|能不能|另一方面|再给|然后|\b(?:then|but|on the other hand|i'll|we should|could you)\b"
)
_LIST_ASKED = re.compile(
    r"[些哪]些|买.?什么|点什么|都有|哪些人|什么(?:症状|爱好|材料)"
    r"|what do you need|like to order|which .+s\b|who is|what symptoms|hobbies|which documents"
)
_LIST_BEGUN = re.compile(
    r"[两三四五]样|^第一|提醒我买|关掉|\bfirst\b.+cheap|remind me to buy|turn off the|i'll have|free on"
)
_LAST_OF_LIST = re.compile(r"和|跟|还有|以及|再来|也|都|第三|最后|\b(?:and|also|both|too|third|last)\b")
_ASKS_YES_OR_NO = re.compile(
    r"吗$|[是要好]不[是要好]|(?:还是|or)\b|^(?:do|does|did|are|is|can|could|would|will|have|has|shall)\b"
)
_YES_OR_NO = re.compile(
    r"^(?:[是对好行不没要嗯]|可以|确定|当然|挺|(?:yes|yeah|yep|no|nope|sure|ok(?:ay)?|right|of course|fine)\b)"
)
_TRAILS_OFF = re.compile(r"(?:[,，、…—]|\.\.\.?|-)\s*$")
_DIGIT = re.compile(r"[0-9零〇一二三四五六七八九幺]|\b(?:zero|oh|one|two|three|four|five|six|seven|eight|nine)\b")
_ENDS_IN_DIGIT = re.compile(rf"(?:{_DIGIT.pattern}|[a-z])$")
_NUMBER_ASKED = re.compile(r"号|码|电话|证件|几位|密码|\b(?:number|code|phone|digits|zip|id)\b")
_LENGTHS = (
    (re.compile(r"后四位|last four"), (4,)),
    (re.compile(r"身份证"), (18,)),
    (re.compile(r"验证码|邮编"), (6,)),
    (re.compile(r"手机|电话|(?:打|拨).*号码"), (11,)),
    (re.compile(r"(?<!后四位)银行卡|card number"), (16,)),
    (re.compile(r"\b(?:phone|call|reach)\b"), (10,)),
    (re.compile(r"\bzip\b"), (5,)),
)
"""How many digits what was asked for has."""


@dataclass(frozen=True, slots=True)
class Cues:
    """What the words tell, each from 0 to 1."""

    filler: float
    """嗯, 那个, um: the speaker looks for a word."""
    open: float
    """The last word wants another one after it."""
    trails_off: float
    """The recogniser wrote a comma or dots at the end."""
    closed: float
    """A particle, a question mark or a courtesy that ends a turn."""
    subordinate: float
    """如果, because: the main clause is still missing."""
    number_open: float
    """The share of digits that is missing from a number of this kind."""
    number_whole: float
    """As many digits."""
    number_unknown: float
    """Digits at the end, and nobody knows how many there will be."""
    list_open: float
    """Items without the word that announces the last one."""
    answer: float
    """Yes or no, where that was asked."""
    brief: float
    """One or two characters, or one word."""
    fragment: float
    """A turn that nobody asked for begins, and so far has hardly a clause."""


def cues(stretches: Sequence[str], question: str = "") -> Cues:
    """Look at what was said.

    Args:
        stretches: The transcripts of this turn so far, one for each stretch between pauses.
        question: What the agent said last.
    """
    raw = "".join(stretches).lower().strip()
    asks = bool(re.search(r"[?？]\s*$", raw))
    text = re.sub(r"[\s。．.，,、!！?？…—:：;；\"“”-]+$", "", raw)
    last = stretches[-1].lower() if stretches else ""
    question = re.split(r"[?？。.!！]\s*", re.sub(r"[?？。.!！\s]+$", "", question.lower()))[-1]
    asked_for_number = bool(_NUMBER_ASKED.search(question))
    if asked_for_number:  # as they are heard
        text = re.sub(r"\b(?:for|to|too|ate|won)\b", "two", text)
    digits = len(_DIGIT.findall(text)) + 2 * len(re.findall(r"double \w", text)) - len(re.findall(r"double \d", text))
    expected = next((lengths for asked, lengths in _LENGTHS if asked.search(question) or asked.search(text)), None)
    counted = expected is not None and digits > 0
    number = counted or (digits > 1 and (asked_for_number or _NUMBER_ASKED.search(text) is not None))
    items = _LIST_ASKED.search(question) or _LIST_BEGUN.search(text)
    characters = sum(char.isalnum() for char in text)
    closed = asks or bool(_CLOSED.search(text))
    hardly = text.count(" ") < 3 if text.isascii() else characters < 5
    return Cues(
        filler=float(bool(_FILLER.search(text))),
        open=float(bool(_OPEN.search(text)) and not asks and characters > 1),
        trails_off=float(bool(_TRAILS_OFF.search(raw))),
        closed=float(closed),
        subordinate=float(
            bool(_SUBORDINATE.search(text)) and len(stretches) < 2 and not _MAIN.search(text[2:]) and not asks
        ),
        number_open=max(0.0, 1 - digits / min(expected)) if counted and expected else 0.0,
        number_whole=float(bool(counted and expected and digits >= min(expected))),
        number_unknown=float(bool(number and not counted and _ENDS_IN_DIGIT.search(text))),
        list_open=float(bool(items) and not _LAST_OF_LIST.search(last)),
        answer=float(bool(_ASKS_YES_OR_NO.search(question)) and bool(_YES_OR_NO.search(text))),
        fragment=float(not question and len(stretches) < 2 and hardly and not closed),
        brief=float(characters <= 2 or (text.isascii() and " " not in text)),
    )
