"""Vocoders equal the golden numbers."""

import pytest
import torch

from tests.glm.conftest import CHECKPOINT, Case, wnormal
from tts_service.glm.checkpoint import VOCODER_32K
from tts_service.glm.hift import load_hift
from tts_service.glm.vocoder import HiFTStream, Tempo, Vocos2D, Vocos2DStream


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
        torch.testing.assert_close(hift.decode(mel, hift.excite(f0, wnormal(seed, shape))), wav, atol=2e-2, rtol=0)


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
        torch.testing.assert_close(vocos(case[f"mel_{key}"]), case[f"wav_{key}"], atol=1e-5, rtol=0)


def pieces_of(mel, sizes):
    start = 0
    while start < mel.shape[2]:
        size = sizes[0] if len(sizes) == 1 else sizes.pop(0)
        yield mel[:, :, start : start + size], start + size >= mel.shape[2]
        start += size


@pytest.mark.parametrize("sizes", [[50], [1], [7, 30, 3, 50], [500]])
def test_hift_in_chunks_gives_the_samples_of_the_whole(hift, sizes):
    mel = torch.cat([Case("hift")["mel_1"], Case("hift")["mel_0"], Case("hift")["mel_1"]], dim=2)
    whole = HiFTStream(hift, seed=5).push(mel, final=True)
    assert len(whole) == 480 * mel.shape[2]
    stream = HiFTStream(hift, seed=5)
    joined = torch.cat([stream.push(piece, final) for piece, final in pieces_of(mel, list(sizes))])
    # rounding of f0 differs with the window's length, and the source multiplies it by 480 (whole against float64: 4e-3)
    torch.testing.assert_close(joined, whole, atol=2e-3, rtol=0)
    assert not torch.allclose(HiFTStream(hift, seed=6).push(mel, final=True), whole, atol=1e-3)


def test_hift_holds_back_only_its_lookahead(hift):
    stream, mel = HiFTStream(hift, seed=0), Case("hift")["mel_1"]
    assert len(stream.push(mel[:, :, : HiFTStream.LOOKAHEAD])) == 0
    assert len(stream.push(mel[:, :, HiFTStream.LOOKAHEAD : HiFTStream.LOOKAHEAD + 3])) == 3 * 480


@pytest.mark.parametrize("sizes", [[50], [1], [7, 30, 3]])
def test_vocos_in_chunks_gives_the_samples_of_the_whole(vocos, sizes):
    mel = torch.cat([Case("vocos2d")["mel_0"]] * 4, dim=2)
    stream = Vocos2DStream(vocos)
    joined = torch.cat([stream.push(piece, final) for piece, final in pieces_of(mel, list(sizes))])
    torch.testing.assert_close(joined, vocos(mel)[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.0, 1.37, 2.0])
def test_tempo_changes_the_length_and_not_the_course(speed):
    mel = torch.linspace(0, 1, 200).expand(1, 80, 200)
    tempo = Tempo(speed)
    chunked = torch.cat([tempo.push(piece, final) for piece, final in pieces_of(mel, [13, 1, 40])], dim=2)
    assert abs(chunked.shape[2] - 200 / speed) <= 1
    torch.testing.assert_close(chunked, Tempo(speed).push(mel, final=True), atol=1e-5, rtol=0)
    expected = (torch.arange(chunked.shape[2]) * speed / 199).clamp(max=1)
    torch.testing.assert_close(chunked[0, 0], expected, atol=1e-5, rtol=0)
