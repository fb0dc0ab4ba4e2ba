"""What the product says of the machine that it runs on."""

import itertools
from types import SimpleNamespace

import pytest

from tests.tts_service.tone_engine import ToneEngine
from tts_service import Synthesizer
from tts_service.speech import pace
from tts_service.speech.pace import Pace, instructions, measure


@pytest.mark.parametrize(("factor", "talkers"), [(0.15, 5), (0.4, 2), (0.79, 1), (0.81, 0), (3.0, 0)])
def test_talkers_and_whether_the_warning_says_what_helps(factor, talkers, monkeypatch):
    found = Pace("AVX2", factor)
    assert found.talkers == talkers
    for language in ("zh", "en"):
        monkeypatch.setenv("GLM_TTS_LANG", language)
        text = str(found)
        assert text.startswith("AVX2")
        assert f"{factor:.2f}" in text
        assert ("VNNI" in text) == (not talkers)


def test_the_quickest_sentence_counts(monkeypatch):
    began, sentences = 0.0, [(0.0, 0.4), (0.4, 0.7), (0.7, 1.6)]
    readings = iter([began, *itertools.chain.from_iterable((start, end, end) for start, end in sentences)])
    with Synthesizer(ToneEngine()) as voice:
        spoken = sum(chunk.seconds for chunk in voice.stream(pace.SENTENCE))
        monkeypatch.setattr(pace, "time", SimpleNamespace(perf_counter=lambda: next(readings)))
        found = measure(voice)
    assert found.factor == pytest.approx(0.3 / spoken)
    assert found.instructions == instructions()


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ({"sse4_1", "avx", "avx2", "avx512bw", "avx512_vnni"}, "AVX-512 VNNI"),
        ({"sse4_1", "avx", "avx2", "avx_vnni"}, "AVX-VNNI"),
        ({"sse4_1", "avx", "avx2"}, "AVX2"),
        ({"sse41", "avx2", "avx512_skx"}, "AVX-512"),
        ({"fp", "asimd", "asimddp"}, "ARM dot product"),
        ({"neon"}, "ARM NEON"),
    ],
)
def test_the_best_instructions_are_named(monkeypatch, flags, name):
    monkeypatch.setattr(pace, "_flags", lambda: flags)
    assert instructions() == name


def test_this_machine_has_a_name():
    assert instructions() in {name for name, _ in pace._SETS}
