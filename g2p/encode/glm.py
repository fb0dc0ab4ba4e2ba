"""Pronunciation to GLM-TTS's hybrid text: the published front end's text form, phoneme tokens where demanded.

The model has 204 phoneme tokens, an initial or a final with its tone each: 重庆 as `<|CH|><|ONG2|><|Q|><|ING4|>`. A
syllable that the inventory cannot write (儿 in the neutral tone, for example) stays a character. The authors of GLM-TTS
confirm that many phoneme tokens in a sentence make its prosody choppy, and by default use none: the model reads
polyphones by itself. So a reading that the front end merely chose stays a character, too.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Literal

from g2p.mandarin import glm_syllables, split_syllable
from g2p.polyphones.dictionary import dictionary
from g2p.pronunciation import Pronunciation, Token

Policy = Literal["auto", "all", "off"]

INITIALS = frozenset(("B C CH D F G H J K L M N P Q R S SH T X Z ZH").split())
_FIVE_TONES = (
    "A AI AN ANG AO E EI EN ENG I IA IAN IANG IAO IE II III IN ING IOU O ONG OU U UA UANG UEI UEN UO V VAN VN"
).split()
FINALS = frozenset(
    [f"{final}{tone}" for final in _FIVE_TONES for tone in range(1, 6)]
    + [f"{final}{tone}" for final in ("VE", "UAI", "UAN", "IONG") for tone in range(1, 5)]
    + ["ER2", "ER3", "ER4", "UENG1", "UENG3", "UENG4", "IO1"]
)
"""Finals with tone; with `INITIALS` the whole inventory of 204."""
_CHINESE = dict(zip("，、；：—。！？…\n", "，，，，，。。?。。", strict=True))
_ENGLISH = {"，": ",", "、": ",", "；": ";", "：": ":", "—": ",", "。": ".", "！": ".", "？": "?", "…": ".", "\n": "."}
_INTERJECTIONS = {"噢": "哦", "欸": "诶"}


def encode(pronunciation: Pronunciation, policy: Policy = "auto") -> str:
    """Write a pronunciation as the model was trained on it: in the text form of the published front end.

    A text with hanzi has Chinese commas and full stops, an ASCII question mark and no space between hanzi and letters;
    one without has ASCII marks, each with a space behind it. There are no exclamation marks. Letters are small, hanzi
    simplified, and the text ends in a full stop or a question mark.

    Args:
        pronunciation: What to say.
        policy: `auto` writes phonemes only where somebody asked for a reading (markup, dictionary); `all` writes every
            hanzi in phonemes; `off` writes none.

    Raises:
        ValueError: An unknown policy.
    """
    if policy not in ("auto", "all", "off"):
        raise ValueError(f"policy is {policy!r}; it must be 'auto', 'all' or 'off'")
    tokens = pronunciation.tokens
    chinese = any(token.kind == "hanzi" for token in tokens)
    marks, gap = (_CHINESE, "") if chinese else (_ENGLISH, " ")
    text = ""
    previous: Token | None = None
    for token, following in zip_longest(tokens, tokens[1:]):
        if token.kind == "pause":
            if text and not text.endswith(tuple(marks.values())):
                text += marks[token.text]
        elif token.kind == "english":
            # words keep their spelling: respellings are for phonemes
            written = pronunciation.text[token.start : token.end]
            if previous is None or (previous.start, previous.end) != (token.start, token.end) or not written.isalpha():
                if text and previous is not None and previous.kind == "pause":
                    text += gap
                elif previous is not None and previous.kind == "english" and previous.word != token.word:
                    text += " "
                text += (written if written.isalpha() else token.text).lower()
        else:
            text += (_phonemes(token) if _wants_phonemes(token, policy) else "") or _hanzi(token, previous, following)
        previous = token
    return text if text.endswith((marks["。"], "?")) else text.rstrip("，,;:") + marks["。"]


def _hanzi(token: Token, previous: Token | None, following: Token | None) -> str:
    """The character as the published front end writes it."""
    char = dictionary().simplify(token.text)
    breaks_off = following is None or following.kind == "pause"
    if char == "咯" and breaks_off:
        return "喽"
    if char == "额" and breaks_off and (previous is None or previous.kind == "pause"):
        return "呃"
    return _INTERJECTIONS.get(char, char)


def readings(text: str) -> list[str | None]:
    """The inverse: the syllable of each phoneme group, None for each plain character."""
    return glm_syllables(text)


def _phonemes(token: Token) -> str:
    """Tokens of a syllable, before sandhi, which the model applies itself; empty where the inventory lacks it."""
    reading = token.base or token.reading
    if not reading or reading.endswith("r"):
        return ""
    initial, final, tone, _ = split_syllable(reading)
    last = f"{final.upper()}{tone}"
    if last not in FINALS or (initial and initial.upper() not in INITIALS):
        return ""
    return (f"<|{initial.upper()}|>" if initial else "") + f"<|{last}|>"


def _wants_phonemes(token: Token, policy: Policy) -> bool:
    return policy == "all" or (policy == "auto" and token.source in ("markup", "dictionary"))
