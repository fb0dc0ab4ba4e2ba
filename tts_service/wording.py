"""The language that messages are in."""

from __future__ import annotations

import locale
import os


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
