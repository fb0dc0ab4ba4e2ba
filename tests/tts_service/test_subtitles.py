import re

import pytest

from tests.tts_service.tone_engine import TOKEN_SECONDS, ToneEngine
from tts_service import Synthesizer
from tts_service.workshop.subtitles import Subtitles


def heard(*pieces, speed=1.0):
    subtitles = Subtitles()
    with Synthesizer(ToneEngine()) as voice:
        for _ in subtitles.hearing(voice.stream(subtitles.reading(pieces), speed=speed)):
            pass
    return subtitles


@pytest.mark.parametrize(
    "pieces", [["你好，世界。他说：“今天", "很好！”然后走了"], ["你好，世界。他说：“今天很好！”然后走了"]]
)
def test_one_cue_a_clause_exactly_when_it_is_heard(pieces):
    cues = heard(*pieces).cues()
    assert [cue.text for cue in cues] == ["你好，", "世界。", "他说：", "“今天很好！”", "然后走了"]
    begins = [0, 2, 4, 6, 10]
    assert [cue.start for cue in cues] == pytest.approx([TOKEN_SECONDS * i for i in begins])
    assert [cue.end for cue in cues] == pytest.approx([TOKEN_SECONDS * i for i in [*begins[1:], 14]])


def test_numbers_and_abbreviations_are_not_parted():
    cues = heard("It costs 3.5 dollars. Really?").cues()
    assert [cue.text for cue in cues] == ["It costs 3.5 dollars.", "Really?"]


def test_the_two_forms():
    subtitles = heard("你好，世界。", speed=0.25)
    assert subtitles.written("srt") == (
        "1\n00:00:00,000 --> 00:00:01,600\n你好，\n\n2\n00:00:01,600 --> 00:00:03,200\n世界。\n"
    )
    vtt = subtitles.written("vtt")
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.600\n你好，\n")
    assert len(re.findall("-->", vtt)) == 2


def test_an_hour_has_its_digits():
    from tts_service.workshop.subtitles import _clock

    assert _clock(3723.4567, ",") == "01:02:03,457"
    assert _clock(59.9996, ".") == "00:01:00.000"
