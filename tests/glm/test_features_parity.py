"""Features of the reference audio equal the golden numbers."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.glm.conftest import CASES, CHECKPOINT, Case, golden_json, make_audio, wnormal, wuniform
from tts_service.audio import load_audio
from tts_service.glm import exact
from tts_service.glm.language_model.tokenizer import TextTokenizer
from tts_service.glm.listening import acoustics
from tts_service.glm.listening.mel import prompt_mel, slaney_mel_filters, whisper_mel
from tts_service.glm.listening.speaker import SpeakerEncoder
from tts_service.glm.listening.speech_tokenizer import load_speech_tokenizer
from tts_service.glm.listening.voice import listen


def test_the_closed_form_noise_is_ours():
    case = Case("noise_formula_check")
    torch.testing.assert_close(wnormal(7, (4, 4)), case["normal_seed7"])
    torch.testing.assert_close(wnormal(123456, (8,)), case["normal_seed123456"])
    torch.testing.assert_close(wuniform(7, (16,)), case["uniform_seed7"], atol=0, rtol=0)


@pytest.mark.parametrize("rate", [24000, 32000])
def test_prompt_mel(rate):
    case = Case(f"mel_{rate // 1000}k")
    for number in range(3):
        mel = prompt_mel(case[f"audio_{number}"], rate)
        torch.testing.assert_close(mel, case[f"mel_{number}"], atol=1e-4, rtol=0)
    basis = torch.zeros(tuple(case["mel_basis_shape"].tolist()))
    rows, columns = case["mel_basis_nz_index"].long().T
    basis[rows, columns] = case["mel_basis_nz_value"]
    torch.testing.assert_close(slaney_mel_filters(rate, rate * 2 // 25, 80), basis, atol=1e-7, rtol=0)


def test_resampling():
    case = Case("whisper_vq_main")
    for rate in (16000, 24000, 44100, 48000):
        ours = exact.resample(case[f"resample_in_{rate}"], rate, 16000)
        torch.testing.assert_close(ours, case[f"resample_{rate}_to_16000"], atol=2e-6, rtol=0)


def made(recipe):
    """Audio of (seed, milliseconds, f0)."""
    seed, milliseconds, f0 = recipe.tolist()
    return torch.from_numpy(make_audio(seed, 16000, milliseconds / 1000, f0))


@pytest.mark.parametrize("name", ["main", "pool_before_vq", "noncausal_max"])
def test_speech_tokens(name):
    case = Case(f"whisper_vq_{name}")
    folder = CHECKPOINT / "speech_tokenizer" if name == "main" else CASES / f"whisper_vq_{name}_ckpt"
    model = load_speech_tokenizer(folder)
    for key in [key.removesuffix(".features") for key in case if key.endswith(".features")]:
        features, real = case[f"{key}.features"], case[f"{key}.attention_mask"].bool()
        ids, valid, hidden = model(features, real)
        assert ids[valid].equal(case[f"{key}.token_ids"][valid].long())
        torch.testing.assert_close(hidden[:, :60], case[f"{key}.hidden_pre_vq"], atol=2e-4, rtol=0)
    for key in [key for key in case if ".audio_" in key]:
        audio = case[key]
        if audio.dtype == torch.int32:
            audio = made(audio)
        assert model.encode(audio).equal(case[key.replace("audio", "extract")].long())


def test_speech_tokens_of_a_padded_batch():
    case, golden = Case("whisper_vq_main"), Case("whisper_vq_batch")
    model = load_speech_tokenizer(CHECKPOINT / "speech_tokenizer")
    sounds = [made(case["b.audio_0"]), case["b.audio_1"], made(case["b.audio_2"])]
    real = golden["b.attention_mask"].bool()
    padded = torch.stack([F.pad(sound, (0, 160 * real.shape[1] - len(sound))) for sound in sounds])
    features = whisper_mel(padded, 128)
    torch.testing.assert_close(features[1, :, :240], golden["b.features_row1_first240"], atol=1e-4, rtol=0)
    ids, valid, hidden = model(features, real)
    assert [int(row.sum()) for row in valid] == [133, 52, 238]
    assert ids[valid].equal(golden["b.token_ids"][valid].long())
    torch.testing.assert_close(hidden[:, :60], golden["b.hidden_pre_vq"], atol=2e-4, rtol=0)
    visible = model._visible(golden["block_mask_bs5_attn"].bool(), 5) == 0
    assert visible.equal(golden["block_mask_bs5"][:, 0].bool())


def test_speech_tokens_of_long_and_of_stereo_audio():
    case, model = Case("whisper_vq_main"), load_speech_tokenizer(CHECKPOINT / "speech_tokenizer")
    assert model.encode(torch.from_numpy(make_audio(55, 16000, 31.0, 150))).equal(case["long31s.extract"].long())
    for key, channel in (("stereo24k", 0), ("mono24k_ch1", 1)):
        mono = exact.resample(case["stereo24k.audio"], 24000, 16000)[channel]
        assert model.encode(mono).equal(case[f"{key}.extract"].long())


@pytest.mark.parametrize("name", ["prompt_mono_24k", "prompt_stereo_44k1"])
def test_features_of_a_prompt_file(name):
    case = Case("prompt_features")
    samples, rate = load_audio(CASES / "wav" / f"{name}.wav")
    channels = torch.from_numpy(samples)
    mono = channels.mean(dim=0, keepdim=True)
    at_16k = exact.resample(mono, rate, 16000)
    torch.testing.assert_close(at_16k, case[f"{name}.wav16k"], atol=2e-6, rtol=0)
    fbank = acoustics.kaldi_fbank(at_16k[0].numpy())
    centred = fbank - fbank.mean(axis=0)
    golden = case[f"{name}.fbank"].numpy()
    np.testing.assert_allclose(centred if abs(golden.mean()) < 1e-3 else fbank, golden, atol=5e-4)
    embedding = SpeakerEncoder(CHECKPOINT / "frontend" / "campplus.onnx").embed(at_16k[0].numpy())
    np.testing.assert_allclose(embedding, case[f"{name}.spk_embedding"][0].numpy(), atol=1e-4)
    for mel_rate in (24000, 32000):
        mel = prompt_mel(exact.resample(mono, rate, mel_rate), mel_rate)
        torch.testing.assert_close(mel.transpose(1, 2), case[f"{name}.speech_feat_{mel_rate}"], atol=1e-4, rtol=0)
    tokens = load_speech_tokenizer(CHECKPOINT / "speech_tokenizer").encode(exact.resample(channels[:1], rate, 16000)[0])
    assert tokens.equal(case[f"{name}.speech_token"][0].long())


def test_text_ids():
    tokenizer, golden = TextTokenizer(CHECKPOINT / "vq32k-phoneme-tokenizer"), golden_json("tokenizer")
    assert (tokenizer.speech.first, tokenizer.speech.begin, tokenizer.speech.end) == tuple(
        golden["special_ids"][k] for k in ("ats", "boa", "eoa")
    )
    for case in golden["cases"]:
        assert tokenizer.encode(case["in"]) == case["ids"], case["in"]


def test_the_speech_tokenizer_works_on_the_device_and_leaves_it():
    tokenizer = load_speech_tokenizer(CHECKPOINT / "speech_tokenizer")
    places = []
    move = tokenizer.to
    tokenizer.to = lambda device: places.append(str(device)) or move("cpu")
    tokenizer.cpu = lambda: places.append("home")
    tokenizer.conv1.register_forward_hook(lambda *args: places.append("heard"))
    speaker = SpeakerEncoder(CHECKPOINT / "frontend" / "campplus.onnx")
    assert len(list(listen(make_audio(3, 24000, 5.0), 24000, tokenizer, speaker, torch.device("cpu", 0)))) > 0
    assert places == ["cpu:0", "heard", "home"]
