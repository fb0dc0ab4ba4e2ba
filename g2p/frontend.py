"""Text to `Pronunciation`: the whole way, in one place."""

from __future__ import annotations

import re

from g2p import mandarin, polyphone
from g2p.lexicon import Lexicon
from g2p.normalize import normalize
from g2p.pronunciation import Kind, Pronunciation, Token

_PAUSES = {
    ",": "，", "，": "，", "、": "、", ".": "。", "。": "。", "!": "！", "！": "！", "?": "？", "？": "？", ";": "；", "；": "；",
    ":": "：", "：": "：", "…": "…", "—": "—", "–": "—", "\n": "\n", "(": "，", ")": "，", "（": "，", "）": "，",
}  # fmt: skip
_TOKEN = re.compile(
    r"(?P<english>[A-Za-zÀ-ɏ]+(?:['’][A-Za-z]+)*)|(?P<hanzi>[㐀-䶿一-鿿豈-﫿\U00020000-\U0003ffff]+)|(?P<pause>\n|[^\w\s])"
)


def analyze(text: str, lexicon: Lexicon | None = None) -> Pronunciation:
    """How a text is said.

    Args:
        text: Anything; Chinese, English or both.
        lexicon: Custom pronunciations; None: the default dictionary file.
    """
    spoken = normalize(text)
    said = "".join(spoken.chars)
    tokens: list[Token] = []
    word = 0
    for match in _TOKEN.finditer(said):
        kind: Kind = match.lastgroup  # type: ignore[assignment]
        first, last = match.span()
        if kind == "hanzi":
            run = match.group()
            base, words, sources = polyphone.read(run)
            tones = mandarin.sandhi(list(run), base, words)
            for i, char in enumerate(run):
                at = first + i
                tokens.append(
                    Token(
                        "hanzi",
                        char,
                        spoken.starts[at],
                        spoken.ends[at],
                        tones[i],
                        base[i],
                        word + words[i],
                        sources[i],
                    )
                )
            word += words[-1] + 1
        elif kind == "english":
            tokens.append(Token("english", match.group(), spoken.starts[first], spoken.ends[last - 1], word=word))
            word += 1
        elif match.group() in _PAUSES:
            mark = _PAUSES[match.group()]
            tokens.append(Token("pause", mark, spoken.starts[first], spoken.ends[last - 1], word=word))
            word += 1
    return Pronunciation(text, tuple(tokens))


def readings(text: str) -> list[str | None]:
    """One entry per character: its dictionary reading with tone number (`chong2`, `nv3`, 5 = neutral), None for all but hanzi."""
    result: list[str | None] = [None] * len(text)
    for match in _TOKEN.finditer(text):
        if match.lastgroup == "hanzi":
            result[match.start() : match.end()] = polyphone.read(match.group())[0]
    return result
