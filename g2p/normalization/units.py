"""Units and currencies, and what they are called: read from `data/units.tsv` and `data/currencies.tsv`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_DATA = Path(__file__).parents[1] / "data"
_PREFIXES = {
    "k": ("千", "kilo"), "M": ("兆", "mega"), "G": ("吉", "giga"), "T": ("太", "tera"), "m": ("毫", "milli"),
    "μ": ("微", "micro"), "n": ("纳", "nano"), "p": ("皮", "pico"), "c": ("厘", "centi"), "d": ("分", "deci"),
    "h": ("百", "hecto"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unit:
    """What a symbol is called."""

    mandarin: str
    english: str
    """In the plural; empty: read as it stands."""
    two: str
    """What a bare 2 is before it in Mandarin, 两 or 二."""


def rows(name: str) -> list[list[str]]:
    """The lines of a table under `data`, without comments, cut at tabs.

    Args:
        name: File name, such as `units.tsv`.
    """
    lines = (_DATA / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def _units() -> dict[str, Unit]:
    named: dict[str, Unit] = {}
    prefixed: dict[str, Unit] = {}
    for symbol, mandarin, english, prefixes, two in rows("units.tsv"):
        named[symbol] = Unit(mandarin, english, two)
        # 平方 and 立方 come before the prefix: 平方千米.
        power = re.match("平方|立方|", mandarin)[0]  # type: ignore[index]
        english_power = re.match("(?:square |cubic )?", english)[0]  # type: ignore[index]
        for prefix in prefixes:
            chinese, latin = _PREFIXES[prefix]
            prefixed[prefix + symbol] = Unit(
                power + chinese + mandarin.removeprefix(power),
                english_power + latin + english.removeprefix(english_power),
                two,
            )
    return prefixed | named


UNITS = _units()
CURRENCIES = {sign: mandarin for sign, mandarin, _ in rows("currencies.tsv")}
ENGLISH_CURRENCIES = {sign: english for sign, _, english in rows("currencies.tsv")}
SERIES = frozenset(name for (name,) in rows("series.tsv"))
_SYMBOL = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
_GROUP = rf"/\((?:{_SYMBOL})(?:[·⋅](?:{_SYMBOL}|K|℃)){{1,2}}\)"
_DEGREES = {"K": Unit("开尔文", "kelvin", ""), "℃": Unit("摄氏度", "degree Celsius", "")}
"""Units only within a group: elsewhere 4K is a screen."""
SYMBOL = rf"(?:(?:{_SYMBOL})(?:{_GROUP}|(?:[·⋅/](?:{_SYMBOL})(?![A-Za-z])){{0,2}}))"
"""A pattern for a unit or a compound of units: `km/h`, `μmol/L`, `N·m`, `W/(m·K)`."""


def mandarin(symbol: str) -> str:
    """What a unit or a compound of units is called: `μmol/L` -> 微摩尔每升, `N·m` -> 牛米."""
    if symbol in UNITS:
        return UNITS[symbol].mandarin
    parts = re.split("([·⋅/])", re.sub("[()]", "", symbol))
    spoken = UNITS[parts[0]].mandarin
    for sign, part in zip(parts[1::2], parts[2::2], strict=True):
        spoken += ("每" if sign == "/" else "") + (UNITS.get(part) or _DEGREES[part]).mandarin
    return spoken


def english(symbol: str, value: str) -> str:
    """The same in English, in the singular after 1: `mg/L` -> milligrams per liter."""
    if symbol in UNITS:
        first, _, rest = (UNITS[symbol].english or symbol).partition(" ")
        if first in ("square", "cubic"):
            rest = _singular(rest) if value == "1" else rest
        elif value == "1":
            first = _singular(first)
        return f"{first} {rest}".strip()
    parts = re.split("([·⋅/])", re.sub("[()]", "", symbol))
    spoken = english(parts[0], value if parts[1] == "/" else "1")
    for sign, part in zip(parts[1::2], parts[2::2], strict=True):
        told = _DEGREES[part].english if part in _DEGREES else english(part, "1" if sign == "/" else value)
        spoken += (" per " if sign == "/" else " ") + told
    return spoken


def _singular(plural: str) -> str:
    irregular = {"feet": "foot", "henries": "henry", "hertz": "hertz", "lux": "lux", "gauss": "gauss", "inches": "inch"}
    return irregular.get(plural) or plural.removesuffix("s")
