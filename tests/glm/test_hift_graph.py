"""The vocoder over windows says what the one that remembers every layer says."""

import pytest
import torch

from tests.glm.conftest import CHECKPOINT
from tts_service.glm.hift import HOP, load_hift
from tts_service.glm.hift_graph import HiFTGraphs, HiFTWindow
from tts_service.glm.hift_stream import HiFTStream


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
