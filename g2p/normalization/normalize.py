"""Written text to spoken text, every spoken character tied to the characters it came from.

The text is cut at places where it is written one way and said another; each such expression is said as a whole and
keeps its span. Whether a number is said in Mandarin or in English is decided by its sentence, and inside a mixed
sentence by its neighbours.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from g2p.mandarin import HANZI
from g2p.normalization import english_expressions, expressions
from g2p.normalization.kana import KANA
from g2p.normalization.units import rows

# One character for another, so that positions stay: full-width letters, digits and signs (punctuation keeps its width),
# look-alikes of signs, ideographs encoded twice (⼀, 﨑), letters of mathematics (𝐇).
_SAME = {code + 0xFEE0: code for code in range(0x21, 0x7F) if chr(code) not in "!,.:;?()"}
_LOOK_ALIKE = (
    "．\u3000\u00a0\u2009\u202f\u2212\u2010\u2011\u2012\ufe63\u02da\u00ba"
    "\u00b5\u2126\u212a\u301c\u223c\ufe65\ufe64𠮷﨑髙"
)
_SAME |= dict(zip(map(ord, _LOOK_ALIKE), map(ord, ".    -----°°μΩK~~><吉崎高"), strict=True))
for _block in (range(0x2E80, 0x2FD6), range(0xF900, 0xFB00), range(0x1D400, 0x1D800), range(0x24B6, 0x24EA)):
    for _code in _block:
        _plain = unicodedata.normalize("NFKC", chr(_code))
        if len(_plain) == 1 and ord(_plain) != _code and _code not in _SAME:
            _SAME[_code] = ord(_plain)
_THIN_GROUPS = re.compile(r"(?<=\d)[\u00a0\u2009\u202f\u2007](?=\d{3}(?!\d))")
_HANZI = re.compile(f"[\ue000{HANZI}]")
# A sentence is English when it has an English word and no hanzi; bare numbers and units are read in Mandarin.
_ENGLISH_WORD = re.compile(r"(?<![\w@./\\-])[A-Za-z]?[a-z]{2,}(?![\w@/]|\.\w)")
# No sentence ends at these dots: titles, abbreviations, initials (J.K. Rowling, U.S.A., a.m.).
_ABBREVIATION_DOT = re.compile(
    r"(?<![A-Za-z.])(?:(?P<title>Dr|Mr|Ms|Mrs|Prof|St|Mt|Gov|Sen|Rev|Capt|Sgt|Lt)\.(?=\s?[A-Z&])|"
    r"(?P<word>No|Nos|Fig|Vol|vs|approx|pp|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.(?=\s?\d|\s[a-z])|"
    r"(?P<firm>Inc|Ltd|Co|Corp|Jr|Sr|etc|Ave|Blvd|St|Dept)\.(?=,|\s[a-z])|(?P<latin>e\.g|i\.e)\.|(?P<doctor>Ph\.\s?D)\.?|"
    r"(?P<half>[ap]\.m)\.(?!\s[A-Z]|\s*$)|(?P<initials>[A-Z](?:\.\s?[A-Z])*)\.(?=\s?[A-Z][a-z]|[一-鿿])|"
    r"(?P<short>[A-Za-z](?:\.[A-Za-z])+)\.(?![A-Za-z\d]|\s*$))"
)
_SENTENCE = re.compile(r"(?:[^。！？!?\n.]|\.(?!\s))*(?:[。！？!?\n]+|\.(?=\s)|$)")
# Where an expression may begin. Only there are the rules tried, so that plain text costs next to nothing.
_START = re.compile(
    rf"[{KANA}]|"
    r"\d|(?<![A-Za-z])[A-Za-z]|[-+](?=[\d$¥￥])|"
    r"(?<=[\w%℃° ])[-–—~～](?=[-—]?\s?[\d$¥￥A-Z周星礼初第高大次翌当今明凌清早上中下傍晚一二三四五六七八九十])|"
    r"\((?=\d)|(?<=[A-Za-z)）²³₀-₉])\+|\.(?=NET)|(?<=[一-鿿])[XVI]|"
    r"[%&@℃℉=≠≈<>≥≤×÷±√∞∈∉∪∩⊥∥∵∴∅⊂⊆∑∫≌∽$£€¥￥₩₽₹฿№#/^Α-ωⅠ-Ⅻⅰ-ⅻ①-⑳½⅓⅔¼¾⅐-⅞⁰¹²³⁴-⁹⁻₀-₉°*|~～_∶△∠⊙\\]"
)
_ADDRESS = re.compile(
    r"(?:https?://|ftp://|www\.)[^\s一-鿿，。！？；：、（）《》“”\"'<>]{1,2000}|"
    r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}|"
    r"(?<![A-Za-z0-9_.@/-])(?:[A-Za-z0-9-]{1,63}\.){1,5}(?:com|cn|org|net|io|ai|dev|edu|gov|co|app|tv|me|info)(?![A-Za-z0-9])(?:/[A-Za-z0-9._~/?#=&%+-]{0,500})?|"
    r"(?<![A-Za-z0-9_.@/-])[A-Za-z0-9_-]{1,64}\.(?:py|js|ts|txt|md|pdf|docx?|xlsx?|pptx?|csv|json|jsonl|ya?ml|toml|xml|html?|css|zip|tar|gz|rar|exe|"
    r"apk|jpe?g|png|gif|svg|mp[34]|wav|flac|mov|avi|log|ini|sh|bat|java|cpp|c|h|go|rs|ipynb|onnx|bin)(?![A-Za-z0-9])"
)
_WORDS_IN_ADDRESSES = re.compile("[A-Za-z]+|[0-9]+|[^A-Za-z0-9]")
_SAID_AS_WORDS = re.compile(
    r"com|net|org|info|edu|gov|app|dev|me|go|bat|bin|log|gif|zip|exe|tar|jpe?g|https?|java|[A-Za-z]*[aeiou][A-Za-z]*[A-Za-z]{2,}|[A-Za-z]*[A-Za-z]{2}[aeiou][A-Za-z]*"
)
_ADDRESS_SIGNS = {
    ".": "点", "@": "艾特", "/": "斜杠", "-": "杠", "_": "下划线", ":": "冒号", "?": "问号", "=": "等于", "&": "和",
    "#": "井号", "%": "百分号",
    "+": "加", "~": "波浪号",
}  # fmt: skip
_ENGLISH_ADDRESS_SIGNS = {
    ".": "dot", "@": "at", "/": "slash", "-": "dash", "_": "underscore", ":": "colon", "?": "question mark",
    "=": "equals",
    "&": "and", "#": "hash", "%": "percent", "+": "plus", "~": "tilde",
}  # fmt: skip

# Marks that shape a page and are not said. What is left of each match is its group, if it has one.
_MARKUP = re.compile(
    r"^[ \t]{0,3}#{1,6}[ \t]+|^[ \t]{0,8}[-*+•·▪◦●■◆][ \t]+|^[ \t]{0,3}>(?![ \t]?\d)[ \t]?|"
    r"^[ \t]{0,3}(?:[-*_][ \t]?){3,}$|"
    r"^[ \t]*```[^\n`]{0,40}$|"
    r"(?<![\d*])\*\*\*?(?!\*)|(?<=\d)\*\*\*?(?![*\d])|__|~~|`|</?[a-zA-Z][^<>\n]{0,200}>|<!--|-->|!?\[(?=[^\[\]\n]{0,300}\]\([^()\n]{0,500}\))|"
    r"\]\([^()\n]{0,500}\)|(?<=\S)\*(?=[\s，。！？,.!?]|$)|(?:^|(?<=\s))\*(?=\S)|"
    r"(?<![A-Za-z0-9\s*])\*(?=[^\s\d*])|(?<=[一-鿿])\*(?=[一-鿿，。])|^\|?[ \t]*:?-{3,}.*$",
    re.MULTILINE,
)
_LIST_NUMBER = re.compile(r"^[ \t]*(\d{1,3})[.、)）][ \t]*(?=\S)(?!\d)", re.MULTILINE)
# Where nothing better was found; a space says nothing but parts words.
_SIGNS = {sign: mandarin for sign, mandarin, _ in rows("signs.tsv") if mandarin}
_ENGLISH_SIGNS = {sign: english for sign, _, english in rows("signs.tsv") if english}
_INVISIBLE = (
    "\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\u0300-\u036f"
)
_UNSAID = re.compile(f"[{_INVISIBLE}]")
_SAID = re.compile(f"[^{_INVISIBLE}]+")
_PER = frozenset("元块角分米斤克吨升次人天时秒月年度台个件")
_ENGLISH_BEFORE = re.compile(r"[a-z]['’]?[ ,]{1,2}$")
_ENGLISH_AFTER = re.compile(r"[$£€]?[\d.,:/%]+ [a-z]{2,}")


LANGUAGES = (None, "zh", "en")
"""What a text can be said to be in; None: decide from the text."""


@dataclass(slots=True)
class Spoken:
    """Text as it is said; character i came from `[starts[i], ends[i])` of the original."""

    chars: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    kinds: list[tuple[int, int, str]] = field(default_factory=list)
    """Start, end and kind of each expression, in the order of the text: the rule that said it."""

    def say(self, text: str, start: int, end: int) -> None:
        """Append `text`, all of it standing for one original span."""
        self.chars.extend(text)
        self.starts.extend([start] * len(text))
        self.ends.extend([end] * len(text))

    def copy(self, text: str, start: int) -> None:
        """Append characters that are said as they are written; invisible ones are left out."""
        if _UNSAID.search(text):
            for part in _SAID.finditer(text):
                self.copy(part[0], start + part.start())
            return
        self.chars.extend(text)
        self.starts.extend(range(start, start + len(text)))
        self.ends.extend(range(start + 1, start + len(text) + 1))


def normalize(text: str, language: str | None = None) -> Spoken:
    """Say numbers, signs and page marks as they are spoken, or not at all.

    Args:
        text: Anything; Chinese, English or both. Time is linear in its length.
        language: `zh`, `en` or None. `en` reads a sentence without words (2026, 3:30, GLM 4.5) in English; else it is
            read in Mandarin.

    Raises:
        ValueError: Another language.
    """
    if language not in LANGUAGES:
        raise ValueError(f"the language is {language!r}; it must be 'zh', 'en' or None (decide from the text)")
    half = _THIN_GROUPS.sub(",", text).translate(_SAME)
    half = _ABBREVIATION_DOT.sub(_without_dots, half)
    if ":\\" not in half:  # in a Windows path \n begins a name
        half = half.replace("\\n", "\n ")
    half = _MARKUP.sub(lambda m: " " * len(m[0]), half)
    half = _LIST_NUMBER.sub(
        lambda m: m[0][: m.end(1) - m.start()] + "、" + " " * (len(m[0]) - (m.end(1) - m.start()) - 1), half
    )
    spoken = Spoken()
    for sentence in _SENTENCE.finditer(half):
        if sentence[0]:
            mandarin = bool(_HANZI.search(sentence[0])) or not (language == "en" or _ENGLISH_WORD.search(sentence[0]))
            _say_sentence(sentence[0], sentence.start(), mandarin, spoken)
    return spoken


def _without_dots(match: re.Match[str]) -> str:
    """The same length without the dots that end no sentence; initials are capitals apart, so that they are spelt."""
    if match["doctor"]:
        return "PhD".upper().ljust(len(match[0]))
    if match["half"] or match["initials"] or match["short"]:
        return match[0].upper().replace(".", " ")
    return match[0][:-1] + " "


def _say_sentence(text: str, offset: int, mandarin: bool, spoken: Spoken) -> None:
    position = 0
    for match in _START.finditer(text):
        start, end = match.span()
        if start < position:
            continue
        spoken.copy(text[position:start], offset + position)
        position = start
        in_english = not mandarin or (
            _ENGLISH_BEFORE.search(text, max(0, start - 3), start) and _ENGLISH_AFTER.match(text, start)
        )
        said, end, kind = _say(text, start, bool(in_english))
        spoken.say(said, offset + start, offset + end)
        spoken.kinds.append((offset + start, offset + end, kind))
        position = end
    spoken.copy(text[position:], offset + position)


def _say(text: str, start: int, in_english: bool) -> tuple[str, int, str]:
    """The words for the expression that begins at a place, where it ends, and the rule that found it."""
    if address := _ADDRESS.match(text, start):
        said = address[0].rstrip(".,;:!?)")
        return _address(said, in_english), start + len(said), "address"
    for rule in english_expressions.RULES if in_english else expressions.RULES:
        if (match := rule.pattern.match(text, start)) and match.end() > start:
            words = rule.speak(match)
            if words is not None:
                return (f" {words} " if words.isascii() else words), match.end(), rule.kind
    char = text[start]
    if char.isascii() and char.isalpha():
        return "", start, ""
    if char in "(—–":
        return char, start + 1, ""
    if char == "/" and start and text[start - 1] in _PER | set(text[start + 1 : start + 2]) & _PER:
        return "每", start + 1, "sign"
    return (f" {_ENGLISH_SIGNS.get(char, '')} " if in_english else _SIGNS.get(char, " ")), start + 1, "sign"


def _address(text: str, in_english: bool) -> str:
    text = re.sub(r"^(?:https?|ftp)://", "", text)
    signs = _ENGLISH_ADDRESS_SIGNS if in_english else _ADDRESS_SIGNS
    parts = []
    for part in _WORDS_IN_ADDRESSES.findall(text):
        if part.isalpha() and part.isascii():
            parts.append(part if _SAID_AS_WORDS.fullmatch(part.lower()) else " ".join(part.upper()))
        elif part.isdigit() and part.isascii():
            parts.append(english_expressions.english_digits(part) if in_english else expressions.digits(part))
        else:
            parts.append(signs.get(part, ""))
    return " " + " ".join(parts) + " "
