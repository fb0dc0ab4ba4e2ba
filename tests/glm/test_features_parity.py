"""Features of the reference audio equal the golden numbers."""

import importlib.util

import numpy as np
import pytest
import torch

from tests.glm.conftest import CASES, CHECKPOINT, Case, golden_json, make_audio, wnormal, wuniform
from tts_service.audio import kaldi_fbank, load_audio, resample
from tts_service.glm.mel import prompt_mel, slaney_mel_filters
from tts_service.glm.speaker import SpeakerEncoder
from tts_service.glm.speech_tokenizer import load_speech_tokenizer
from tts_service.glm.tokenizer import TextTokenizer


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
        ours = resample(case[f"resample_in_{rate}"].numpy(), rate, 16000)
        np.testing.assert_allclose(ours, case[f"resample_{rate}_to_16000"].numpy(), atol=2e-6)


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
            seed, milliseconds, f0 = audio.tolist()
            audio = torch.from_numpy(make_audio(seed, 16000, milliseconds / 1000, f0))
        assert model.encode(audio).equal(case[key.replace("audio", "extract")].long())


def test_speech_tokens_of_long_and_of_stereo_audio():
    case, model = Case("whisper_vq_main"), load_speech_tokenizer(CHECKPOINT / "speech_tokenizer")
    assert model.encode(torch.from_numpy(make_audio(55, 16000, 31.0, 150))).equal(case["long31s.extract"].long())
    for key, channel in (("stereo24k", 0), ("mono24k_ch1", 1)):
        mono = torch.from_numpy(resample(case["stereo24k.audio"].numpy(), 24000, 16000)[channel])
        assert model.encode(mono).equal(case[f"{key}.extract"].long())


@pytest.mark.parametrize("name", ["prompt_mono_24k", "prompt_stereo_44k1"])
def test_features_of_a_prompt_file(name):
    case = Case("prompt_features")
    samples, rate = load_audio(CASES / "wav" / f"{name}.wav")
    mono = samples.mean(axis=0)
    at_16k = resample(mono, rate, 16000)
    np.testing.assert_allclose(at_16k, case[f"{name}.wav16k"][0].numpy(), atol=2e-6)
    fbank = kaldi_fbank(at_16k)
    centred = fbank - fbank.mean(axis=0)
    golden = case[f"{name}.fbank"].numpy()
    np.testing.assert_allclose(centred if abs(golden.mean()) < 1e-3 else fbank, golden, atol=2e-3)
    embedding = SpeakerEncoder(CHECKPOINT / "frontend" / "campplus.onnx").embed(at_16k)
    np.testing.assert_allclose(embedding, case[f"{name}.spk_embedding"][0].numpy(), atol=1e-4)
    for mel_rate in (24000, 32000):
        mel = prompt_mel(torch.from_numpy(resample(mono, rate, mel_rate))[None], mel_rate)
        torch.testing.assert_close(mel.transpose(1, 2), case[f"{name}.speech_feat_{mel_rate}"], atol=1e-4, rtol=0)
    first_channel = torch.from_numpy(resample(samples[0], rate, 16000))
    tokens = load_speech_tokenizer(CHECKPOINT / "speech_tokenizer").encode(first_channel)
    assert tokens.equal(case[f"{name}.speech_token"][0].long())


def test_text_ids():
    tokenizer, golden = TextTokenizer(CHECKPOINT / "vq32k-phoneme-tokenizer"), golden_json("tokenizer")
    assert (tokenizer.speech.first, tokenizer.speech.begin, tokenizer.speech.end) == tuple(
        golden["special_ids"][k] for k in ("ats", "boa", "eoa")
    )
    for case in golden["cases"]:
        assert tokenizer.encode(case["in"]) == case["ids"], case["in"]


@pytest.mark.skipif(
    importlib.util.find_spec("kaldi_native_fbank") is None, reason="kaldi-native-fbank is not installed"
)
def test_fbank_agrees_with_kaldi_native_fbank():
    import kaldi_native_fbank as knf

    audio = make_audio(3, 16000, 1.5)
    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = 16000
    options.mel_opts.num_bins = 80
    options.mel_opts.high_freq = 8000
    theirs = knf.OnlineFbank(options)
    theirs.accept_waveform(16000, audio.tolist())
    theirs.input_finished()
    stacked = np.stack([theirs.get_frame(i) for i in range(theirs.num_frames_ready)])
    np.testing.assert_allclose(kaldi_fbank(audio), stacked, atol=5e-3)


def test_resampling_agrees_with_soxr_and_torchaudio():
    import soxr

    time = np.arange(44100) / 44100
    tone = (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    ours = resample(tone, 44100, 16000)
    np.testing.assert_allclose(ours[500:-500], soxr.resample(tone, 44100, 16000)[500:-500], atol=2e-3)
    try:
        from torchaudio.functional import resample as torchaudio_resample
    except (ImportError, OSError):
        return  # cannot be imported beside a CPU build of torch
    np.testing.assert_allclose(ours, torchaudio_resample(torch.from_numpy(tone), 44100, 16000).numpy(), atol=1e-5)
