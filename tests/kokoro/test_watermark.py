"""The mark in the samples, and its detector, on speech of the embedded voice."""

import io

import numpy as np
import pytest
import soundfile

from g2p import analyze
from tts_service.audio import resample
from tts_service.engine import AudioChunk, Phrasing, StopSignal, SynthesisOptions, Voice
from tts_service.speech.synthesizer import Synthesizer
from tts_service.speech.watermark import Watermark
from tts_service.workshop.audio_file import SpeechWriter
from tts_service.workshop.detector import Mark, detect, detect_samples
from tts_service.workshop.label import Label

TEXT = "今天下午三点，我们在会议室讨论新产品的发布计划，请大家提前准备好自己的材料，谢谢。"
RATE = 24000


@pytest.fixture(scope="module")
def plain(engine):
    """What the engine says by itself, without a mark."""
    return list(engine.synthesize(analyze(TEXT), engine.voices()[0], SynthesisOptions(), StopSignal()))


@pytest.fixture(scope="module")
def speech(plain):
    return np.concatenate([chunk.samples for chunk in plain])


@pytest.fixture(scope="module")
def marked(plain):
    mark = Watermark(RATE)
    return np.concatenate([mark.mark(chunk.samples) for chunk in plain])


def encoded(samples, format, bitrate=None):
    file = io.BytesIO()
    with SpeechWriter(file, format, RATE, Label("kokoro", "lian"), bitrate) as writer:
        writer.write(AudioChunk(samples, RATE))
    file.seek(0)
    return file


def through_mu_law(samples):
    file = io.BytesIO()
    soundfile.write(file, resample(samples, RATE, 8000), 8000, format="WAV", subtype="ULAW")
    return file.getvalue()


class Recorded:
    """An engine that says the same every time."""

    name, sample_rate, phrasing, tempi = "recorded", RATE, Phrasing(whole=True), (0.5, 2.0)

    def __init__(self, chunks):
        self.chunks = chunks

    def voices(self):
        return [Voice("lian")]

    def synthesize(self, *_):
        return iter(self.chunks)

    def close(self):
        pass


def test_speech_as_it_comes_is_marked_and_can_be_had_without(plain, speech, marked):
    for wanted, expected in ((True, marked), (False, speech)):
        with Synthesizer(Recorded(plain), watermark=wanted) as voice:
            said = np.concatenate([chunk.samples for chunk in voice.stream("你好。")])
        assert np.array_equal(said, expected)
        assert detect_samples(said, RATE).mark is (Mark.MARKED if wanted else Mark.NOT_MARKED)


def test_no_request_can_turn_the_mark_off(plain):
    with Synthesizer(Recorded(plain)) as voice, pytest.raises(TypeError, match="watermark"):
        next(voice.stream(TEXT, watermark=False))


@pytest.mark.parametrize(("format", "bitrate"), [("mp3", 64), ("opus", 24), ("flac", None)])
def test_the_mark_survives_codecs_and_the_unmarked_stay_unmarked(speech, marked, format, bitrate):
    assert detect(encoded(marked, format, bitrate)).mark is Mark.MARKED
    assert detect(encoded(speech, format, bitrate)).mark is Mark.NOT_MARKED


def test_the_mark_survives_the_telephone_a_cut_and_a_whisper(marked):
    called = detect(through_mu_law(marked[3 * RATE + 77 :]))
    assert called.mark is Mark.MARKED
    assert called.end - called.begin >= 3
    assert detect_samples((marked * 0.05).astype(np.float32), RATE).mark is Mark.MARKED


def test_a_marked_piece_is_found_within_a_long_call_and_on_its_channel(speech, marked):
    length = 30 * RATE
    call = np.zeros((2, length), np.float32)
    call[0] = np.resize(speech, length)
    call[1, 11 * RATE : 15 * RATE] = marked[: 4 * RATE]
    found = detect_samples(call, RATE)
    assert found.mark is Mark.MARKED
    assert found.begin < 13 < found.end
    assert detect_samples(call[0], RATE).mark is not Mark.MARKED


def test_a_recording_that_plays_faster_is_found_by_a_thorough_search(marked):
    faster = resample(marked[: 5 * RATE], round(RATE * 1.03), RATE)
    assert detect_samples(faster, RATE).mark is not Mark.MARKED
    found = detect_samples(faster, RATE, thorough=True)
    assert found.mark is Mark.MARKED
    assert found.speed == pytest.approx(1.03, abs=0.001)


def test_of_silence_and_of_a_second_nothing_can_be_told(speech):
    assert detect_samples(np.zeros(8 * RATE, np.float32), RATE).mark is Mark.UNKNOWN
    assert detect_samples(np.zeros(0, np.float32), RATE).mark is Mark.UNKNOWN
    assert detect_samples(speech[RATE : 2 * RATE], RATE).mark is Mark.UNKNOWN


def test_music_and_noise_carry_no_mark():
    time = np.arange(12 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * f * time * (1 + 0.001 * np.sin(5 * time))) for f in (261.6, 329.6, 392.0)) * 0.1
    assert detect_samples(chord.astype(np.float32), RATE).mark is not Mark.MARKED
    noise = np.random.default_rng(3).standard_normal(12 * RATE).astype(np.float32) * 0.1
    assert detect_samples(noise, RATE).mark is not Mark.MARKED


@pytest.mark.parametrize("rate", [8000, 22050, 24000, 32000, 48000])
def test_the_mark_lasts_as_long_as_the_speech_and_stays_below_it(speech, rate):
    own = resample(speech, RATE, rate)
    mark, pieces = Watermark(rate), np.array_split(own, 37)
    said = [mark.mark(piece) for piece in pieces]
    assert [len(piece) for piece in said] == [len(piece) for piece in pieces]
    added = np.concatenate(said) - own
    below = 10 * np.log10((own**2).mean() / (added**2).mean())
    assert 23 < below < 28
    assert detect_samples(np.concatenate(said), rate).mark is Mark.MARKED


def test_the_mark_is_silent_where_the_speech_is_and_never_clips():
    mark = Watermark(RATE)
    assert not mark.mark(np.zeros(RATE, np.float32)).any()
    loud = np.sign(np.sin(np.arange(RATE) / 20)).astype(np.float32)
    assert np.abs(mark.mark(loud)).max() <= 1
    assert not mark.mark(np.zeros(RATE, np.float32))[RATE // 10 :].any()
