"""Written text to spoken text, every spoken character tied to the characters it came from."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from g2p import numbers


@dataclass(slots=True)
class Spoken:
    """Text as it is said; character i came from `[starts[i], ends[i])` of the original."""

    chars: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def say(self, text: str, start: int, end: int) -> None:
        """Append `text`, all of it standing for one original span."""
        self.chars.extend(text)
        self.starts.extend([start] * len(text))
        self.ends.extend([end] * len(text))


_NUMBER = r"\d+(?:\.\d+)?"
_RULES: list[tuple[str, Callable[[re.Match[str]], str]]] = [
    (r"(?<![\d.])1[3-9]\d{9}(?!\d)", lambda m: numbers.digits(m[0], yao=True)),
    (r"(?P<year>\d{4})(?=年)", lambda m: numbers.digits(m["year"])),
    (r"(?P<hour>\d{1,2})[:：](?P<minute>[0-5]\d)(?!\d)", lambda m: _clock(m["hour"], m["minute"])),
    (rf"(?P<percent>[-−]?{_NUMBER})[%％]", lambda m: "百分之" + _signed(m["percent"])),
    (rf"(?P<degrees>[-−]?{_NUMBER})\s*(?:℃|°C)", lambda m: _below_zero(m["degrees"]) + "摄氏度"),
    (r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", lambda m: numbers.decimal(m[0].replace(",", ""))),
    (_NUMBER, lambda m: numbers.decimal(m[0])),
]
_RULE = re.compile("|".join(f"(?P<rule{i}>{pattern})" for i, (pattern, _) in enumerate(_RULES)))


def normalize(text: str) -> Spoken:
    """Say numbers and symbols in words.

    Args:
        text: Anything; Chinese, English or both.
    """
    spoken = Spoken()
    position = 0
    for match in _RULE.finditer(text):
        for i in range(position, match.start()):
            spoken.say(text[i], i, i + 1)
        name = next(name for name, value in match.groupdict().items() if value is not None and name.startswith("rule"))
        spoken.say(_RULES[int(name[4:])][1](match), *match.span())
        position = match.end()
    for i in range(position, len(text)):
        spoken.say(text[i], i, i + 1)
    return spoken


def _signed(number: str) -> str:
    return ("负" if number[0] in "-−" else "") + numbers.decimal(number.lstrip("-−"))


def _below_zero(number: str) -> str:
    return ("零下" if number[0] in "-−" else "") + numbers.decimal(number.lstrip("-−"))


def _clock(hour: str, minute: str) -> str:
    spoken = numbers.quantity(str(int(hour))) + "点"
    if minute == "00":
        return spoken + "整"
    return spoken + ("零" if minute[0] == "0" else "") + numbers.cardinal(minute) + "分"
