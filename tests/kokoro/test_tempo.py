import numpy as np
import pytest

from g2p import analyze
from tts_service.engine import StopSignal, SynthesisOptions
from tts_service.speech.tempo import shared, stretched

RATE = 24000


@pytest.mark.parametrize("speed", [0.5, 2.0])
@pytest.mark.parametrize("text", ["欢迎来到北京，请坐。", "今天天气很好。"])
def test_beyond_the_model_s_own_tempi_nothing_sounds_before_the_first_character(engine, text, speed):
    tempo, stretch = shared(speed, engine.tempi)
    options = SynthesisOptions(speed=tempo)
    chunks = list(stretched(engine.synthesize(analyze(text), engine.voices()[0], options, StopSignal()), stretch))
    samples = np.concatenate([chunk.samples for chunk in chunks])
    first = int(chunks[0].timings[0].seconds * RATE)
    ordinary = engine.synthesize(analyze(text), engine.voices()[0], SynthesisOptions(), StopSignal())
    assert len(samples) == pytest.approx(sum(len(chunk.samples) for chunk in ordinary) / speed, rel=0.1)
    before = samples[: max(1, first - int(0.04 * RATE))]
    assert np.abs(before).max() < 0.02 * np.abs(samples).max()
