"""Pronunciation to GLM-TTS's hybrid text: characters, and phoneme tokens where a character alone might be misread.

The model has 204 phoneme tokens, an initial or a final with its tone each: 重庆 as `<|CH|><|ONG2|><|Q|><|ING4|>`. A
syllable that the inventory cannot write (儿 in the neutral tone, for example) stays a character. The authors of GLM-TTS
confirm that many phoneme tokens in a sentence make its prosody choppy, hence the policies.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from g2p.dictionary import dictionary
from g2p.mandarin import glm_syllables, split_syllable
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
_MARKS = {
    "，": "，",
    "、": "，",
    "；": "，",
    "：": "，",
    "—": "，",
    "。": "。",
    "！": "。",
    "？": "？",
    "…": "。",
    "\n": "。",
}


def encode(pronunciation: Pronunciation, policy: Policy = "auto") -> str:
    """Write a pronunciation as the text that GLM-TTS's tokenizer reads.

    Args:
        pronunciation: What to say.
        policy: `auto` writes phonemes only where somebody asked for a reading, where it differs from the character's
            usual one, or where the character is rare; `all` writes every hanzi in phonemes; `off` writes none.

    Raises:
        ValueError: An unknown policy.
    """
    if policy not in ("auto", "all", "off"):
        raise ValueError(f"policy is {policy!r}; it must be 'auto', 'all' or 'off'")
    # English is lower-cased, as in the model's own front end, and keeps its spelling: respellings are for phonemes.
    text = ""
    previous: Token | None = None
    for token in pronunciation.tokens:
        if token.kind == "pause":
            mark = _MARKS.get(token.text, "，")
            if text and text[-1] not in "，。？":
                text += mark
        elif token.kind == "english":
            written = pronunciation.text[token.start : token.end]
            if previous is None or (previous.start, previous.end) != (token.start, token.end) or not written.isalpha():
                joined = previous is None or previous.kind == "pause" or previous.word == token.word
                text += ("" if joined else " ") + (written if written.isalpha() else token.text).lower()
        else:
            text += " " if previous is not None and previous.kind == "english" else ""
            text += (_phonemes(token) if _wants_phonemes(token, policy) else "") or token.text
        previous = token
    return text


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
    if policy != "auto":
        return policy == "all"
    if token.source in ("markup", "dictionary"):
        return True
    usual = _usual_reading(token.text)
    return usual is None or (
        token.source in ("model", "phrase") and not token.base.endswith("5") and token.base != usual
    )


@lru_cache(maxsize=8192)
def _usual_reading(char: str) -> str | None:
    """What the model says for a character alone; None: it is too rare to be known."""
    known = dictionary()
    candidates = known.candidates(char)
    return candidates[0] if candidates and known.is_common(char) else None
