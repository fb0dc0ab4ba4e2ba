"""Numbers as Mandarin says them."""

from __future__ import annotations

DIGITS = "零一二三四五六七八九"
_SMALL = ("", "十", "百", "千")
_LARGE = ("", "万", "亿", "万亿", "亿亿")


def digits(number: str, yao: bool = False) -> str:
    """Digit by digit: `2024` -> 二零二四. `yao` says 幺 for 1, as in telephone and room numbers."""
    spoken = "".join(DIGITS[int(d)] for d in number)
    return spoken.replace("一", "幺") if yao else spoken


def cardinal(number: str) -> str:
    """A quantity: `10086` -> 一万零八十六. Longer than 20 digits it is read digit by digit, as people do.

    Args:
        number: ASCII digits, leading zeros allowed.
    """
    number = number.lstrip("0") or "0"
    if len(number) > 4 * len(_LARGE):
        return digits(number)
    groups = [number[max(0, end - 4) : end] for end in range(len(number), 0, -4)]
    spoken = ""
    for power in range(len(groups) - 1, -1, -1):
        value = int(groups[power])
        if value == 0:
            continue
        if spoken and (value < 1000 or groups[power + 1].endswith("0")):
            spoken += "零"
        spoken += _group(value) + _LARGE[power]
    if not spoken:
        return "零"
    return spoken[1:] if spoken.startswith("一十") else spoken


def decimal(number: str) -> str:
    """`3.14` -> 三点一四; without a point like `cardinal`."""
    whole, _, fraction = number.partition(".")
    return cardinal(whole or "0") + (f"点{digits(fraction)}" if fraction else "")


def quantity(number: str) -> str:
    """`decimal`, with 两 where a measure word follows a bare 2."""
    return "两" if number == "2" else decimal(number)


def _group(value: int) -> str:
    """1 to 9999, inner zeros said once."""
    spoken, pending_zero = "", False
    for power in (3, 2, 1, 0):
        digit = value // 10**power % 10
        if digit:
            spoken += ("零" if pending_zero and spoken else "") + DIGITS[digit] + _SMALL[power]
        pending_zero = not digit if spoken else False
    return spoken
