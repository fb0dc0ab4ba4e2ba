"""What the engine promises to whoever holds it."""

import threading

import numpy as np
import pytest

from g2p import analyze
from tts_service.engine import SpeechError, StopSignal, SynthesisOptions, UnknownVoice, Voice
from tts_service.kokoro.cast import CAST
from tts_service.kokoro.engine import PREROLL

RATE = 24000
SENTENCE = "今天天气很好，我们去公园散步吧。"


def speak(engine, text, voice=0, history=None, stop=None, **options):
    chosen = voice if isinstance(voice, Voice) else engine.voices()[voice]
    return list(engine.synthesize(analyze(text), chosen, SynthesisOptions(**options), stop or StopSignal(), history))


def samples(chunks):
    return np.concatenate([chunk.samples for chunk in chunks])


def loud(audio, threshold=-35.0, window=120):
    """For every 5 ms whether something can be heard, against the loudest."""
    power = np.square(audio[: len(audio) // window * window].reshape(-1, window)).mean(1)
    return 10 * np.log10(power / power.max() + 1e-12) > threshold


def gap_before_last_sound(audio):
    """Length of the longest silence inside the audio, seconds."""
    heard = np.flatnonzero(loud(audio))
    return np.diff(heard).max() * 120 / RATE


def test_the_first_chunk_is_small_and_comes_before_the_rest_is_computed(engine):
    chunks = engine.synthesize(analyze(SENTENCE), engine.voices()[0], SynthesisOptions(), StopSignal())
    first = next(chunks)
    assert 0.1 < first.seconds <= 0.25
    assert sum(chunk.seconds for chunk in chunks) > 4 * first.seconds


@pytest.mark.parametrize("text", ["好的，", "他说，", "四月，"])
def test_an_answer_sounds_at_once_and_loses_nothing_that_can_be_heard(engine, monkeypatch, text):
    first = samples(speak(engine, text))
    assert np.flatnonzero(loud(first, -40.0))[0] * 120 / RATE <= 0.035
    monkeypatch.setattr("tts_service.kokoro.engine.FIRST_PREROLL", PREROLL)
    more = samples(speak(engine, text))
    left_out = more[: len(more) - len(first)]
    assert 0 < len(left_out) / RATE <= 0.03
    assert np.abs(left_out).max() < 0.01 * np.abs(more).max()


def test_chunks_do_not_click(engine):
    for voice in (0, 4):
        chunks = speak(engine, SENTENCE, voice)
        bend = np.abs(np.diff(samples(chunks), n=2))
        joins = np.cumsum([len(chunk.samples) for chunk in chunks])[:-1]
        at_joins = max(bend[join - 3 : join + 2].max() for join in joins)
        assert at_joins <= np.quantile(bend, 0.999)


def test_streaming_sounds_like_the_stock_model(engine, whole, mel_distance):
    for voice in (0, 4):
        ours, stock = samples(speak(engine, SENTENCE, voice)), samples(speak(whole, SENTENCE, voice))
        assert len(ours) == len(stock)
        assert mel_distance(ours, stock) < 0.35


def test_utterances_may_be_interleaved(engine):
    alone = samples(speak(engine, SENTENCE, 0)), samples(speak(engine, "Good morning, my friend.", 4))
    one = engine.synthesize(analyze(SENTENCE), engine.voices()[0], SynthesisOptions(), StopSignal())
    other = engine.synthesize(analyze("Good morning, my friend."), engine.voices()[4], SynthesisOptions(), StopSignal())
    parts = [], []
    running = [(one, parts[0]), (other, parts[1])]
    while running:
        for pair in list(running):
            chunk = next(pair[0], None)
            if chunk is None:
                running.remove(pair)
            else:
                pair[1].append(chunk)
    for together, expected in zip(parts, alone, strict=True):
        np.testing.assert_array_equal(samples(together), expected)


def test_every_character_has_its_moment(engine):
    text = "你好，今天是 3 月，天气 very nice。"
    chunks = speak(engine, text)
    timings = [timing for chunk in chunks for timing in chunk.timings]
    spoken = "".join(text[timing.start : timing.end] for timing in timings)
    assert spoken == "你好今天是3月天气verynice"
    seconds = [timing.seconds for timing in timings]
    assert seconds == sorted(seconds)
    begin = 0.0
    for chunk in chunks:
        assert all(begin <= timing.seconds < begin + chunk.seconds for timing in chunk.timings)
        begin += chunk.seconds


@pytest.mark.parametrize("voice", range(len(CAST)))
def test_timings_meet_the_sound(engine, voice):
    """After a pause the onset of the sound is plain to see: there the timing must be within 40 ms."""
    errors = []
    for text, after in [
        ("可以，打开。", 3),
        ("不对，大家都来了。", 3),
        ("好的，但是他不在家。", 3),
        ("Yes, today is fine.", 5),
    ]:
        chunks = speak(engine, text, voice)
        timings = {timing.start: timing.seconds for chunk in chunks for timing in chunk.timings}
        heard = loud(samples(chunks), -30)  # a native speaker hardly pauses at a comma
        errors.append(np.flatnonzero(heard)[0] * 0.005 - timings[0])
        near = int(timings[after] / 0.005)
        rising = np.flatnonzero(~heard[:-1] & heard[1:]) + 1
        errors.append(min(rising - near, key=abs) * 0.005)
    assert np.abs(errors).max() <= 0.04


def test_speed(engine):
    normal, fast, slow = (len(samples(speak(engine, SENTENCE, speed=speed))) for speed in (1.0, 2.0, 0.5))
    assert 0.45 < fast / normal < 0.65
    assert 1.7 < slow / normal < 2.6  # the model rounds every symbol's duration to whole frames, and short ones up


@pytest.mark.parametrize("text", ["嗯", "好。", "OK", "Yes.", "是"])
def test_one_syllable(engine, text):
    audio = samples(speak(engine, text))
    assert 0.1 < len(audio) / RATE < 1.5
    assert loud(audio).sum() > 10


def test_a_word_alone_is_said_in_the_style_of_a_few_words(engine):
    voice = engine._voices["lian"]
    assert (voice.style(4) == voice.styles[11]).all()
    assert (voice.style(20) == voice.styles[19]).all()


@pytest.mark.parametrize(("voice", "text"), [("rowan", "Yes."), ("bai", "再见。")])
def test_what_the_model_says_too_loudly_keeps_its_distance_from_full_scale(engine, voice, text):
    chosen = next(each for each in engine.voices() if each.name == voice)
    peak = np.abs(samples(speak(engine, text, chosen))).max()
    assert 0.85 < peak <= 0.95, "the limiter is at work, and nothing reaches full scale"


def test_a_text_beyond_the_model_s_positions(engine):
    text = "他们一边走一边说着今年的收成和村里的新鲜事" * 12
    chunks = speak(engine, text, speed=2.0)
    timings = [timing for chunk in chunks for timing in chunk.timings]
    assert [timing.start for timing in timings] == list(range(len(text)))
    seconds = [timing.seconds for timing in timings]
    assert seconds == sorted(seconds)
    assert len(samples(chunks)) / RATE > 0.08 * len(text)


def test_pauses_between_segments_follow_the_punctuation(engine):
    gaps = []
    for mark in ("，", "。", "。\n"):
        history = []
        audio = np.concatenate(
            [samples(speak(engine, "你好" + mark, history=history)), samples(speak(engine, "再见。", history=history))]
        )
        gaps.append(gap_before_last_sound(audio))
    comma, stop, paragraph = gaps
    assert 0.08 < comma < 0.35
    assert comma + 0.1 < stop < 0.7
    assert stop + 0.2 < paragraph < 1.2


def test_nothing_to_say(engine):
    assert speak(engine, "……") == []
    assert speak(engine, "") == []


def test_stops_before_it_starts(engine):
    stop = StopSignal()
    stop.set()
    assert speak(engine, SENTENCE, stop=stop) == []


def test_stops_between_chunks(engine):
    stop = StopSignal()
    chunks = engine.synthesize(analyze(SENTENCE), engine.voices()[0], SynthesisOptions(), stop)
    next(chunks)
    stop.set()
    assert list(chunks) == []


class StopsInside(StopSignal):
    """Set by another thread while the native run is under way."""

    def listening(self, listener):
        def set_when_running():
            listener_ready.wait()
            self.set()

        listener_ready = threading.Event()
        thread = threading.Thread(target=set_when_running)
        thread.start()
        context = super().listening(listener)
        listener_ready.set()
        return context


def test_stops_inside_a_run(whole):
    stop = StopsInside()
    assert speak(whole, SENTENCE * 4, stop=stop) == []
    assert stop()


def test_says_what_it_cannot_do(engine):
    with pytest.raises(UnknownVoice, match="no voice 'robot'; there are lian, bai, tao, feng, rose, rowan, ivy, hazel"):
        speak(engine, "你好", Voice("robot"))
    with pytest.raises(SpeechError, match="24000"):
        speak(engine, "你好", sample_rate=8000)
