"""Vocoders equal the golden numbers."""

import pytest
import torch

from tests.glm.conftest import CHECKPOINT, Case, assert_same_sound, rounding, wnormal
from tts_service.glm.device.noise import Purpose, normal
from tts_service.glm.published.checkpoint import VOCODER_32K
from tts_service.glm.vocoding.hift import HARMONICS, HOP, load_hift
from tts_service.glm.vocoding.hift_stream import HiFTStream
from tts_service.glm.vocoding.vocoder import Tempo, Vocos2D, Vocos2DStream


@pytest.fixture(scope="module")
def hift():
    return load_hift(CHECKPOINT / "hift")


@pytest.mark.parametrize("number", range(5))
def test_hift(hift, number):
    case = Case("hift")
    mel, source, wav = (case[f"{key}_{number}"] for key in ("mel", "source", "wav"))
    _, (_, seed, shape), _ = case.meta["cases"][str(number)]["noise_calls"]
    with torch.inference_mode():
        f0 = hift.f0(mel)
        torch.testing.assert_close(f0, case[f"f0_{number}"], atol=1e-3, rtol=0)
        excited = hift.excite(case[f"f0_{number}"], wnormal(seed, shape))
        torch.testing.assert_close(excited, source, atol=5e-4, rtol=0)
        torch.testing.assert_close(hift.decode(mel, source), wav, atol=1e-4, rtol=0)

        def said(mel):
            return hift.decode(mel, hift.excite(hift.f0(mel), wnormal(seed, shape)))

        assert_same_sound(said(mel), wav, rounding(said, mel))


def test_hift_with_forced_f0_and_with_a_replaced_source(hift):
    case = Case("hift")
    _, (_, seed, shape), _ = case.meta["cases"]["forced_f0_noise"]
    with torch.inference_mode():
        source = hift.excite(case["forced_f0"], wnormal(seed, shape))
        torch.testing.assert_close(source, case["forced_f0_source"], atol=5e-4, rtol=0)
        replaced = torch.cat([case["cache_source"], case["source_0"][..., 1500:]], dim=-1)
        torch.testing.assert_close(hift.decode(case["mel_0"], replaced), case["cache_source_wav_0"], atol=1e-4, rtol=0)
        silent = hift.decode(case["mel_4"], torch.zeros_like(case["source_4"]))
        torch.testing.assert_close(silent, case["int4_decode_zero_source"], atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def vocos():
    return Vocos2D(CHECKPOINT / VOCODER_32K)


def test_vocos(vocos):
    case = Case("vocos2d")
    for key in ("0", "1", "2", "batch3"):
        limit = float(rounding(vocos, case[f"mel_{key}"]).max())
        assert limit < 1e-4
        torch.testing.assert_close(vocos(case[f"mel_{key}"]), case[f"wav_{key}"], atol=limit, rtol=0)


def pieces_of(mel, sizes):
    start = 0
    while start < mel.shape[2]:
        size = sizes[0] if len(sizes) == 1 else sizes.pop(0)
        yield mel[:, :, start : start + size], start + size >= mel.shape[2]
        start += size


def rendered(hift, mel, seed, f0=None):
    noise = normal(torch.tensor(seed), Purpose.SOURCE, torch.arange(mel.shape[2] * HOP * HARMONICS))
    with torch.inference_mode():
        return hift.decode(mel, hift.excite(hift.f0(mel) if f0 is None else f0, noise.view(1, -1, HARMONICS)))[0]


def streamed(hift, mel, seed, sizes):
    stream = HiFTStream(hift, seed)
    return torch.cat([stream.push(piece, final) for piece, final in pieces_of(mel, list(sizes))])


LONG = torch.cat([Case("hift")["mel_1"], Case("hift")["mel_0"], Case("hift")["mel_1"]], dim=2)


@pytest.mark.parametrize("sizes", [[50], [1], [7, 30, 3, 50], [500]])
@pytest.mark.parametrize("frames", [1, 2, 22, 143])
def test_hift_in_chunks_gives_the_samples_of_the_whole(hift, monkeypatch, sizes, frames):
    """The pitch to float32's own accuracy, and with that pitch the samples.

    The last bits of the pitch depend on the length of the pieces and on the processor's instructions. The source runs
    through its phases on them, 480 samples a frame, so that samples are only comparable at one and the same pitch.
    """
    mel = LONG[:, :, :frames]
    heard = []
    read = hift.f0_predictor.read
    monkeypatch.setattr(hift.f0_predictor, "read", lambda x: heard.append(read(x)) or heard[-1])
    joined = streamed(hift, mel, 5, sizes)
    monkeypatch.undo()
    f0 = torch.cat(heard, dim=1)
    with torch.inference_mode():
        torch.testing.assert_close(f0, hift.f0(mel), atol=1e-3, rtol=0)
    torch.testing.assert_close(joined, rendered(hift, mel, 5, f0), atol=1e-4, rtol=0)
    assert not torch.allclose(joined, rendered(hift, mel, 6, f0), atol=1e-2)


@pytest.mark.parametrize("sizes", [[50], [1], [7, 30, 3, 50]])
def test_hift_in_chunks_is_exact_where_the_pitch_is_given(sizes):
    hift = load_hift(CHECKPOINT / "hift")
    hift.f0_predictor.classifier.weight.zero_()
    hift.f0_predictor.classifier.bias.fill_(157.3)
    limit = float(rounding(lambda mel: rendered(hift, mel, 5), LONG).max())
    assert limit < 1e-4
    torch.testing.assert_close(streamed(hift, LONG, 5, sizes), rendered(hift, LONG, 5), atol=limit, rtol=0)


def test_nothing_of_hift_is_computed_twice(hift, monkeypatch):
    columns = []
    convolve = torch.nn.functional.conv1d

    def count(x, weight, bias, stride, padding, dilation):
        y = convolve(x, weight, bias, stride, padding, dilation)
        columns.append(y.shape[2] * weight.numel())
        return y

    monkeypatch.setattr(torch.nn.functional, "conv1d", count)
    streamed(hift, LONG, 5, [143])
    at_once = sum(columns)
    columns.clear()
    streamed(hift, LONG, 5, [7])
    assert sum(columns) == at_once


def test_hift_holds_back_only_its_lookahead(hift):
    stream = HiFTStream(hift, seed=0)
    heard = sum(len(stream.push(LONG[:, :, frame : frame + 1])) for frame in range(HiFTStream.LOOKAHEAD))
    assert heard < HOP
    assert heard + len(stream.push(LONG[:, :, HiFTStream.LOOKAHEAD : HiFTStream.LOOKAHEAD + 3])) >= 3 * HOP


def test_hift_can_be_told_of_the_end_afterwards(hift):
    stream = HiFTStream(hift, seed=5)
    joined = torch.cat([stream.push(LONG), stream.push(LONG[:, :, :0], final=True)])
    torch.testing.assert_close(joined, rendered(hift, LONG, 5), atol=6e-3, rtol=0)


@pytest.mark.parametrize("sizes", [[50], [1], [7, 30, 3]])
def test_vocos_in_chunks_gives_the_samples_of_the_whole(vocos, sizes):
    mel = torch.cat([Case("vocos2d")["mel_0"]] * 4, dim=2)
    stream = Vocos2DStream(vocos)
    joined = torch.cat([stream.push(piece, final) for piece, final in pieces_of(mel, list(sizes))])
    limit = float(rounding(vocos, mel).max())
    assert limit < 1e-4
    torch.testing.assert_close(joined, vocos(mel)[0], atol=limit, rtol=0)


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.0, 1.37, 2.0])
def test_tempo_changes_the_length_and_not_the_course(speed):
    mel = torch.linspace(0, 1, 200).expand(1, 80, 200)
    tempo = Tempo(speed)
    chunked = torch.cat([tempo.push(piece, final) for piece, final in pieces_of(mel, [13, 1, 40])], dim=2)
    assert abs(chunked.shape[2] - 200 / speed) <= 1
    torch.testing.assert_close(chunked, Tempo(speed).push(mel, final=True), atol=1e-5, rtol=0)
    expected = (torch.arange(chunked.shape[2]) * speed / 199).clamp(max=1)
    torch.testing.assert_close(chunked[0, 0], expected, atol=1e-5, rtol=0)
