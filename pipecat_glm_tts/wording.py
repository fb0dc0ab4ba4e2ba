"""The language that messages are in, and the table of what they are in Chinese.

Code says what it has to say in English, `tr("there is no voice {name!r}", name=name)`, and `messages.tsv` beside this
module has the Chinese of every such sentence. What programs read and not people (answers of a protocol, log lines) is
in English only.
"""

from __future__ import annotations

import difflib
import functools
import locale
import os
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path

reader: ContextVar[str | None] = ContextVar("reader", default=None)
"""`zh` or `en` where somebody far away is spoken to, whose language is not this computer's: a browser."""
TABLE = Path(__file__).with_name("messages.tsv")


def in_chinese() -> bool:
    """Whether messages are to be in Chinese.

    The `reader` decides, else `GLM_TTS_LANG` (`zh` or `en`), else the user's locale (`LC_ALL`, `LC_MESSAGES`, `LANG`),
    else the system's.
    """
    if language := reader.get():
        return language == "zh"
    for variable in ("GLM_TTS_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(variable):
            return value.lower().startswith(("zh", "chinese"))
    return (locale.getlocale()[0] or "").lower().startswith(("zh", "chinese"))


def tr(message: str, /, **values: object) -> str:
    """A message in the user's language.

    Args:
        message: The English sentence, a format string.
        **values: What its fields hold.
    """
    return (chinese(message) if in_chinese() else message).format(**values)


def chinese(message: str) -> str:
    """The Chinese of an English format string; itself where the table lacks it."""
    return _table().get(message, message)


@functools.cache
def _table() -> dict[str, str]:
    rows = (line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines() if "\t" in line)
    return {english.replace(r"\n", "\n"): words.replace(r"\n", "\n") for english, words in rows}


def side(both: str) -> str:
    """The part in the user's language of a `中文 / English` description, as voices and presets have."""
    parts = both.split(" / ")
    return parts[0] if in_chinese() else parts[-1]


def nearest(given: str, known: Iterable[str]) -> str:
    """Words that point from a name that does not exist to the one that was probably meant; empty if none is near."""
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(given.casefold(), by_folded, 1, 0.5)
    return tr(" (did you mean {name}?)", name=by_folded[near[0]]) if near else ""
