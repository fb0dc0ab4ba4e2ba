import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.engine import Phrasing
from tts_service.speech.segmenter import Segmenter

STORY = "从前有一座山，山上有一座庙，庙里有一个老和尚在讲故事。他讲什么呢？他讲：从前有一座山，山上有一座庙。"


def spoken(deltas, hurry=False, entries=None):
    segmenter = Segmenter(entries)
    segments = []
    for delta in deltas:
        segmenter.feed(delta)
        while (segment := segmenter.take(hurry=hurry)) is not None:
            segments.append(segment)
    segmenter.end()
    while (segment := segmenter.take(hurry=hurry)) is not None:
        segments.append(segment)
    assert segmenter.exhausted
    return [segment.text for segment in segments]


def test_the_first_segment_is_the_first_clause_and_later_ones_are_sentences():
    assert spoken(STORY) == [
        "从前有一座山，",
        "山上有一座庙，庙里有一个老和尚在讲故事。",
        "他讲什么呢？他讲：从前有一座山，山上有一座庙。",
    ]


def test_about_to_fall_silent_it_gives_clauses():
    assert "山上有一座庙，" in spoken(STORY, hurry=True)


def test_a_full_stop_needs_no_look_ahead():
    segmenter = Segmenter()
    segmenter.feed("你好。")
    assert segmenter.take().text == "你好。"


def test_a_one_syllable_clause_waits_for_company():
    segmenter = Segmenter()
    segmenter.feed("嗯，")
    assert segmenter.take() is None
    segmenter.feed("我知道了。")
    assert segmenter.take().text == "嗯，我知道了。"


def test_a_stalled_writer_is_flushed_at_a_safe_place():
    segmenter = Segmenter()
    segmenter.feed("今天的天气 wonder")
    assert segmenter.take(hurry=True) is None
    assert segmenter.take(stalled=True).text == "今天的天气 "
    segmenter.feed("ful")
    segmenter.end()
    assert segmenter.take().text == "wonderful"


@pytest.mark.parametrize(
    "whole",
    [
        "3.14159",
        "12,345,678",
        "https://example.com/a?b=1&c=2.html",
        "someone@example.com",
        "Dr. Smith",
        "U.S. dollars",
        "v2.13.0",
        "12:30",
        "👨‍👩‍👧",
        "🇨🇳",
        "重[chóng]庆",
        "乐高[lè gāo]",
        "wonderful",
    ],
)
def test_never_cuts_inside(whole):
    text = f"我们今天要说的第一件事就是{whole}，它非常重要。第二件事情也是{whole}。"
    for deltas in (text, [text]):
        segments = spoken(deltas, hurry=True)
        assert "".join(segments) == text
        assert sum(whole in segment for segment in segments) == 2, segments


def test_never_cuts_inside_a_dictionary_entry():
    entry = "好，再见"

    def entries(text):
        at = text.find(entry)
        return [(at, at + len(entry))] if at >= 0 else []

    assert spoken([f"他说一切都{entry}吧，我们走。"], entries=entries)[0] == f"他说一切都{entry}吧，"


def test_text_without_any_punctuation_is_cut_at_a_bounded_length():
    segments = spoken(["重" * 500])
    assert "".join(segments) == "重" * 500
    assert max(map(len, segments)) <= Phrasing().longest


def test_without_punctuation_no_word_is_torn():
    text = "今天下午我们大家一起去公园里面散步看风景并且拍照片然后再去湖边的茶馆坐一会儿"
    words = [
        "今天",
        "下午",
        "我们",
        "大家",
        "一起",
        "公园",
        "里面",
        "散步",
        "风景",
        "并且",
        "照片",
        "然后",
        "湖边",
        "茶馆",
    ]

    def spans(window):
        return [(at, at + len(word)) for word in words if (at := window.find(word)) >= 0]

    for shift in range(4):
        segmenter = Segmenter(words=spans)
        segmenter.feed("啊" * shift + text)
        first = segmenter.take()
        end = first.start + len(first.text) - shift
        assert 15 <= end + shift <= 24
        assert not any(start < end < stop for start, stop in spans(text))


def test_positions_count_from_all_the_text():
    segmenter = Segmenter()
    segmenter.feed(STORY * 3)
    segmenter.end()
    at = 0
    while (segment := segmenter.take()) is not None:
        assert segment.start == at
        at += len(segment.text)
    assert at == len(STORY) * 3


def test_feeding_after_the_end_is_an_error():
    segmenter = Segmenter()
    segmenter.end()
    with pytest.raises(ValueError, match="ended"):
        segmenter.feed("x")


@given(st.text(max_size=300), st.integers(0, 2**31), st.booleans())
def test_nothing_is_lost_or_added_however_it_is_split(text, seed, hurry):
    dice = random.Random(seed)
    deltas, at = [], 0
    while at < len(text):
        step = dice.randint(1, 9)
        deltas.append(text[at : at + step])
        at += step
    assert "".join(spoken(deltas, hurry=hurry)) == text


def test_a_million_characters_are_no_trouble():
    assert len("".join(spoken(["今天天气真好，我们去公园玩吧。" * 65_000]))) == 975_000


WHOLE = Phrasing(first_longest=60, sentence=30, longest=60, whole=True)


def whole(text, **take):
    segmenter = Segmenter(phrasing=WHOLE)
    segmenter.feed(text)
    segmenter.end()
    segments = []
    while (segment := segmenter.take(**take)) is not None:
        segments.append(segment.text)
    return segments


@pytest.mark.parametrize("hurry", [False, True])
def test_an_engine_that_wants_whole_sentences_gets_no_comma_of_a_text_that_is_there(hurry):
    assert whole("你好，我是小智，很高兴认识你。", hurry=hurry) == ["你好，我是小智，很高兴认识你。"]
    first, second = "庙里有一个老和尚在给三个小和尚讲故事，讲的是很久以前的事。", "他讲什么呢？"
    assert whole(first * 2 + second, hurry=hurry) == [first * 2, second]
    assert "".join(whole(STORY * 5)) == STORY * 5
    assert all(segment.endswith(("。", "？")) for segment in whole(STORY * 5))


def test_whole_sentences_are_joined_up_to_the_published_length():
    weights = [sum(char.isalnum() for char in segment) for segment in whole("今天天气很好。" * 40)]
    assert all(30 <= weight <= 60 for weight in weights[:-1])


def test_a_sentence_beyond_the_greatest_length_is_cut_at_its_last_comma():
    clause = "从前有一座山，"
    assert whole(clause * 20 + "完。")[0] == clause * 10


def test_a_sentence_that_is_still_being_written_may_begin_with_its_clause():
    segmenter = Segmenter(phrasing=WHOLE)
    segmenter.feed("从前有一座山，山上有一座")
    assert segmenter.take().text == "从前有一座山，"
    segmenter.feed("庙。")
    assert segmenter.take() is None, "there is time to see whether more sentences come"
    assert segmenter.take(hurry=True).text == "山上有一座庙。"
