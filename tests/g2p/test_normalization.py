"""Written text to spoken text: 500 inputs, each with one agreed reading, in `normalization.tsv`."""

from pathlib import Path

import pytest

from g2p import Lexicon, analyze

CASES = [
    line.split("\t") for line in Path(__file__).with_name("normalization.tsv").read_text(encoding="utf-8").splitlines()
]
NOTHING_CUSTOM = Lexicon()


def say(text: str, language: str | None = None) -> str:
    """What is said: hanzi as they are, English words apart, pauses as marks, ¶ for a paragraph."""
    spoken, before = "", ""
    for token in analyze(text, NOTHING_CUSTOM, language=language).tokens:
        spoken += " " * (token.kind == before == "english") + token.text.replace("\n", "¶")
        before = token.kind
    return spoken


@pytest.mark.parametrize(("written", "spoken"), CASES, ids=[case[0] for case in CASES])
def test_is_said(written: str, spoken: str):
    assert say(written.replace("\\n", "\n")) == spoken


def test_there_are_enough_cases():
    assert len({written for written, _ in CASES}) >= 400


def test_every_number_keeps_the_span_it_came_from():
    text = "共3.5%的人在2024年付了$3.5亿"
    tokens = analyze(text, NOTHING_CUSTOM).tokens
    spans = {(token.start, token.end): "" for token in tokens}
    for token in tokens:
        spans[token.start, token.end] += token.text
    assert {text[start:end]: said for (start, end), said in spans.items() if len(said) > 1} == {
        "3.5%": "百分之三点五",
        "2024": "二零二四",
        "$3.5亿": "三点五亿美元",
    }


def test_spans_of_plain_text_are_one_character_each():
    text = "你好，世界！"
    assert [(token.start, token.end) for token in analyze(text, NOTHING_CUSTOM).tokens] == [
        (i, i + 1) for i in range(len(text))
    ]


@pytest.mark.parametrize(
    ("written", "mandarin", "english"),
    [
        ("2026", "两千零二十六", "twenty twenty six"),
        ("3:30", "三点三十分", "three thirty"),
        ("GLM 4.5", "G L M四点五", "G L M four point five"),
        ("50%", "百分之五十", "fifty percent"),
        ("我有100元。100.", "我有一百元。一百。", "我有一百元。one hundred。"),
        ("I have 3 apples.", "I have three apples。", "I have three apples。"),
    ],
)
def test_the_language_decides_where_the_sentence_does_not(written: str, mandarin: str, english: str):
    assert say(written) == say(written, "zh") == mandarin
    assert say(written, "en") == english


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="'xx'"):
        analyze("2026", language="xx")
