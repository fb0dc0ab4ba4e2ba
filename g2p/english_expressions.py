"""Written expressions that English says differently; used where a sentence is English. The counterpart of `expressions`."""

from __future__ import annotations

import re

from g2p.expressions import Rule, compile_rules
from g2p.numbers import english, english_digits, english_ordinal, english_year, roman

_N = r"\d+(?:\.\d+)?"
_QUANTITY = rf"(?:\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|{_N})"
_MONTHS = (
    "January February March April May June July August September October November December Jan Feb Mar Apr Jun Jul "
    "Aug Sep Sept Oct Nov Dec"
).split()
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_FULL_MONTHS = _MONTHS[:12]
_CURRENCIES = {"$": "dollar", "£": "pound", "€": "euro", "¥": "yuan", "￥": "yuan"}
_UNITS = {
    "km/h": "kilometers per hour", "mph": "miles per hour", "m/s": "meters per second", "km": "kilometers",
    "cm": "centimeters", "mm": "millimeters",
    "m": "meters", "kg": "kilograms", "mg": "milligrams", "g": "grams", "lb": "pounds", "lbs": "pounds",
    "oz": "ounces", "ft": "feet", "L": "liters",
    "ml": "milliliters", "GB": "gigabytes", "MB": "megabytes", "KB": "kilobytes", "TB": "terabytes",
    "GHz": "gigahertz", "MHz": "megahertz",
    "kHz": "kilohertz", "Hz": "hertz", "kWh": "kilowatt hours", "kW": "kilowatts", "W": "watts", "V": "volts",
    "mAh": "milliamp hours",
    "ms": "milliseconds", "s": "seconds", "min": "minutes", "hrs": "hours", "h": "hours", "km²": "square kilometers",
    "m²": "square meters",
    "dB": "decibels", "px": "pixels", "Mbps": "megabits per second", "Gbps": "gigabits per second",
}  # fmt: skip
_UNIT = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_STREET = re.compile(r"[A-Z][a-z]+ $")
_DENOMINATORS = {"2": "half", "4": "quarter"}


def _singular(value: str, unit: str) -> str:
    first, _, rest = unit.partition(" ")
    return f"{first[:-1]} {rest}".strip() if value == "1" and first.endswith("s") else unit


def _year(number: str) -> str:
    return english_year(number) if len(number) == 4 and "1100" <= number <= "2099" else english(number)


def _money(match: re.Match[str]) -> str:
    name, amount, scale = _CURRENCIES[match["c"]], match["a"].replace(",", ""), match["m"]
    plural = "" if name == "yuan" else "s"
    if scale:
        return f"{english(amount)} {scale} {name}{plural}"
    whole, _, cents = amount.partition(".")
    spoken = f"{english(whole)} {name}{'' if whole == '1' else plural}"
    if len(cents) == 2 and int(cents) and name != "yuan":
        return f"{spoken} and {english(cents)} {'pence' if name == 'pound' else 'cent' if cents == '01' else 'cents'}"
    return f"{english(amount)} {name}{plural}" if cents and int(cents) else spoken


def _clock(match: re.Match[str]) -> str:
    hour, minute = english(match["h"]), match["m"]
    half = f" {' '.join(match['x'].replace('.', '').upper())}" if match["x"] else ""
    if match["s"]:
        return f"{hour} {'oh ' if minute[0] == '0' else ''}{english(minute)} and {english(match['s'])} seconds{half}"
    if minute == "00":
        return hour + (half or " o'clock" if int(match["h"]) <= 12 else " hundred")
    return f"{hour} {'oh ' if minute[0] == '0' else ''}{english(minute)}{half}"


def _fraction(match: re.Match[str]) -> str:
    above, below = english(match["a"]), _DENOMINATORS.get(match["b"]) or english_ordinal(match["b"])
    whole = f"{english(match['w'])} and " if match["w"] else ""
    plural = {"half": "halves"}.get(below, below + "s") if match["a"] != "1" else below
    return f"{whole}{above} {plural}"


def _date(year: str, month: str, day: str) -> str:
    return f"{_FULL_MONTHS[int(month) - 1]} {english_ordinal(day)} {_year(year)}"


def _month(name: str) -> str:
    return next(month for month in _FULL_MONTHS if month.startswith(name[:3]))


def _roman(match: re.Match[str]) -> str | None:
    value = roman(match["r"])
    return f"{match['w']} {english(str(value))}" if value else None


RULES: list[Rule] = compile_rules(
    (r"(?<!\d)(?P<y>[12]\d{3})([-/.])(?P<m>0?[1-9]|1[0-2])\2(?P<d>0?[1-9]|[12]\d|3[01])(?!\d)", lambda m: _date(m["y"], m["m"], m["d"])),
    (rf"\b(?P<m>{_MONTH})\.? (?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<y>\d{{4}}))?(?!\d|[:.]\d)",
     lambda m: f"{_month(m['m'])} {english_ordinal(m['d'])}" + (f" {_year(m['y'])}" if m["y"] else "")),
    (rf"(?P<d>\d{{1,2}})(?:st|nd|rd|th)? (?P<m>{_MONTH})\b(?: (?P<y>\d{{4}}))?",
     lambda m: f"{english_ordinal(m['d'])} of {_month(m['m'])}" + (f" {_year(m['y'])}" if m["y"] else "")),
    (r"(?<![\d:])(?P<h>[01]?\d|2[0-4]):(?P<m>[0-5]\d)(?::(?P<s>[0-5]\d))?(?:\s?(?P<x>[AaPp]\.?[Mm]\b\.?))?(?![\d:])", _clock),
    (r"(?P<h>1[0-2]|[1-9])\s?(?P<x>[AaPp]\.?[Mm]\b)", lambda m: f"{english(m['h'])} {' '.join(m['x'].replace('.', '').upper())}"),
    (r"(?<![\d-])(?:\+?1[- ])?(?:\(\d{3}\) ?|\d{3}-)?\d{3}-\d{4}(?!\d)", lambda m: english_digits(re.sub(r"\D", "", m[0]))),
    (rf"(?P<c>[$£€¥￥])\s?(?P<a>{_QUANTITY})(?:\s?(?P<m>thousand|million|billion|trillion))?", _money),
    (rf"(?P<a>[-−]?{_QUANTITY})\s?%", lambda m: _signed(m["a"]) + " percent"),
    (rf"(?P<a>[-−]?{_N})\s?(?:°\s?)(?P<u>[CF])\b", lambda m: f"{_signed(m['a'])} degrees {'Celsius' if m['u'] == 'C' else 'Fahrenheit'}"),
    (r"(?P<n>\d{1,9})(?:st|nd|rd|th)\b", lambda m: english_ordinal(m["n"])),
    (r"(?P<n>[12]\d\d0)['’]?s\b", lambda m: _decade(m["n"])),
    (r"(?:(?P<w>\d+) )?(?<![\d/])(?P<a>\d{1,2})/(?P<b>[2-9]|1\d|20)(?![\d/])", _fraction),
    (rf"(?P<a>{_QUANTITY})\s?(?P<u>{_UNIT})(?![A-Za-z/])", lambda m: f"{english(m['a'])} {_singular(m['a'], _UNITS[m['u']])}"),
    (r"(?<![\d.])[vV]?\d+(?:\.\d+){2,}(?![\d.])", lambda m: ("V " if m[0][0] in "vV" else "") + " point ".join(english_digits(p) for p in m[0].lstrip("vV").split("."))),
    (rf"(?P<a>{_QUANTITY})\s?[-–—]\s?(?P<b>{_QUANTITY})(?![\d-])", lambda m: f"{_year(m['a'])} to {_year(m['b'])}"),
    (r"\b(?P<w>War|Part|Chapter|Volume|Act|Phase|Type|Final Fantasy|Stage|Level|Book|Section) (?P<r>[IVX]+)\b", _roman),
    (r"\bSt\.?(?=\W|$)", lambda m: "street" if _STREET.search(m.string, max(0, m.start() - 20), m.start()) else "saint"),
    (r"(?:(?<=[\dA-Za-z)])|(?<=[\dA-Za-z)] ))\*(?=\s?[\dA-Za-z(])", lambda m: " times "),
    (r"#(?P<n>\d+)", lambda m: "number " + english(m["n"])),
    (r"\b[Nn][Oo]\. ?(?P<n>\d+)", lambda m: "number " + english(m["n"])),
    (rf"(?<![\w.])[-−](?P<a>{_QUANTITY})", lambda m: "minus " + english(m["a"])),
    (r"(?<=\d)\s?-\s?(?=\d)", lambda m: " minus "),
    (r"(?<![A-Za-z\d])(?P<l>[A-Za-z]+)-?(?P<n>\d+(?:\.\d+)?)(?![\d.]\d)(?=[^\w]|[A-Z]|$)", lambda m: f"{m['l']} {_label(m['n'])}"),
    (r"0\d+", lambda m: english_digits(m[0])),
    (r"(?<![\d.,])\d{4}(?![\d.,]\d|\d| (?:people|items|times|dollars|points|users|students|words|miles|meters|years))", lambda m: _year(m[0])),
    (_QUANTITY, lambda m: english(m[0])),
)  # fmt: skip


def _signed(number: str) -> str:
    return ("minus " if number[0] in "-−" else "") + english(number.lstrip("-−"))


def _decade(year: str) -> str:
    *head, last = english_year(year).split()
    return " ".join([*head, last[:-1] + "ies" if last.endswith("y") else last + "s"])


def _label(number: str) -> str:
    """A number after letters: GPT-4, A380."""
    return english_digits(number) if number.isdigit() and len(number) == 3 else _year(number)
