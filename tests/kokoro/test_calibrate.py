"""A new voice needs one pass of measuring, and then speaks like the stock model with its style table."""

import numpy as np

from g2p import analyze
from tts_service.engine import StopSignal, SynthesisOptions, Voice
from tts_service.kokoro import KokoroEngine
from tts_service.kokoro.calibrate import calibrate, statistics_session
from tts_service.kokoro.voice import KokoroVoice, Normalisation

TEXT = "我们晚上七点见。"


def test_a_voice_between_two_others(engine, whole, stock, mel_distance):
    lan, song = engine._voices["lan"], engine._voices["song"]
    styles = (0.7 * lan.styles + 0.3 * song.styles).astype(np.float32)
    normalisation = calibrate(
        statistics_session(stock), engine._network, styles, ["好的。", "今天天气很好，我们出去走走。", "Good morning."]
    )
    assert np.isfinite(normalisation.statistics).all()
    assert 0.8 < normalisation.gain < 1.25

    def speak(network, constants):
        speaker = KokoroEngine(network, {"blend": KokoroVoice(styles, constants)})
        chunks = speaker.synthesize(analyze(TEXT), Voice("blend"), SynthesisOptions(), StopSignal())
        return np.concatenate([chunk.samples for chunk in chunks])

    reference = speak(whole._network, normalisation)
    measured = mel_distance(speak(engine._network, normalisation), reference)
    borrowed = mel_distance(speak(engine._network, song.normalisation), reference)
    assert measured < 0.4
    assert measured < 0.7 * borrowed


def test_normalisation_survives_its_file(engine, tmp_path):
    before = engine._voices["mei"].normalisation
    np.savez(tmp_path / "voice.npz", **before.arrays("mei"))
    with np.load(tmp_path / "voice.npz") as archive:
        after = Normalisation.of("mei", archive)
    np.testing.assert_array_equal(after.statistics, before.statistics)
    np.testing.assert_array_equal(after.summary, before.summary)
    assert after.gain == before.gain
