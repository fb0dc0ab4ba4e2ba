"""Numbers in words, Mandarin and English."""

from __future__ import annotations

DIGITS = "零一二三四五六七八九"
_POWERS = ("", "十", "百", "千")
_GROUPS = ("", "万", "亿", "万亿", "亿亿")

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_THOUSANDS = ("", "thousand", "million", "billion", "trillion", "quadrillion")
_IRREGULAR_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip


def digits(number: str, yao: bool = False) -> str:
    """Digit by digit: `2024` -> 二零二四. `yao` says 幺 for 1, as in telephone and room numbers."""
    spoken = "".join(DIGITS[int(d)] for d in number)
    return spoken.replace("一", "幺") if yao else spoken


def cardinal(number: str) -> str:
    """A quantity: `10086` -> 一万零八十六, `2000` -> 两千. More than 20 digits are read one by one, as people do.

    Args:
        number: Digits, leading zeros allowed.
    """
    number = number.lstrip("0") or "0"
    if len(number) > 4 * len(_GROUPS):
        return digits(number)
    groups = [number[max(0, end - 4) : end] for end in range(len(number), 0, -4)]
    spoken = ""
    for power in range(len(groups) - 1, -1, -1):
        value = int(groups[power])
        if value == 0:
            continue
        if spoken and (value < 1000 or int(groups[power + 1]) % 10 == 0):
            spoken += "零"
        spoken += ("两" if value == 2 and power else _group(value)) + _GROUPS[power]
    if not spoken:
        return "零"
    return spoken[1:] if spoken.startswith("一十") else spoken


def decimal(number: str) -> str:
    """`3.14` -> 三点一四; without a point like `cardinal`."""
    whole, _, fraction = number.partition(".")
    return cardinal(whole) + (f"点{digits(fraction)}" if fraction else "")


def _group(value: int) -> str:
    """1 to 9999, inner zeros said once."""
    spoken, pending_zero = "", False
    for power in (3, 2, 1, 0):
        digit = value // 10**power % 10
        if digit:
            spoken += "零" if pending_zero else ""
            spoken += ("两" if digit == 2 and power == 3 else DIGITS[digit]) + _POWERS[power]
        pending_zero = not digit and bool(spoken)
    return spoken


def english(number: str) -> str:
    """A quantity in English: `1,234.5` -> one thousand two hundred thirty four point five.

    Args:
        number: Digits, perhaps with separators and a decimal point. More than 18 digits are read one by one.
    """
    whole, _, fraction = number.replace(",", "").partition(".")
    whole = whole.lstrip("0") or "0"
    if len(whole) > 18:
        spoken = english_digits(whole)
    else:
        groups = [int(whole[max(0, end - 3) : end]) for end in range(len(whole), 0, -3)]
        parts = [f"{_hundreds(v)} {_THOUSANDS[p]}".strip() for p, v in enumerate(groups) if v]
        spoken = " ".join(reversed(parts)) or "zero"
    return spoken + (f" point {english_digits(fraction)}" if fraction else "")


def english_digits(number: str) -> str:
    """Digit by digit."""
    return " ".join(_UNITS[int(d)] for d in number)


def english_ordinal(number: str) -> str:
    """`21` -> twenty first."""
    *head, last = english(number).split()
    if last in _IRREGULAR_ORDINALS:
        last = _IRREGULAR_ORDINALS[last]
    else:
        last = last[:-1] + "ieth" if last.endswith("y") else last + "th"
    return " ".join([*head, last])


def english_year(number: str) -> str:
    """Four digits as a year: `1999` -> nineteen ninety nine, `2008` -> two thousand eight."""
    century, rest = int(number[:2]), int(number[2:])
    if century % 10 == 0 and rest < 10:
        return english(number)
    if rest == 0:
        return f"{_hundreds(century)} hundred"
    return f"{_hundreds(century)} {'oh ' if rest < 10 else ''}{_hundreds(rest)}"


def _hundreds(value: int) -> str:
    """1 to 999."""
    hundreds, rest = divmod(value, 100)
    parts = [f"{_UNITS[hundreds]} hundred"] if hundreds else []
    if rest >= 20:
        parts.append(_TENS[rest // 10] + (f" {_UNITS[rest % 10]}" if rest % 10 else ""))
    elif rest:
        parts.append(_UNITS[rest])
    return " ".join(parts)


def roman(numeral: str) -> int | None:
    """`XIV` -> 14; None when it is not a well-formed numeral below 100."""
    tens = next((n for n, t in reversed(list(enumerate(_ROMAN_TENS))) if numeral.startswith(t)), 0)
    rest = numeral[len(_ROMAN_TENS[tens]) :]
    return 10 * tens + _ROMAN_UNITS.index(rest) if rest in _ROMAN_UNITS and numeral else None


_ROMAN_TENS = ("", "X", "XX", "XXX", "XL", "L", "LX", "LXX", "LXXX", "XC")
_ROMAN_UNITS = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
