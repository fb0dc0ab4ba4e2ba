"""The language that messages are in."""

from __future__ import annotations

import difflib
import locale
import os
from collections.abc import Iterable


def in_chinese() -> bool:
    """Whether messages are to be in Chinese.

    `GLM_TTS_LANG` (`zh` or `en`) decides, else the user's locale (`LC_ALL`, `LC_MESSAGES`, `LANG`), else the system's.
    """
    for variable in ("GLM_TTS_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(variable):
            return value.lower().startswith(("zh", "chinese"))
    return (locale.getlocale()[0] or "").lower().startswith(("zh", "chinese"))


def tr(zh: str, en: str) -> str:
    """The one of two wordings that the user reads."""
    return zh if in_chinese() else en


def nearest(given: str, known: Iterable[str]) -> str:
    """Words that point from a name that does not exist to the one that was probably meant; empty if none is near."""
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(given.casefold(), by_folded, 1, 0.5)
    return tr(f"；是不是 {by_folded[near[0]]}？", f" (did you mean {by_folded[near[0]]}?)") if near else ""
