"""Long texts are spoken in pieces: the first is short, and no word is torn."""

import pytest

from g2p import analyze
from g2p.encode.kokoro import encode
from tts_service.kokoro.symbols import LONGEST_FIRST_PIECE, LONGEST_OPENING, LONGEST_PIECE, pieces

UNBROKEN = {
    "zh": "今天下午我们大家一起去公园里面散步看风景并且拍照片然后再去湖边的茶馆里坐一会儿喝一杯龙井茶",
    "en": "turn left at the next corner and walk two blocks and then go on until you reach the river near the old mill",
}


def spoken(text, opening=True):
    return list(pieces(encode(analyze(text)), opening=opening))


@pytest.mark.parametrize("text", UNBROKEN.values(), ids=UNBROKEN)
def test_text_without_punctuation_opens_with_a_few_whole_words(text):
    symbols = encode(analyze(text)).text
    first, *rest = spoken(text)
    assert LONGEST_FIRST_PIECE / 2 < len(first.symbols) <= LONGEST_OPENING
    assert symbols[len(first.symbols)] == " "
    assert rest
    assert "".join(piece.symbols.replace(" ", "") for piece in [first, *rest]) == symbols.replace(" ", "")


@pytest.mark.parametrize("text", UNBROKEN.values(), ids=UNBROKEN)
def test_nobody_waits_in_silence_for_a_later_segment_and_it_stays_whole(text):
    assert len(spoken(text[:35], opening=False)) == 1


def test_the_opening_ends_at_a_mark_where_there_is_one():
    first, _ = spoken("今天下午，我们大家一起去公园里面散步看风景，并且拍照片，再去湖边的茶馆坐一会儿。")
    assert first.mark == ","
    assert len(first.symbols) <= LONGEST_FIRST_PIECE
    clause = "我们大家一起去公园里面散步看风景，"
    assert LONGEST_FIRST_PIECE < len(encode(analyze(clause)).text) <= LONGEST_OPENING
    first, *_ = spoken(clause + UNBROKEN["zh"])
    assert first.mark == ","


def test_a_single_word_beyond_all_bounds_is_cut_somewhere():
    longest = max(len(piece.symbols) for piece in spoken("a" * 700))
    assert longest <= LONGEST_PIECE


def test_owners_follow_their_symbols():
    symbols = encode(analyze(UNBROKEN["zh"]))
    owners = [owner for piece in spoken(UNBROKEN["zh"]) for owner in piece.owners]
    assert owners == sorted(owners)
    assert set(owners) == set(symbols.tokens)
