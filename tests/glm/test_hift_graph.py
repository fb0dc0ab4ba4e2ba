"""The vocoder over windows says what the one that remembers every layer says."""

import pytest
import torch

from tests.glm.conftest import CHECKPOINT
from tts_service.glm.vocoding.hift import HOP, load_hift
from tts_service.glm.vocoding.hift_graph import HiFTGraphs, HiFTWindow
from tts_service.glm.vocoding.hift_stream import HiFTStream
from tts_service.glm.vocoding.sounding import Sounding, sounded
from tts_service.glm.vocoding.vocoder import Tempo


@pytest.fixture(scope="module")
def model():
    """With its pitch in steps: the last bits of a pitch, which differ with the length of a piece, become phase."""
    model = load_hift(CHECKPOINT / "hift")
    read = model.f0_predictor.read
    model.f0_predictor.read = lambda features: (read(features) / 20).round() * 20
    return model


def mel_of(frames, seed):
    return torch.randn(1, 80, frames, generator=torch.Generator().manual_seed(seed)) * 0.5 - 4


def pieces_of(mel, lengths):
    return list(mel.split(lengths, dim=2))


@pytest.mark.parametrize("lengths", [[30, 40, 50, 50, 26], [7], [1, 1, 30, 2, 70, 1]])
def test_windows_give_the_same_samples_as_early(model, lengths):
    mel = mel_of(sum(lengths), len(lengths))
    whole, windows = HiFTStream(model, 5), HiFTWindow(HiFTGraphs(model, 2), 5)
    for number, piece in enumerate(pieces_of(mel, lengths), 1):
        expected, ours = (stream.push(piece, number == len(lengths)) for stream in (whole, windows))
        assert ours.shape == expected.shape
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)
    assert windows._said == HOP * sum(lengths)


def test_utterances_at_different_places_share_a_batch(model):
    graphs = HiFTGraphs(model, 4)
    lengths = ([30, 50, 50], [50, 20, 4], [10, 1, 30])
    mels = [pieces_of(mel_of(sum(own), seed), own) for seed, own in enumerate(lengths)]
    alone = [HiFTWindow(HiFTGraphs(model, 1), seed) for seed in range(3)]
    together = [HiFTWindow(graphs, seed) for seed in range(3)]
    for turn in range(3):
        final = turn == 2
        made = graphs.push([(together[n], mels[n][turn], final) for n in range(3)])
        for number in range(3):
            expected = alone[number].push(mels[number][turn], final)
            torch.testing.assert_close(made[number], expected, atol=1e-4, rtol=0)


def test_what_is_due_together_is_vocoded_together_and_a_fault_stays_with_its_own(model):
    graphs, lengths, speeds = HiFTGraphs(model, 2), (30, 40, 24), (1.0, 1.25, 1.0)
    mels = [mel_of(frames, seed) for seed, frames in enumerate(lengths)]

    def sounding(seed):
        return Sounding(Tempo(speeds[seed]), HiFTWindow(graphs, seed), None)

    alone = [sounded([(sounding(seed), mel, True)])[0].result() for seed, mel in enumerate(mels)]
    broken = Sounding(Tempo(1.0), HiFTStream(model, 0), None)
    broken.vocoder.push = None
    calls, decode = [], graphs._decode
    graphs._decode = lambda rows, frames: (calls.append(rows), decode(rows, frames))
    heard = sounded([(broken, mels[0], True), *((sounding(seed), mel, True) for seed, mel in enumerate(mels))])
    assert calls == [2, 1], "two find room in a batch"
    assert isinstance(heard[0], TypeError)
    for ours, expected in zip(heard[1:], alone, strict=True):
        torch.testing.assert_close(ours.result(), expected, atol=1e-4, rtol=0)
