"""English words, acronyms and names, alone and inside Chinese."""

import pytest

from g2p import Lexicon, analyze, english
from g2p.encode import kokoro

NOTHING_CUSTOM = Lexicon()


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("API", "A P I"),
        ("APIs", "A P I's"),
        ("NASA", "nasa"),
        ("NASA's", "nasa's"),
        ("ChatGPT", "chat G P T"),
        ("getUserName", "get User Name"),
        ("HTMLParser", "H T M L Parser"),
        ("iPhone", "I phone"),
        ("WiFi", "why fie"),
        ("Python", "Python"),
        ("don't", "don't"),
        ("don’t", "don't"),
        ("mp", "M P"),
        ("A", "A"),
        ("café", "café"),
    ],
)
def test_pieces(written: str, words: str):
    assert " ".join(part for part, _, _ in english.pieces(written)) == words


def test_pieces_lie_inside_the_word_and_keep_their_letters():
    assert english.pieces("APIs") == (("A", 0, 1), ("P", 1, 2), ("I's", 2, 4))


def test_letters_have_names_and_articles_do_not():
    assert english.phones(("A", "P", "I"))[0] == "ˈe^ɪ"
    assert english.phones(("A", "man"))[0] == "ɐ"


def test_every_word_has_phones_even_where_espeak_joins_words():
    phones = english.phones(("of", "the", "world"))
    assert len(phones) == 3
    assert all(phones)


def test_code_switching_inside_a_sentence():
    kinds = [(token.kind, token.text) for token in analyze("我用Python写API。", NOTHING_CUSTOM).tokens]
    assert kinds == [
        ("hanzi", "我"), ("hanzi", "用"), ("english", "Python"), ("hanzi", "写"),
        ("english", "A"), ("english", "P"), ("english", "I"), ("pause", "。"),
    ]  # fmt: skip


def test_numbers_follow_the_language_around_them():
    assert [token.text for token in analyze("他说 I have 3 apples 就走了", NOTHING_CUSTOM).tokens][4] == "three"
    assert "三" in [token.text for token in analyze("我有3个apple", NOTHING_CUSTOM).tokens]


def test_kokoro_writes_diphthongs_and_affricates_as_single_letters():
    assert kokoro.encode(analyze("joy", NOTHING_CUSTOM)).text == "ʤˈY"
    assert kokoro.encode(analyze("hello", NOTHING_CUSTOM)).text == "həlˈO"
