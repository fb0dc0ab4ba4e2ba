"""The custom dictionary: four forms, longest match, spans, live reload, layers, checks, inline markup."""

import json
import threading
from pathlib import Path

import pytest

from g2p import Lexicon, LexiconError, analyze, lexicon
from g2p.encode.kokoro import encode
from g2p.ipa import kokoro_letters
from g2p.lexicon import default_lexicon, markup, own_dictionary
from g2p.lexicon_file import check, parse_entry


def said(text: str, lexicon: Lexicon) -> str:
    return " ".join(token.reading or token.text for token in analyze(text, lexicon).tokens)


def write(path: Path, *lines: object) -> Path:
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines)
    )
    return path


@pytest.mark.parametrize(
    ("word", "phoneme", "text", "expected"),
    [
        ("乐高", "yuè gāo", "玩乐高", "wan2 yue4 gao1"),
        ("乐高", "yue4 gao1", "玩乐高", "wan2 yue4 gao1"),
        ("弦", "<|X|><|IAN1|>", "弦", "xian1"),
        ("鬓毛衰", "鬓毛<|C|><|UEI1|>", "鬓毛衰", "bin4 mao2 cui1"),
        ("绿", "lù", "绿", "lu4"),
        ("女", "nǚ", "女", "nv3"),
        ("GPT", "ji1 pi1 ti1", "用GPT写", "yong4 ji1 pi1 ti1 xie3"),
    ],
)
def test_pinyin_forms(word: str, phoneme: str, text: str, expected: str):
    assert said(text, Lexicon({word: phoneme})) == expected


def test_respelling_is_read_like_text_and_keeps_the_span():
    tokens = analyze("用Python写", Lexicon({"Python": "派森"})).tokens
    assert [(t.text, t.reading, t.start, t.end, t.source) for t in tokens[1:3]] == [
        ("派", "pai4", 1, 7, "dictionary"),
        ("森", "sen1", 1, 7, "dictionary"),
    ]


def test_a_respelling_may_be_english():
    assert said("打开nginx吧", Lexicon({"nginx": "engine x"})) == "da3 kai1 engine x ba5"


def test_longest_match_wins_and_substrings_match():
    lexicon = Lexicon({"长": "zhang3", "长城": "chang2 cheng1"})
    assert said("万里长城很长", lexicon) == "wan4 li3 chang2 cheng1 hen2 zhang3"


def test_latin_entries_match_whole_words_in_any_case():
    lexicon = Lexicon({"Go": "够"})
    assert said("用go写", lexicon) == "yong4 gou4 xie3"
    assert "gou4" not in said("Google good", lexicon)


def test_a_session_layer_lies_over_the_base():
    base = Lexicon({"乐高": "le4 gao4", "弦": "xian1"})
    layered = Lexicon({"乐高": "yue4 gao1"}, base=base)
    assert said("乐高，弦", layered) == "yue4 gao1 ， xian1"
    assert said("乐高", base) == "le4 gao4"


def test_dictionary_words_keep_sandhi_with_their_neighbours():
    assert said("买好玩", Lexicon({"好": "hǎo"})) == "mai2 hao3 wan2"


def test_a_changed_file_is_picked_up_without_a_restart(tmp_path: Path):
    path = write(tmp_path / "words.jsonl", {"word": "乐高", "phoneme": "lè gāo"})
    lexicon = Lexicon(path=path)
    assert said("乐高", lexicon) == "le4 gao1"
    write(path, {"word": "乐高", "phoneme": "yuè gāo yī"}, {"word": "乐高", "phoneme": "yuè gào"})
    assert settles(lexicon, "乐高", "yue4 gao4")
    assert [problem.line for problem in lexicon.problems] == [1]


def test_entries_survive_a_file_that_disappears_and_returns(tmp_path: Path):
    path = write(tmp_path / "words.jsonl", {"弦": "<|X|><|IAN1|>"})
    lexicon = Lexicon(path=path)
    path.unlink()
    assert said("弦", lexicon) == "xian1"
    write(path, {"弦": "<|X|><|IAN4|>"})
    assert settles(lexicon, "弦", "xian4")


def settles(lexicon: Lexicon, text: str, expected: str) -> bool:
    """Whether the text comes to be said as expected; each lookup may start a reload, whose thread is waited for."""
    for _ in range(20):
        if said(text, lexicon) == expected:
            return True
        for thread in threading.enumerate():
            if thread.name == "lexicon-reload":
                thread.join(10)
    return False


def test_check_names_line_problem_and_fix(tmp_path: Path):
    path = write(
        tmp_path / "words.jsonl",
        {"word": "乐高", "phoneme": "lè gāo"},
        "{not json}",
        {"word": "重庆", "phoneme": "chong2"},
        "",
        {"word": "重庆", "phoneme": "chong2 qing9"},
        {"word": "知乎"},
        {"word": "", "phoneme": "a1"},
        {"word": "知乎", "phoneme": ""},
        ["list"],
        {"word": "乐高", "phoneme": "yuè gāo"},
        {"弦": "<|X|><|IAN2|>"},
    )
    problems = check(path)
    assert [problem.line for problem in problems] == [2, 3, 5, 6, 7, 8, 9, 10]
    assert all(problem.problem and problem.fix for problem in problems)
    assert "2 characters but 1 syllables" in problems[1].problem
    assert "already defined in line 1" in problems[-1].problem


def test_bad_lines_are_skipped_and_good_ones_used(tmp_path: Path):
    path = tmp_path / "words.jsonl"
    path.write_bytes('\ufeff{"word": "乐高", "phoneme": "yuè gāo"}\n'.encode() + b"\xff\xfe\n{\n")
    lexicon = Lexicon(path=path)
    assert said("乐高", lexicon) == "yue4 gao1"
    assert [problem.line for problem in lexicon.problems] == [2, 3]


@pytest.mark.parametrize("line", ["[" * 100_000, '{"word": ' + "9" * 5000 + "}"], ids=["brackets", "digits"])
def test_a_line_that_json_itself_gives_up_on_is_skipped(tmp_path: Path, line: str):
    path = write(tmp_path / "words.jsonl", line, {"word": "乐高", "phoneme": "yuè gāo"})
    lexicon = Lexicon(path=path)
    assert said("乐高", lexicon) == "yue4 gao1"
    [problem] = lexicon.problems
    assert problem.line == 1
    assert len(str(problem)) < 500


def test_a_bad_override_is_refused_with_a_reason():
    with pytest.raises(LexiconError, match="2 characters but 3 syllables"):
        Lexicon({"乐高": "le4 gao1 de5"})
    with pytest.raises(LexiconError, match="qing9"):
        parse_entry("重庆", "chóng qing9")


def test_the_shipped_dictionary_is_good_and_is_the_default(monkeypatch: pytest.MonkeyPatch):
    folder = Path(__file__).parents[2] / "configs"
    monkeypatch.setenv("GLM_TTS_CONFIGS", str(folder))
    default_lexicon.cache_clear()
    assert check(folder / "G2P_replace_dict.jsonl") == []
    assert said("乐高和知乎用Python", default_lexicon()) == "le4 gao1 he2 zhi1 hu1 yong4 pai4 sen1"
    default_lexicon.cache_clear()


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A process that was started in an empty folder, from an installed package, by somebody new."""
    package = tmp_path / "site-packages" / "pipecat_glm_tts" / "configs"
    package.mkdir(parents=True)
    (package / "G2P_replace_dict.jsonl").write_text('{"word": "乐高", "phoneme": "lè gāo"}\n', encoding="utf-8")
    monkeypatch.setattr(lexicon, "_BESIDE", package)
    monkeypatch.setattr(lexicon, "user_folder", lambda: tmp_path / "home")
    monkeypatch.delenv("GLM_TTS_CONFIGS", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    default_lexicon.cache_clear()
    yield tmp_path
    default_lexicon.cache_clear()


@pytest.mark.parametrize("place", ["home", "work/configs", "chosen"])
def test_a_dictionary_saved_while_we_run_is_the_one_that_is_read(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, place: str
):
    assert said("乐高", default_lexicon()) == "le4 gao1"
    if place != "home":
        (elsewhere / place).mkdir()
    if place == "chosen":
        monkeypatch.setenv("GLM_TTS_CONFIGS", str(elsewhere / place))
    own = own_dictionary()
    assert own == elsewhere / place / "G2P_replace_dict.jsonl"
    own.parent.mkdir(exist_ok=True)
    own.write_text('{"word": "乐高", "phoneme": "yuè gāo"}\n', encoding="utf-8")
    default_lexicon().refresh()
    assert said("乐高", default_lexicon()) == "yue4 gao1"
    assert default_lexicon().path == own_dictionary() == own
    own.unlink()
    default_lexicon().refresh()
    assert said("乐高", default_lexicon()) == "le4 gao1", "what came with the package is back"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("重[zhòng]庆", "zhong4 qing4"),
        ("重[zhong4]庆", "zhong4 qing4"),
        ("玩乐高[yuè gāo]了", "wan2 yue4 gao1 le5"),
    ],
)
def test_inline_markup_forces_a_reading(text: str, expected: str):
    assert said(text, Lexicon()) == expected


def test_markup_wins_over_the_dictionary_and_says_so():
    token = analyze("乐[yuè]高", Lexicon({"乐高": "lè gāo"})).tokens[0]
    assert (token.reading, token.source, token.start, token.end) == ("yue4", "markup", 0, 1)


@pytest.mark.parametrize(
    "text", ["见文献[1]", "重[重要]庆", "重[]庆", "[chóng]庆", "重[chóng qìng jiā]庆", "他[api]说"]
)
def test_other_brackets_are_no_markup(text: str):
    assert markup(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("吃Metformin[/mɛtˈfɔɹmɪn/]吗", "chi1 mɛtˈfɔɹmɪn ma5"),
        ("玩LEGO[/lè gāo/]吧", "wan2 le4 gao1 ba5"),
        ("GIF[/dʒɪf/]和重[chóng]庆", "dʒɪf he2 chong2 qing4"),
    ],
)
def test_slashes_read_the_latin_word_before_them(text: str, expected: str):
    tokens = analyze(text, Lexicon({"gif": "动图"})).tokens
    assert " ".join(token.reading for token in tokens) == expected
    assert all(text[token.start : token.end].isalnum() for token in tokens)


@pytest.mark.parametrize("text", ["see src[/usr/bin/]", "x[/ /]", "a[1]", "重庆[/chóng qìng/]", "tone[/ma˥/]"])
def test_slashes_with_anything_else_are_no_markup(text: str):
    assert markup(text) == []


@pytest.mark.parametrize(
    ("ipa", "letters"),
    [
        ("mɛtˈfɔɹmɪn", "mɛtfˈɔɹmɪn"),
        ("/d͡ʒɪf/", "ʤˈɪf"),
        ("ˈnaɪki", "nˈIki"),
        ("ˈɡəʊst.tʰaʊn", "ɡˈOsttWn"),
        ("ˈbʌtn̩", "bˈʌtᵊn"),
        ("ʈʂʰʊŋ˧˥", None),
        ("", None),
        ("ˈˌ", None),
    ],
)
def test_ipa_becomes_kokoros_letters(ipa: str, letters: str | None):
    assert kokoro_letters(ipa) == letters
    if letters:
        assert encode(analyze(f"用Word[/{ipa.strip('/')}/]写")).text == f"jʊ↘ŋ {letters} ɕje↓"
