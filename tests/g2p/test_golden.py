"""What the front end published with GLM-TTS says, and where ours differs on purpose.

`golden/spoken_text.jsonl` has its normalised texts (WeTextProcessing 1.0.3), `golden/syllables.jsonl` its syllables
(pypinyin 0.44 over jieba 0.42 words). Each case is either read alike or listed, with our reading and the reason, in the
`_differences` file beside it.
"""

import json
import re
from pathlib import Path

import pytest

from g2p import Lexicon, analyze, readings

GOLDEN = Path(__file__).with_name("golden")
NOTHING_CUSTOM = Lexicon()


def cases(name: str) -> list[tuple[str, object, dict]]:
    differences = {entry["text"]: entry for entry in lines(f"{name}_differences")}
    return [(case["text"], case["original"], differences.get(case["text"], {})) for case in lines(name)]


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (GOLDEN / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def words_only(text: str) -> str:
    """Capitals, spaces and punctuation are each front end's own."""
    return re.sub(r"[^\w']|_", "", text.lower())


@pytest.mark.parametrize(("text", "original", "difference"), cases("spoken_text"))
def test_says_what_the_original_says_or_knows_why_not(text: str, original: str, difference: dict):
    said = words_only("".join(t.text for t in analyze(text, NOTHING_CUSTOM).tokens if t.kind != "pause"))
    if difference:
        assert said == difference["ours"] != words_only(original)
    else:
        assert said == words_only(original)


@pytest.mark.parametrize(("text", "original", "difference"), cases("syllables"))
def test_reads_as_the_original_reads_or_knows_why_not(text: str, original: list[str | None], difference: dict):
    found = {}
    for i, (char, ours, theirs) in enumerate(zip(text, readings(text), original, strict=True)):
        # The original writes 一 and 不 now before, now after sandhi.
        alike = ours == theirs or (char in "一不" and ours and theirs and ours[:-1] == theirs[:-1])
        if theirs and not alike:
            found[f"{i} {char}"] = ours
    assert found == difference.get("ours", {})


@pytest.mark.parametrize("name", ["spoken_text", "syllables"])
def test_every_difference_belongs_to_a_case_and_has_a_reason(name: str):
    texts = {case["text"] for case in lines(name)}
    differences = lines(f"{name}_differences")
    assert {entry["text"] for entry in differences} <= texts
    assert all(entry["why"] for entry in differences)
