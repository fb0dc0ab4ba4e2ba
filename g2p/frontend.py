"""Text to `Pronunciation`: the whole way, in one place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from g2p import english, sandhi
from g2p.lexicon import Lexicon, Match, default_lexicon, markup
from g2p.mandarin import HANZI
from g2p.normalization.normalize import Spoken, normalize
from g2p.polyphones import polyphone
from g2p.polyphones.dictionary import dictionary
from g2p.pronunciation import Pronunciation, Token

_PAUSES = {
    ",": "，", "，": "，", "、": "、", ".": "。", "。": "。", "!": "！", "！": "！", "?": "？", "？": "？", ";": "；",
    "；": "；", ":": "：", "：": "：", "…": "…", "—": "—", "–": "—", "\n": "\n", "(": "，", ")": "，", "（": "，",
    "）": "，", "【": "，", "】": "，", "~": "，", "|": "，", "→": "，",
}  # fmt: skip
_HANZI = re.compile(f"[{HANZI}]")
_RESPELT = "\ue000"  # stands for a respelt word while the rest is normalised
_HIDDEN = "\u2060"  # dropped by the normaliser
_TOKEN = re.compile(
    "(?P<english>[A-Za-zÀ-ÖØ-öø-ɏḀ-ỿ]+(?:['’][A-Za-z]+)*)|"
    f"(?P<syllabic>{_RESPELT})|(?P<hanzi>[{HANZI}])|(?P<pause>[\\n,，、.。!！?？;；:：…—–()（）【】~|→]+)|(?P<space>\\s+)"
)


@dataclass(slots=True)
class _Plan:
    """What markup and dictionary demand, by place in the original text."""

    text: str
    """The original, with brackets hidden and respelt words replaced by a placeholder; no character moves."""
    forced: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Character -> syllable and source."""
    respelt: dict[int, Match] = field(default_factory=dict)
    syllabic: dict[int, Match] = field(default_factory=dict)
    """Words that are not hanzi and are given in pinyin, or in IPA."""


def analyze(text: str, lexicon: Lexicon | None = None, *, language: str | None = None) -> Pronunciation:
    """How a text is said.

    Args:
        text: Anything; Chinese, English or both. Inline markup: `重[chóng]庆`,
            `Metformin[/mɛtˈfɔɹmɪn/]`.
        lexicon: Custom pronunciations; None: the default dictionary file.
        language: `zh` or `en`: how numbers and signs are said where the sentence itself does not tell; None: decide
            from the text.

    Raises:
        ValueError: Another language.
    """
    plan = _plan(text, lexicon if lexicon is not None else default_lexicon())
    spoken = _expand(normalize(plan.text, language), plan)
    said = "".join(spoken.chars)
    read = polyphone.read(said)
    tokens: list[Token] = []
    stretch: list[Token] = []

    def end_stretch() -> None:
        if stretch:
            tokens.extend(_connect(stretch))
            stretch.clear()

    word, last_cut, was_english = 0, -1, False
    for match in _TOKEN.finditer(said):
        first, last = match.start(), match.end() - 1
        span = spoken.starts[first], spoken.ends[last]
        if match.lastgroup == "hanzi":
            word += read.words[first] != last_cut or was_english
            last_cut, was_english = read.words[first], False
            reading, source = read.readings[first] or "", read.sources[first]
            if span[0] in plan.forced and span[1] == span[0] + 1:
                reading, source = plan.forced[span[0]]
            elif span[0] in plan.respelt:
                source = "dictionary"
            stretch.append(Token("hanzi", match[0], *span, reading, reading, word, source))
        elif match.lastgroup == "syllabic":
            if span[0] in plan.syllabic:
                word, last_cut, was_english = word + 1, -1, False
                given = plan.syllabic[span[0]]
                if given.entry.phones:
                    end_stretch()
                    was_english = True
                    of = given.start, given.end
                    tokens.append(Token("english", given.entry.word, *of, given.entry.phones, "", word, given.source))
                    continue
                syllables = tuple(syllable for syllable in given.entry.syllables if syllable)
                whole = given.start, given.end
                stretch.extend(_in_pinyin(given.entry.word, syllables, whole, word, given.source))
        elif match.lastgroup == "english":
            if (syllables := english.chinese_name(match[0])) and _in_chinese(said, first, last + 1):
                word, last_cut, was_english = word + 1, -1, False
                stretch.extend(_in_pinyin(match[0], syllables, span, word, "name"))
                continue
            end_stretch()
            word, was_english = word + 1, True
            for part, begin, end in english.pieces(match[0]):
                tokens.append(
                    Token("english", part, spoken.starts[first + begin], spoken.ends[first + end - 1], word=word)
                )
        elif match.lastgroup == "pause":
            end_stretch()
            word, last_cut = word + 1, -1
            mark = "\n" if "\n" in match[0] else _PAUSES[match[0][-1]]
            tokens.append(Token("pause", mark, *span, word=word))
    end_stretch()
    return Pronunciation(text, tuple(tokens))


def readings(text: str) -> list[str | None]:
    """Dictionary reading of each character with tone number (`chong2`, `nv3`, 5: neutral), None for all but hanzi."""
    return polyphone.read(text).readings


def _plan(text: str, lexicon: Lexicon) -> _Plan:
    plan = _Plan(text)
    chars = None
    for match, end in markup(text):
        chars = chars if chars is not None else list(text)
        chars[match.end : end] = _HIDDEN * (end - match.end)
        if match.entry.word[0].isascii() or match.entry.phones:
            chars[match.start : match.end] = _RESPELT + _HIDDEN * (match.end - match.start - 1)
            plan.syllabic[match.start] = match
        else:
            _force(plan, match)
    for match in lexicon.find(text if chars is None else "".join(chars)):
        if match.entry.syllables and not match.entry.word.isascii():
            _force(plan, match)
            continue
        chars = chars if chars is not None else list(text)
        chars[match.start : match.end] = _RESPELT + _HIDDEN * (match.end - match.start - 1)
        (plan.respelt if match.entry.respelling else plan.syllabic)[match.start] = match
    if chars is not None:
        plan.text = "".join(chars)
    return plan


def _force(plan: _Plan, match: Match) -> None:
    for position, syllable in enumerate(match.entry.syllables, match.start):
        if syllable and position not in plan.forced:
            plan.forced[position] = syllable, match.source


def _expand(spoken: Spoken, plan: _Plan) -> Spoken:
    """Put respelt words in the place of their stand-ins."""
    if not plan.respelt:
        return spoken
    expanded = Spoken()
    for char, start, end in zip(spoken.chars, spoken.starts, spoken.ends, strict=True):
        match = plan.respelt.get(start) if char == _RESPELT else None
        if match:
            expanded.say("".join(normalize(match.entry.respelling).chars), match.start, match.end)
        else:
            expanded.say(char, start, end)
    return expanded


def _in_chinese(said: str, start: int, end: int) -> bool:
    """Whether Chinese stands around a Latin word."""
    return bool(_HANZI.search(said, max(0, start - 20), end + 20))


def _in_pinyin(text: str, syllables: tuple[str, ...], span: tuple[int, int], word: int, source: str) -> list[Token]:
    """A Latin word that is said in pinyin: its letters go with the first syllable."""
    texts = [text, *[""] * (len(syllables) - 1)]
    return [
        Token("hanzi", part, *span, syllable, syllable, word, source)
        for part, syllable in zip(texts, syllables, strict=True)
    ]


def _connect(stretch: list[Token]) -> list[Token]:
    """Sandhi and erhua for one stretch of hanzi between pauses."""
    chars = "".join(token.text[:1] or "一" for token in stretch)
    words = [token.word for token in stretch]
    known = dictionary()
    figures = [token.end - token.start > len(token.text) for token in stretch]
    tones = sandhi.sandhi(chars, [token.base for token in stretch], words, known.is_word, figures)
    connected: list[Token] = []
    for i, (token, reading) in enumerate(zip(stretch, tones, strict=True)):
        if connected and token.text == "儿" and _curls(stretch, i):
            before = connected[-1]
            connected[-1] = replace(
                before, text=before.text + "儿", end=token.end, reading=before.reading + "r", base=before.base + "r"
            )
        elif reading == token.reading:
            connected.append(token)
        else:
            connected.append(replace(token, reading=reading))
    return connected


def _curls(stretch: list[Token], i: int) -> bool:
    """Whether this 儿 only curls the syllable before."""
    before, token = stretch[i - 1], stretch[i]
    if token.source in ("markup", "dictionary") or not before.reading or before.text == "儿":
        return False
    word = "".join(other.text for other in stretch[max(0, i - 4) : i + 1] if other.word == token.word)
    return sandhi.is_erhua(word) if len(word) > 1 else token.base == "er5"


def warm_up() -> None:
    """Load dictionary, model and English voice now rather than in the first sentence; about half a second, once."""
    english.phones(("hello",))
    analyze("你好，重庆。")


def explain(text: str, lexicon: Lexicon | None = None) -> list[dict[str, object]]:
    """Every token with its span, reading and reason, ready for JSON and for people.

    Args:
        text: As for `analyze`.
        lexicon: As for `analyze`.

    Returns:
        One mapping per token: `kind`, `text`, `written` (the original characters), `start`, `end`, `reading`, `base`,
        `word`, `source`, and `candidates`, all readings the character can have.
    """
    known = dictionary()
    return [
        {
            "kind": token.kind,
            "text": token.text,
            "written": text[token.start : token.end],
            "start": token.start,
            "end": token.end,
            "reading": token.reading,
            "base": token.base,
            "word": token.word,
            "source": token.source,
            "candidates": known.candidates(known.simplify(token.text[:1])) if token.kind == "hanzi" else [],
        }
        for token in analyze(text, lexicon).tokens
    ]
