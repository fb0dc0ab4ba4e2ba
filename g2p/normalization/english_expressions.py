"""Written expressions that English says differently; used where a sentence is English. The counterpart of `expressions`."""

from __future__ import annotations

import re

from g2p.normalization.kana import KANA, romaji
from g2p.normalization.numbers import english, english_digits, english_ordinal, english_year, roman
from g2p.normalization.rules import Rule, rule
from g2p.normalization.units import ENGLISH_CURRENCIES, SYMBOL
from g2p.normalization.units import english as unit_name

_N = r"\d+(?:\.\d+)?"
_QUANTITY = rf"(?:\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|{_N})"
_MONTHS = (
    "January February March April May June July August September October November December Jan Feb Mar Apr Jun Jul "
    "Aug Sep Sept Oct Nov Dec"
).split()
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_FULL_MONTHS = _MONTHS[:12]
_SIGN = "|".join(sorted(map(re.escape, ENGLISH_CURRENCIES), key=len, reverse=True))
_SCALES = {"K": "thousand", "k": "thousand", "M": "million", "B": "billion", "T": "trillion"}
_SCALE = "thousand|million|billion|trillion"
_HUNDRED_POINTS = "people|items|times|dollars|points|users|students|words|miles|meters|years"
_REGNAL = (
    "Henry|Louis|George|Charles|Edward|Elizabeth|Richard|James|William|Philip|Napoleon|Pius|Paul|Benedict|Leo|Frederick|"
    "Nicholas|Peter|Alexander|Ivan|Catherine|Gustav|Christian|Felipe|Carlos|Ramses|Ptolemy|Francis|Ferdinand|Otto|"
    "Wilhelm|Mary|Emmanuel|Umberto|John|Clement|Gregory|Innocent|Harald|Margrethe|Mehmed|Murad|Selim|Robert"
)
_STREET = re.compile(r"(?<!\w)(?!(?:In|At|The|To|From|On|Near|And|Of|By|Visit|See) $)[A-Z][\w'’]+ $")
_DENOMINATORS = {"2": "half", "4": "quarter"}


def _year(number: str) -> str:
    return english_year(number) if len(number) == 4 and "1100" <= number <= "2099" else english(number)


def _money(match: re.Match[str]) -> str:
    name, amount, scale = (
        ENGLISH_CURRENCIES[match["c"]],
        match["a"].replace(",", ""),
        match["m"] or _SCALES.get(match["k"]),
    )
    if scale:
        return f"{english(amount)} {scale} {name}"
    whole, _, cents = amount.partition(".")
    if len(cents) == 2 and int(cents) and name in ("dollars", "pounds", "euros"):
        small = "pence" if name == "pounds" else "cent" if cents == "01" else "cents"
        return f"{english(whole)} {name.removesuffix('s') if whole == '1' else name} and {english(cents)} {small}"
    spoken = english(amount) if cents and int(cents) else english(whole)
    return f"{spoken} {name.removesuffix('s') if spoken == 'one' else name}"


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


RULES: tuple[Rule, ...] = (
    rule("abbreviation", "e\\.g[. ]", lambda m: "for example", "Fruit, e.g. apples → Fruit，for example apples"),
    rule("abbreviation", "i\\.e[. ]", lambda m: "that is", "Noon, i.e. twelve → Noon，that is twelve"),
    rule("kana", f"[{KANA}]{{1,60}}", lambda m: romaji(m[0]) or None, "They sang カラオケ together → They sang karaoke together"),
    rule("date", r"(?<!\d)(?P<y>[12]\d{3})([-/.])(?P<m>0?[1-9]|1[0-2])\2(?P<d>0?[1-9]|[12]\d|3[01])(?!\d)", lambda m: _date(m["y"], m["m"], m["d"]),
         "Due 2024-05-01 here → Due May first twenty twenty four here"),
    rule("date", rf"\b(?P<m>{_MONTH})\.? (?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<y>\d{{4}}))?(?!\d|[:.]\d)", lambda m: f"{_month(m['m'])} {english_ordinal(m['d'])}" + (f" {_year(m['y'])}" if m["y"] else ""),
         "On May 5, 2024 → On May fifth twenty twenty four"),
    rule("date", rf"(?P<d>\d{{1,2}})(?:st|nd|rd|th)? (?P<m>{_MONTH})\b(?: (?P<y>\d{{4}}))?", lambda m: f"{english_ordinal(m['d'])} of {_month(m['m'])}" + (f" {_year(m['y'])}" if m["y"] else ""),
         "On 5 May 1999 we met → On fifth of May nineteen ninety nine we met"),
    rule("time", r"(?<![\d:])(?P<h>[01]?\d|2[0-4]):(?P<m>[0-5]\d)(?::(?P<s>[0-5]\d))?(?:\s?(?P<x>[AaPp]\.?[Mm]\b\.?))?(?![\d:])", _clock, "It's 10:30 am. → It's ten thirty A M"),
    rule("time", r"(?P<h>1[0-2]|[1-9])\s?(?P<x>[AaPp]\.?\s?[Mm]\b\.?)", lambda m: f"{english(m['h'])} {' '.join(m['x'].replace('.', '').replace(' ', '').upper())}", "Open 9 a.m. to 5 p.m. daily → Open nine A M to five P M daily"),
    rule("telephone", r"(?<![\d-])(?:(?:\+?1[- ])?(?:\(\d{3}\) ?|\d{3}-)?\d{3}-\d{4}|\d{3}-\d{4}-\d{4}|\+\d{1,3}(?:[- ]\(?\d{1,5}\)?){2,5})(?![\d-])", lambda m: english_digits(re.sub(r"\D", "", m[0])),
         "Call 555-1234 now → Call five five five one two three four now", "Call 135-4567-8900 now → Call one three five four five six seven eight nine zero zero now"),
    rule("amount", rf"(?P<c>{_SIGN})\s?(?P<a>{_QUANTITY})(?:\s?(?P<m>{_SCALE})|(?P<k>[KMBTk])(?![A-Za-z]))?", _money,
         "It costs $5.99 here → It costs five dollars and ninety nine cents here", "Worth $3.5 million now → Worth three point five million dollars now", "Worth $5M now → Worth five million dollars now"),
    rule("percent", rf"(?P<a>[-−]?{_QUANTITY})\s?%", lambda m: _signed(m["a"]) + " percent", "50% of people → fifty percent of people"),
    rule("temperature", rf"(?P<a>[-−]?{_N})\s?(?:°\s?)(?P<u>[CF])\b", lambda m: f"{_signed(m['a'])} degrees {'Celsius' if m['u'] == 'C' else 'Fahrenheit'}", "20°C outside → twenty degrees Celsius outside"),
    rule("ordinal", r"(?P<n>\d{1,9})(?:st|nd|rd|th)\b", lambda m: english_ordinal(m["n"]), "The 21st century → The twenty first century"),
    rule("decade", r"(?P<n>[12]\d\d0)['’]?s\b", lambda m: _decade(m["n"]), "In the 1990s → In the nineteen nineties"),
    rule("round the clock", r"24/7(?!\d|/)", lambda m: "twenty four seven", "Open 24/7 here → Open twenty four seven here"),
    rule("fraction", r"(?:(?P<w>\d+) )?(?<![\d/])(?P<a>\d{1,2})/(?P<b>[2-9]|1\d|20)(?![\d/])", _fraction, "1/2 of it → one half of it"),
    rule("measure", rf"(?P<a>{_QUANTITY})\s?(?P<u>{SYMBOL})(?![A-Za-z/])", lambda m: f"{english(m['a'])} {unit_name(m['u'], m['a'])}", "He ran 3.5 km. → He ran three point five kilometers。", "Add 5 mg/L now → Add five milligrams per liter now"),
    rule("version", r"(?<![\d.])[vV]?\d+(?:\.\d+){2,}(?![\d.])", lambda m: ("V " if m[0][0] in "vV" else "") + " point ".join(english_digits(p) for p in m[0].lstrip("vV").split(".")), "Get v1.2.3 now → Get V one point two point three now"),
    rule("range", rf"(?P<a>{_QUANTITY})\s?[-–—]\s?(?P<b>{_QUANTITY})(?![\d-])", lambda m: f"{_year(m['a'])} to {_year(m['b'])}", "3-5 days → three to five days"),
    rule("Roman numeral of a ruler", rf"\b(?P<w>{_REGNAL}) (?P<r>[IVX]+)\b(?!\.)", lambda m: f"{m['w']} the {english_ordinal(str(value))}" if (value := roman(m["r"])) else None, "Henry VIII was king → Henry the eighth was king"),
    rule("Roman numeral", r"\b(?P<w>War|Part|Chapter|Volume|Act|Phase|Type|Final Fantasy|Stage|Level|Book|Section|[A-Z][a-z]+(?= [IVX]{2})) (?P<r>[IVX]+)\b", _roman, "World War II → World War two"),
    rule("saint or street", r"\bSt\b ?", lambda m: "street" if _STREET.search(m.string, max(0, m.start() - 20), m.start()) else "saint", "St. John's St. → saint John's street。", "He lives on Main St. → He lives on Main street。"),
    rule("mountain", r"\bMt\b ?(?=\s?[A-Z])", lambda m: "mount", "We saw Mt. Fuji → We saw mount Fuji"),
    rule("name of two words", r"(?i:VS)(?= Code(?![A-Za-z]))", lambda m: "V S", "We use VS Code here → We use V S Code here"),
    rule("programming language", r"C\+\+", lambda m: "C plus plus", "I write C++ and C# → I write C plus plus and C sharp"),
    rule("programming language", r"[CF]#", lambda m: f"{m[0][0]} sharp", "We use F# here → We use F sharp here"),
    rule("programming language", r"\.NET\b", lambda m: "dot net", "We use .NET here → We use dot net here"),
    rule("times", r"(?:(?<=[\dA-Za-z)])|(?<=[\dA-Za-z)] ))\*(?=\s?[\dA-Za-z(])", lambda m: " times ", "2 * 3 is six → two times three is six"),
    rule("number sign", r"#(?P<n>\d+)", lambda m: "number " + english(m["n"]), "We are #1 here → We are number one here"),
    rule("number sign", r"\b[Nn][Oo][. ] ?(?P<n>\d+)", lambda m: "number " + english(m["n"]), "See No. 5 first → See number five first"),
    rule("minus", rf"(?<![\w.])[-−](?P<a>{_QUANTITY})", lambda m: "minus " + english(m["a"]), "It is -5 outside → It is minus five outside"),
    rule("minus", r"(?<=\d)\s?-\s?(?=\d)", lambda m: " minus "),
    rule("number behind letters", r"(?<![A-Za-z\d])(?P<l>[A-Za-z]+)-?(?P<n>\d+(?:\.\d+)?)(?![\d.]\d)(?=[^\w]|[A-Z]|$)", lambda m: f"{m['l']} {_label(m['n'])}", "The A380 flies → The A three eight zero flies"),
    rule("leading zero", r"0\d+", lambda m: english_digits(m[0]), "Agent 007 came → Agent zero zero seven came"),
    rule("year", rf"(?<![\d.,])\d{{4}}(?![\d.,]\d|\d| (?:{_HUNDRED_POINTS}))", lambda m: _year(m[0]), "The year 2008 → The year two thousand eight"),
    rule("number", _QUANTITY, lambda m: english(m[0]), "I have 3 apples. → I have three apples。"),
)  # fmt: skip


def _signed(number: str) -> str:
    return ("minus " if number[0] in "-−" else "") + english(number.lstrip("-−"))


def _decade(year: str) -> str:
    *head, last = english_year(year).split()
    return " ".join([*head, last[:-1] + "ies" if last.endswith("y") else last + "s"])


def _label(number: str) -> str:
    """A number after letters: GPT-4, A380."""
    return english_digits(number) if number.isdigit() and len(number) == 3 else _year(number)
