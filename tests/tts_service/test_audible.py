"""The mark that people hear: the rhythm and the sentence, and what they do to times."""

import numpy as np
import pytest

from tests.tts_service.tone_engine import TOKEN_SECONDS, ToneEngine
from tts_service.engine import SpeechError
from tts_service.speech.audible import APART, MORSE, PEAK, UNIT, Audible, rhythm, sentence
from tts_service.speech.synthesizer import Synthesizer
from tts_service.speech.watermark import Watermark

RATE = 24000


@pytest.fixture
def voice():
    with Synthesizer(ToneEngine(), watermark=False) as synthesizer:
        yield synthesizer


def said(synthesizer, text, **options):
    chunks = list(synthesizer.stream(text, **options))
    return np.concatenate([chunk.samples for chunk in chunks]), [t for chunk in chunks for t in chunk.timings]


@pytest.mark.parametrize("rate", [8000, 24000])
def test_the_rhythm_is_morse_for_ai(rate):
    sound = rhythm(rate, "beginning")
    step = round(UNIT * rate)
    loud = [float(np.abs(sound[i : i + step]).max()) > PEAK / 2 for i in range(0, len(sound) - step + 1, step)]
    assert "".join("#" if each else "_" for each in loud).rstrip("_") == "#_###___#_#"
    assert MORSE == ".- .."
    assert len(sound) / rate == pytest.approx(11 * UNIT + APART, abs=0.001)
    assert np.abs(sound).max() <= PEAK
    assert np.abs(np.diff(sound)).max() < 0.1  # no clicks


@pytest.mark.parametrize(("at", "parts"), [("beginning", (1, 0)), ("end", (0, 1)), ("both", (1, 1))])
def test_the_rhythm_is_heard_where_it_is_wanted_and_times_go_with_it(voice, at, parts):
    plain, times = said(voice, "你好世界。")
    sound, later = said(voice, "你好世界。", audible=Audible("rhythm", at))
    before, behind = (
        rhythm(RATE, place) if wanted else [] for place, wanted in zip(("beginning", "end"), parts, strict=True)
    )
    assert np.array_equal(sound, np.concatenate([before, plain, behind]).astype(np.float32))
    assert [(t.start, t.end) for t in later] == [(t.start, t.end) for t in times]
    shift = len(before) / RATE
    assert [t.seconds for t in later] == pytest.approx([t.seconds + shift for t in times])


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [("你好。", None, "以下"), ("Good morning.", None, "The following"), ("Good morning.", "zh", "以下")],
)
def test_the_sentence_is_in_the_language_of_the_text_and_in_the_voice(voice, text, language, expected):
    plain, _ = said(voice, text, language=language)
    sound, times = said(voice, text, language=language, audible=Audible("spoken"), voice="high")
    notice, _ = said(voice, sentence(text, "beginning", language), language=language, voice="high")
    own, _ = said(voice, text, language=language, voice="high")
    assert sentence(text, "beginning", language).startswith(expected)
    assert np.array_equal(sound, np.concatenate([notice, own]))
    assert times[0].seconds == pytest.approx(len(notice) / RATE)
    assert len(plain) == len(own)
    assert all(time.end <= len(text) for time in times)


def test_a_text_that_is_still_being_written_is_announced_once_and_concluded_once(voice):
    deltas = ["你好，世界。", "今天天气很好，我们去公园。", "再见。"]
    plain, _ = said(voice, iter(deltas))
    sound, _ = said(voice, iter(deltas), audible=Audible("rhythm", "both"))
    assert len(sound) - len(plain) == len(rhythm(RATE, "beginning")) + len(rhythm(RATE, "end"))


def test_where_nothing_is_said_nothing_is_announced(voice):
    assert list(voice.stream("……", audible=Audible("rhythm", "both"))) == []


def test_a_synthesizer_announces_everything_but_its_own_warming_up(voice):
    voice.audible = Audible("rhythm")
    sound, _ = said(voice, "好")
    assert len(sound) == len(rhythm(RATE, "beginning")) + round(TOKEN_SECONDS * RATE)
    lengths = []
    voice.on_report.append(lambda report: lengths.append(report.audio))
    voice.warm_up()
    assert lengths == [TOKEN_SECONDS]


def test_the_announcement_is_marked_too():
    with Synthesizer(ToneEngine()) as marking:
        sound, _ = said(marking, "好", audible=Audible("rhythm"))
    plain = rhythm(RATE, "beginning")
    assert np.array_equal(sound[: len(plain)], Watermark(RATE).mark(plain))


def test_another_label_is_refused():
    with pytest.raises(SpeechError, match="there is no label 'loud'; use one of off, rhythm, spoken"):
        Audible("loud")
