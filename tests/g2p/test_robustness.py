"""Any text at all: no crash, no hang, spans inside the text."""

import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g2p import Lexicon, analyze, readings
from g2p.encode import glm, kokoro

NOTHING_CUSTOM = Lexicon()
MIXED = st.text(
    alphabet=st.one_of(
        st.sampled_from("重庆行了一不儿的得3.5%-/:$℃()[]{}<>*#|~@ \n\t\u202e\u200b\u0000😀AaPp,，。！"), st.characters()
    ),
    max_size=80,
)


@settings(max_examples=300)
@given(MIXED)
def test_spans_lie_inside_the_text_in_order(text: str):
    pronunciation = analyze(text, NOTHING_CUSTOM)
    assert pronunciation.text == text
    position, previous = 0, (0, 0)
    for token in pronunciation.tokens:
        assert 0 <= token.start < token.end <= len(text)
        assert token.start >= position or (token.start, token.end) == previous
        position, previous = token.start, (token.start, token.end)
    words = [token.word for token in pronunciation.tokens]
    assert words == sorted(words)


@settings(max_examples=150)
@given(MIXED)
def test_everything_can_be_encoded(text: str):
    pronunciation = analyze(text, NOTHING_CUSTOM)
    encoded = kokoro.encode(pronunciation)
    assert len(encoded.text) == len(encoded.tokens)
    for policy in ("auto", "all", "off"):
        glm.encode(pronunciation, policy)


@settings(max_examples=150)
@given(MIXED)
def test_readings_match_the_characters(text: str):
    assert len(readings(text)) == len(text)


@settings(max_examples=40)
@given(
    st.text(max_size=40),
    st.dictionaries(st.sampled_from(["重", "重庆", "A", "行了", "😀"]), st.sampled_from(["派森", "hello", "了"])),
)
def test_respelling_anything_keeps_spans(text: str, entries: dict[str, str]):
    text += "".join(entries)
    for token in analyze(text, Lexicon(entries)).tokens:
        assert 0 <= token.start < token.end <= len(text)


@pytest.mark.parametrize(
    "piece",
    [
        "重庆的银行，",
        "1:",
        "1.",
        "12,345,",
        "[",
        "重[",
        "(",
        "*",
        "a",
        "A.",
        "😀",
        "\u202e",
        "http://a.",
        "a@b.",
        "<a",
        "1/2",
        "-",
        "##",
        "|",
        "儿",
        "一",
        "1 ",
        "1-",
        "110、",
        "2024、",
        "1月—",
        "138*",
        "6222 ",
        "1.1-",
        "80、",
        "x₁",
        "U.S.",
        "第1/",
        "3-0，",
        "カ",
        "の重",
        "差得",
    ],
)
def test_time_is_linear(piece: str):
    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        start = time.process_time()
        analyze(text, NOTHING_CUSTOM)
        return time.process_time() - start

    small = min(seconds(1_000) for _ in range(2))
    # Linear time is 8 times the small one, quadratic 64 times; a disturbed measurement is taken again.
    assert any(seconds(8_000) < 24 * small + 0.04 for _ in range(4))


def test_a_long_book_is_read_to_its_end():
    piece = "重庆的银行行长没有还钱，气温-3℃，3-5天后用Python写API；电话13812345678。\n" + "😀" * 120
    times = 200_000 // len(piece.encode())
    spoken = [token.text for token in analyze(piece, NOTHING_CUSTOM).tokens]
    pronunciation = analyze(piece * times, NOTHING_CUSTOM)
    assert [token.text for token in pronunciation.tokens] == spoken * times
    assert pronunciation.tokens[-1].end == len(piece) * (times - 1) + piece.index("\n") + 1


def test_importing_is_light():
    heavy = ("torch", "pipecat", "onnxruntime", "pypinyin", "jieba", "wetext", "loguru")
    code = f"import sys, g2p; print([name for name in {heavy} if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_threads_share_everything():
    texts = [
        "重庆的银行行长还没还钱。",
        "我用Python写API，花了3.5小时。",
        "花儿开了，小孩儿去玩儿。",
        "The price is $5.99.",
    ] * 5
    expected = [(analyze(text, NOTHING_CUSTOM), kokoro.encode(analyze(text, NOTHING_CUSTOM))) for text in texts]
    found: list[bool] = []

    def work() -> None:
        found.append(
            [(analyze(text, NOTHING_CUSTOM), kokoro.encode(analyze(text, NOTHING_CUSTOM))) for text in texts]
            == expected
        )

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4
