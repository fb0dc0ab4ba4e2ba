"""What the words so far tell about whether more of them will come, in Mandarin and English."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent.turns import grammar

_LIST_ASKED = re.compile(
    r"[哪些]些|[有带去学看]过?.?什么(?!可以|能)|都.{0,4}(?:什么|谁)|[买点要吃喝].?什么|哪[几两]"
    r"|\b(?:which|what) \w+s (?:do|did|have|are|were|can|will)\b|what are\b"
    r"|what (?:do|did|would|will) you (?:need|want|like|have|buy|bring)|who (?:is|are|was|were|will)\b"
)
_LIST_BEGUN = re.compile(
    r"[两三四五六几][样件种项]|^第?一[是要、，]|^第一|分别是|[都有]以下|、"
    r"|\bfirst\b(?!.*\b(?:second|then)\b)|\b(?:two|three|four|several|some|following) things\b"
)
_ITEMS = re.compile(
    r"(?:[买要来点订借拿带关开]|提醒我."
    r"|帮我.)[掉上了]?[一两二三四五六七八九十半][杯份盒瓶个只条斤包碗张件袋本箱台把双块]\w{1,5}$"
    r"|\b(?:buy|get|order|bring|remind me to \w+|turn (?:on|off)|i'll (?:have|take)|i'd like)"
    r" (?:an? |the |some |two |three )?\w+(?: \w+)?(?: in the \w+)?$"
)
"""What one orders, buys or has several of."""
_LAST_OF_LIST = re.compile(r"和|跟|还有|以及|再来|也|都|最后|\b(?:and|also|both|too|finally|that's)\b|第三|third")
_ASKS_YES_OR_NO = re.compile(
    r"吗$|[是要好]不[是要好]|(?:还是|or)\b|^(?:do|does|did|are|is|can|could|would|will|have|has|shall)\b"
)
_YES_OR_NO = re.compile(
    r"^(?:[是对好行不没要嗯有会能]|可以|确定|当然|挺|(?:yes|yeah|yep|no|nope|sure|ok(?:ay)?|right|of course|fine)\b)"
)
_TRAILS_OFF = re.compile(r"(?:[,，、…—]|\.\.\.?|-)\s*$")
_DIGIT = re.compile(r"[0-9零〇一二三四五六七八九幺]|\b(?:zero|oh|one|two|three|four|five|six|seven|eight|nine)\b")
_ENDS_IN_DIGIT = re.compile(rf"(?:{_DIGIT.pattern}|[a-z])$")
_LAST_GROUPS = re.compile(r"(?:[0-9零〇一二三四五六七八九幺][\s-]?){3,}$")
_SHORT_NUMBER = re.compile(r"1[12][0-9]|1[012][0-9]{3}|9[0-9]{4}")
"""110, 10086, 95588: numbers of services, which are whole."""
BROKEN_OFF = 0.4
"""The share of digits without which a number is not over. A local number of seven or eight digits may be; what begins
with 1 is a mobile's, which has eleven."""
_PLACE = re.compile(r"地址|住在|住哪|送到|寄到|位置|门牌|\b(?:address|live|lives|deliver|ship)\b")
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
    number_broken: float
    """A group of its digits, behind which the rest must come."""
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
    raw = _joined(stretches).lower().strip()
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
    characters = sum(char.isalnum() for char in text)
    missing = max(0.0, 1 - digits / min(expected)) if counted and expected else 0.0
    closed = asks or bool(grammar.CLOSED.search(text))
    hardly = text.count(" ") < 3 if text.isascii() else characters < 5
    items = len(stretches) < 2 and _ITEMS.search(text) and not question
    listing = _LIST_ASKED.search(question) or _LIST_BEGUN.search(text)
    return Cues(
        filler=float(bool(grammar.FILLER.search(text))),
        open=float(characters > 1 and not asks and announces(text, question)),
        trails_off=float(bool(_TRAILS_OFF.search(raw))),
        closed=float(closed),
        subordinate=float(
            bool(grammar.SUBORDINATE.search(text))
            and len(stretches) < 2
            and not grammar.MAIN.search(text[2:])
            and not asks
        ),
        number_open=missing,
        number_broken=float(missing > 0 and _breaks_off(text, missing)),
        number_whole=float(bool(counted and expected and digits >= min(expected))),
        number_unknown=float(bool(number and not counted and _ENDS_IN_DIGIT.search(text))),
        list_open=0.0 if _LAST_OF_LIST.search(last) else 1.0 if listing else 0.5 if items else 0.0,
        answer=float(bool(_ASKS_YES_OR_NO.search(question)) and bool(_YES_OR_NO.search(text))),
        fragment=float(not question and len(stretches) < 2 and hardly and not closed),
        brief=float(characters <= 2 or (text.isascii() and " " not in text)),
    )


def _breaks_off(text: str, missing: float) -> bool:
    """Whether a text ends in a group of digits, of a number that cannot be over without that share of its digits."""
    found = _LAST_GROUPS.search(text)
    said = re.sub(r"[\s-]", "", found[0]) if found else ""
    if len(said) < 3 or _SHORT_NUMBER.fullmatch(said):
        return False
    return said[0] in "1一幺" or missing >= BROKEN_OFF


def announces(text: str, question: str = "") -> bool:
    """Whether the last word of a text wants another one after it.

    Args:
        text: In lower case, without its last punctuation.
        question: What it answers.
    """
    answer = grammar.SHORT_ANSWER.fullmatch(text)
    if answer and (question or answer["word"]):
        return False
    if any(kind.search(text) for kind in grammar.OPEN) or grammar.DATE.search(text):
        return True
    if grammar.ATTRIBUTE.search(text):
        return not question and not grammar.COMPLETE_ATTRIBUTE.search(text)
    if grammar.TOPIC.search(text):
        return not question
    number_comes = bool(_NUMBER_ASKED.search(question) or _PLACE.search(question) or _PLACE.search(text))
    return number_comes and bool(grammar.LABEL.search(text) or grammar.ADDRESS.search(text))


def _joined(stretches: Sequence[str]) -> str:
    return "".join(
        f" {stretch}" if number and stretch[:1].isascii() and not stretch[:1].isdigit() else stretch
        for number, stretch in enumerate(stretches)
    )
