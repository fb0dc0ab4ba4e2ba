"""The tables of rules: each example is said as it states, by the rule it stands under."""

import pytest

from g2p import Lexicon, analyze
from g2p.normalization import english_expressions, expressions
from g2p.normalization.normalize import normalize
from g2p.normalization.rules import Rule

EXAMPLES = [
    pytest.param(rule, written, spoken, id=f"{rule.kind}: {written}")
    for rule in (*expressions.RULES, *english_expressions.RULES)
    for written, spoken in rule.examples
]


def say(text: str) -> str:
    """Hanzi as they are, English words apart, pauses as marks."""
    spoken, before = "", ""
    for token in analyze(text, Lexicon()).tokens:
        spoken += " " * (token.kind == before == "english") + token.text
        before = token.kind
    return spoken


@pytest.mark.parametrize(("rule", "written", "spoken"), EXAMPLES)
def test_an_example_is_said_by_its_rule(rule: Rule, written: str, spoken: str):
    assert say(written) == spoken
    assert rule.kind in [kind for _, _, kind in normalize(written).kinds]
