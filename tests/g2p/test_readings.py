"""Which reading a hanzi has."""

import re
from pathlib import Path

import pytest

from g2p import Lexicon, analyze, explain, readings

CASES = [line.split("\t") for line in Path(__file__).with_name("readings.tsv").read_text(encoding="utf-8").splitlines()]

POLYPHONES = Path(__file__).with_name("polyphones.tsv").read_text(encoding="utf-8").splitlines()
"""Sentences, the syllable to check in brackets behind its hanzi: `很高兴为[wei4]您服务`."""


@pytest.mark.parametrize("marked", POLYPHONES)
def test_everyday_polyphones(marked: str):
    found = readings(re.sub(r"\[.*?\]", "", marked))
    wanted = [match[1] for match in re.finditer(r"[^\]](?:\[(.*?)\])?", re.sub(r"(?<=\])(?=.)", "", marked))]
    assert [said for said, want in zip(found, wanted, strict=True) if want] == [want for want in wanted if want]


def test_pairs_of_readings_in_everyday_phrases():
    wrong = []
    for marked in Path(__file__).with_name("minimal_pairs.tsv").read_text(encoding="utf-8").splitlines():
        parts = re.findall(r"([^\[])(?:\[(.*?)\])?", marked)
        found = readings("".join(char for char, _ in parts))
        if any(want and said != want for said, (_, want) in zip(found, parts, strict=True)):
            wrong.append(marked)
    assert wrong == []


def test_a_word_that_is_stated_wins_over_a_rule_for_its_character():
    assert readings("方庄小区")[-1] == "qu1"  # no surname
    assert readings("谢了解放军叔叔")[2] == "jie3"
    assert readings("帮助老百姓解决困难")[5] == "jie3"
    assert readings("难得有人来")[1] == "de2"
    assert readings("为期两天")[0] == "wei2"
    assert readings("由熊教授任主任")[4] == "ren4"
    assert readings("找任主任")[1] == "ren2"
    assert readings("调解纠纷")[0] == "tiao2"  # said by a short edited word in a long unedited one


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[case[0] for case in CASES])
def test_polyphones_surnames_places_and_classics(text: str, expected: str):
    assert readings(text) == expected.split()


def test_one_entry_per_character_and_none_for_all_but_hanzi():
    assert readings("女A，3绿😀\n") == ["nv3", None, None, None, "lv4", None, None]


def test_unknown_hanzi_have_no_reading_and_do_not_disturb_the_rest():
    assert readings("\U0003fffd好") == [None, "hao3"]
    assert [token.reading for token in analyze("\U0003fffd好").tokens] == ["", "hao3"]


def test_long_texts_are_read_like_short_ones():
    sentence = "重庆的银行行长还没还钱，"
    assert readings(sentence * 40) == readings(sentence) * 40


def test_the_reason_is_told():
    told = {entry["text"]: entry for entry in explain("乐高在重[zhòng]庆的弦外行", None)}
    assert told["乐"]["source"] == "dictionary"
    assert told["重"]["source"] == "markup"
    assert told["重"]["reading"] == "zhong4"
    assert {"zhong4", "chong2"} <= set(told["重"]["candidates"])
    sources = {"markup", "dictionary", "word", "rule", "phrase", "model", "default"}
    assert {entry["source"] for entry in told.values()} <= sources


@pytest.mark.parametrize(
    ("text", "certain"),
    [("银行", "银行"), ("重[zhòng]庆", "重"), ("他还了书", ""), ("乐高很重", "乐高")],
)
def test_a_reading_is_certain_where_it_is_asked_for_or_a_word_has_no_other(text: str, certain: str):
    polyphones = [
        token for token in analyze(text, Lexicon({"乐高": "le4 gao1"})).tokens if token.text in "银行重乐还高"
    ]
    assert "".join(token.text for token in polyphones if token.certain and token.text != "银") == certain.replace(
        "银", ""
    )
