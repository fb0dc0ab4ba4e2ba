"""A rule of the tables in `expressions` and `english_expressions`: what is written, how it is said, and examples."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

Speak = Callable[[re.Match[str]], "str | None"]


@dataclass(frozen=True)
class Rule:
    """One kind of expression. Rules are tried in the order of their table; the first that applies wins."""

    kind: str
    written: str
    """A regular expression."""
    speak: Speak
    """The words for a match; None: it does not apply after all, the next rule is tried."""
    examples: tuple[tuple[str, str], ...]
    """What may be written and how it is said; every one is a test, of the words and of the rule that finds them."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Compiled when a text first needs it: all of them take a tenth of a second."""
        return re.compile(self.written)


def rule(kind: str, pattern: str, speak: Speak, *examples: str) -> Rule:
    """A rule with examples written as `5月1日-7日 → 五月一日到七日`."""
    pairs = tuple((written, said) for written, _, said in (example.partition(" → ") for example in examples))
    return Rule(kind, pattern, speak, pairs)
