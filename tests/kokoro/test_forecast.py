"""The statistics of an utterance are foretold from its frames: a linear law, learnt within voices, kept in bounds."""

import numpy as np
import pytest

from tts_service.kokoro.forecast import Forecast, summary

SUMMARIES, STATISTICS, LAW = 40, 300, 3


@pytest.fixture(scope="module")
def world():
    """Voices that differ in their averages, and one law by which their utterances vary."""
    chance = np.random.default_rng(0)
    law = chance.normal(size=(SUMMARIES, LAW)) @ chance.normal(size=(LAW, STATISTICS)) / SUMMARIES**0.5

    def utterances(voice, count):
        own = np.random.default_rng(voice + 1)
        centre, level = 5 * own.normal(size=SUMMARIES), 5 * own.normal(size=STATISTICS)
        deviations = chance.normal(size=(count, SUMMARIES))
        noise = 0.05 * chance.normal(size=(count, STATISTICS))
        return (centre + deviations).astype(np.float32), (level + deviations @ law + noise).astype(np.float32)

    voices = np.repeat(np.arange(4), 100)
    rows = [utterances(voice, 100) for voice in range(4)]
    summaries, statistics = (np.concatenate(column) for column in zip(*rows, strict=True))
    weights = np.linspace(0.5, 2, STATISTICS).astype(np.float32)
    return Forecast.fit(summaries, statistics, weights, voices), utterances


def test_a_voice_never_seen_follows_the_same_law(world):
    forecast, utterances = world
    summaries, statistics = utterances(9, 50)
    own_summary, own_statistics = summaries.mean(0), statistics.mean(0)
    foretold = np.stack([own_statistics + forecast(one - own_summary) for one in summaries])
    assert np.square(foretold - statistics).mean() < 0.1 * np.square(own_statistics - statistics).mean()


def test_nothing_is_foretold_beyond_what_was_seen(world):
    forecast, utterances = world
    summaries, statistics = utterances(9, 50)
    wild = forecast(1000 * (summaries[0] - summaries.mean(0)))
    assert np.abs(wild).max() < 3 * np.abs(statistics - statistics.mean(0)).max()


def test_survives_its_file(world, tmp_path):
    forecast, utterances = world
    np.savez(tmp_path / "forecast.npz", **forecast.arrays())
    with np.load(tmp_path / "forecast.npz") as arrays:
        again = Forecast.of(arrays)
    summaries, _ = utterances(2, 2)
    np.testing.assert_allclose(again(summaries[0] - summaries[1]), forecast(summaries[0] - summaries[1]), atol=0.02)


def test_the_summary_tells_level_and_spread_of_each_channel():
    frames = np.array([[1, 3, 1, 3], [0, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(summary(frames), [2, 0, np.log(1.001), np.log(0.001)], atol=1e-5)
