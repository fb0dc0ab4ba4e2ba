"""A new voice is measured by a few of its renderings, and then streams like the stock model with its style table."""

import numpy as np
import pytest

from g2p import analyze
from tts_service.engine import StopSignal, SynthesisOptions, Voice
from tts_service.kokoro import KokoroEngine, rendering
from tts_service.kokoro.calibrate import calibrate
from tts_service.kokoro.cast import style_table
from tts_service.kokoro.matching.matcher import tokens_of
from tts_service.kokoro.rendering import Renderer
from tts_service.kokoro.voice import KokoroVoice, Normalisation, packed, style_row, unpacked

TEXT = "我们晚上七点见。"
SAID = ("好的。", "今天天气很好，我们出去走走。", "Good morning.")


def test_a_voice_between_two_others(engine, whole, cache, mel_distance):
    lan, song = engine._voices["lan"], engine._voices["song"]
    styles = (0.7 * lan.styles + 0.3 * song.styles).astype(np.float32)
    renderer = Renderer(cache, 1)
    normalisation = calibrate([renderer.render(t, style_row(styles, len(t) - 2)) for t in map(tokens_of, SAID)])
    assert np.isfinite(normalisation.statistics).all()
    assert 0.6 < normalisation.gain < 1.6

    def speak(network, constants):
        speaker = KokoroEngine(network, {"blend": KokoroVoice(styles, constants)})
        chunks = speaker.synthesize(analyze(TEXT), Voice("blend"), SynthesisOptions(), StopSignal())
        return np.concatenate([chunk.samples for chunk in chunks]) / constants.gain

    reference = speak(whole._network, normalisation)
    measured = mel_distance(speak(engine._network, normalisation), reference)
    borrowed = mel_distance(speak(engine._network, song.normalisation), reference)
    assert measured < 0.4
    assert measured < 0.7 * borrowed


def test_silence_that_is_left_out_counts_all_the_same(cache, mel_distance, monkeypatch):
    renderer, styles = Renderer(cache, 1), style_table("zm_yunxi")
    first, second = ((tokens, style_row(styles, len(tokens) - 2)) for tokens in map(tokens_of, SAID[1:]))
    quick = renderer.render(*first)
    np.testing.assert_array_equal(quick.pitch, renderer.prosody(*first).pitch)
    monkeypatch.setattr(rendering, "BESIDE", 10**6)
    whole, other = renderer.render(*first), renderer.render(*second)
    assert len(quick.samples) == len(whole.samples)
    assert mel_distance(quick.samples, whole.samples) < 0.3
    off, apart = (np.abs(one.statistics - whole.statistics).mean() for one in (quick, other))
    print(f"\n{off:.4f} by leaving out, {apart:.4f} by another sentence")
    assert off < 0.3 * apart


def test_only_the_last_texts_are_remembered(cache, monkeypatch):
    monkeypatch.setattr(rendering, "READ", 2)
    renderer, style, read, run = Renderer(cache, 1), style_table("zm_yunxi")[9], [], rendering.run

    def counted(session, outputs, feeds, stop):
        if outputs == [rendering.READING]:
            read.append(feeds["tokens"].shape[1])
        return run(session, outputs, feeds, stop)

    monkeypatch.setattr(rendering, "run", counted)
    one, two, three = map(tokens_of, ("好。", "明天。", "我们晚上见。"))
    first = renderer.prosody(one, style)
    for tokens in (one, two, two, three, two, one):
        again = renderer.prosody(tokens, style)
    np.testing.assert_array_equal(again.pitch, first.pitch)
    assert read == [len(one), len(two), len(three), len(one)]


def test_normalisation_survives_its_file(engine, tmp_path):
    before = engine._voices["mei"].normalisation
    np.savez(tmp_path / "voice.npz", **before.arrays("mei"))
    with np.load(tmp_path / "voice.npz") as archive:
        after = Normalisation.of("mei", archive)
    np.testing.assert_array_equal(after.statistics, before.statistics)
    np.testing.assert_array_equal(after.summary, before.summary)
    assert after.gain == before.gain


def test_many_voices_are_kept_in_a_byte_a_number():
    random = np.random.default_rng(0)
    voices = {
        f"voice{i}": Normalisation(*(random.normal(3, 2, n).astype(np.float32) for n in (400, 50)), gain=1 + i / 10)
        for i in range(9)
    }
    arrays = packed(voices)
    assert arrays["statistics"].nbytes == 9 * 400
    for name, found in unpacked(arrays).items():
        assert np.abs(found.statistics - voices[name].statistics).max() < 0.03
        assert np.abs(found.summary - voices[name].summary).max() < 0.03
        assert found.gain == pytest.approx(voices[name].gain)
