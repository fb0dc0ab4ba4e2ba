import numpy as np
import pytest

from tests.tts_service.tone_engine import TOKEN_SECONDS, ToneEngine
from tts_service import Synthesizer
from tts_service.engine import BREATH, AudioChunk, CharTiming
from tts_service.speech.tempo import shared, stretched

RATE = 24000
BEEPS = [0.2 + k for k in range(6)]
"""Seconds at which the beeps of the signal begin; each is 0.2 s long."""


def beeps():
    """Six seconds in chunks of 0.2 s, with the onset of every beep as a timing."""
    time = np.arange(int(0.2 * RATE)) / RATE
    beep = (0.5 * np.sin(2 * np.pi * 180 * time) + 0.2 * np.sin(2 * np.pi * 540 * time)).astype(np.float32)
    signal = np.zeros(6 * RATE, np.float32)
    for begin in BEEPS:
        signal[int(begin * RATE) :][: len(beep)] = beep
    for start in range(0, len(signal), len(beep)):
        inside = tuple(CharTiming(0, 1, begin) for begin in BEEPS if start <= round(begin * RATE) < start + len(beep))
        yield AudioChunk(signal[start : start + len(beep)], RATE, inside)


@pytest.mark.parametrize("factor", [0.25, 0.5, 0.8, 1.25, 2.0, 4.0])
def test_stretched_speech_has_its_length_its_pitch_and_its_timings(factor):
    chunks = list(stretched(beeps(), factor))
    samples = np.concatenate([chunk.samples for chunk in chunks])
    assert len(samples) == round(6 * RATE / factor)
    timings = [timing.seconds for chunk in chunks for timing in chunk.timings]
    assert timings == pytest.approx([begin / factor for begin in BEEPS])
    loud = np.abs(samples) > 0.05
    for second in timings:
        near = range(max(0, int((second - 0.05) * RATE)), int((second + 0.05) * RATE))
        onset = near[0] + np.argmax(loud[near])
        assert abs(onset / RATE - second) <= 0.02 / min(1, factor)  # a quarter of the filter's window, or less
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() * RATE / len(samples) == pytest.approx(180, abs=6)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_what_has_gone_in_comes_out_soon(factor):
    given = taken = 0
    for chunk in stretched(counted := _counting(beeps()), factor):
        taken += len(chunk.samples)
        given = counted.seconds
        assert given - taken / RATE * factor <= 0.13


class _counting:
    """An iterator that knows how many seconds it has handed out."""

    def __init__(self, chunks):
        self._chunks, self.seconds = chunks, 0.0

    def __iter__(self):
        return self

    def __next__(self):
        chunk = next(self._chunks)
        self.seconds += chunk.seconds
        return chunk


def test_signs_of_life_and_ordinary_tempo_pass_untouched():
    chunks = list(beeps())
    assert list(stretched(iter(chunks), 1.0)) == chunks
    assert next(stretched(iter([BREATH, *chunks]), 2.0)) is BREATH
    assert list(stretched(iter([]), 2.0)) == []


def test_the_model_takes_the_part_that_it_speaks_well():
    assert shared(1.1, (0.8, 1.3)) == (1.1, 1.0)
    assert shared(2.6, (0.8, 1.3)) == (1.3, 2.0)
    assert shared(0.4, (0.8, 1.3)) == (0.8, 0.5)


@pytest.mark.parametrize("speed", [0.25, 4.0])
def test_an_utterance_beyond_the_engine_s_tempi_is_stretched(speed):
    """The engine of tones goes from 0.5 to 2 by itself."""
    with Synthesizer(ToneEngine()) as voice:
        chunks = list(voice.stream("今天天气很好我们去公园", speed=speed))
    samples = np.concatenate([chunk.samples for chunk in chunks])
    assert len(samples) / RATE == pytest.approx(11 * TOKEN_SECONDS / speed, abs=0.01)
    timings = [timing.seconds for chunk in chunks for timing in chunk.timings]
    assert timings == pytest.approx([i * TOKEN_SECONDS / speed for i in range(11)], abs=0.01)
    assert np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples) == pytest.approx(200, abs=6)
