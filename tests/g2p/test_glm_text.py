"""The text as GLM-TTS was trained on it: the published front end's, or a listed difference with its reason.

`golden/spoken_text.jsonl` has the published normalised texts. What is *said* differently is listed in
`spoken_text_differences.jsonl`; there only the marks can be compared. `glm_text_differences.jsonl` lists what is put
differently all the same: `ours` is the whole text, or its marks alone (words as w) where words differ too.
"""

import json
import re
from pathlib import Path

import pytest

from g2p import Lexicon, analyze
from g2p.encode.glm import encode

GOLDEN = Path(__file__).with_name("golden")
NOTHING_CUSTOM = Lexicon()


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (GOLDEN / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


PUBLISHED = {  # the file has bare numbers as well, which are no whole texts
    case["text"]: case["original"]
    for case in lines("spoken_text")
    if case["original"].endswith(("。", ".", "?")) and analyze(case["text"], NOTHING_CUSTOM)
}
SAID_OTHERWISE = {entry["text"] for entry in lines("spoken_text_differences")}
DIFFERENCES = {entry["text"]: entry for entry in lines("glm_text_differences")}


def marks(text: str) -> str:
    return re.sub(r"[^，。,.;:?]+", "w", text)


@pytest.mark.parametrize("text", PUBLISHED)
def test_writes_what_the_published_front_end_writes_or_knows_why_not(text: str):
    ours, published = encode(analyze(text, NOTHING_CUSTOM), "off"), PUBLISHED[text]
    assert not re.search(r"[一-鿿] | [一-鿿]|^ | $|  ", ours)
    if text in SAID_OTHERWISE and (bool(re.search("[一-鿿]", ours)) == bool(re.search("[一-鿿]", published))):
        ours, published = marks(ours), marks(published)
    elif text in SAID_OTHERWISE:
        return  # said in another language
    if text in DIFFERENCES:
        assert ours == DIFFERENCES[text]["ours"] != published
    else:
        assert ours == published


def test_every_difference_belongs_to_a_case_and_has_a_reason():
    assert set(DIFFERENCES) <= set(PUBLISHED)
    assert all(entry["why"] for entry in DIFFERENCES.values())
