"""The published pipeline from tokens to wave, whole and in its own chunks, and from text ids to wave."""

import pytest
import torch

from tests.glm.conftest import CHECKPOINT, Case, assert_same_sound, golden_json, rounding, wnormal
from tests.glm.test_lm_parity import IDS
from tts_service.glm import exact
from tts_service.glm.flow_matching.flow import load_flow
from tts_service.glm.language_model.decode import Limits
from tts_service.glm.language_model.lm import load_lm
from tts_service.glm.language_model.prompt import Turn, prompt_ids, recall
from tts_service.glm.language_model.sampling import Sampling
from tts_service.glm.published.checkpoint import VOCODER_32K
from tts_service.glm.vocoding.hift import load_hift
from tts_service.glm.vocoding.vocoder import Vocos2D


@pytest.fixture(scope="module")
def flow():
    return load_flow(CHECKPOINT / "flow")


@pytest.fixture(scope="module")
def hift():
    return load_hift(CHECKPOINT / "hift")


@pytest.fixture(scope="module")
def vocos():
    return Vocos2D(CHECKPOINT / VOCODER_32K)


class Noise:
    """Answers the calls in the golden order, for the shapes that matter."""

    def __init__(self, calls):
        self.calls = [(seed, tuple(shape)) for _, seed, shape in calls if shape[-1] in (80, 9) and shape[1] != 9]

    def __call__(self, size):
        seed, shape = self.calls.pop(0)
        assert shape[1] == size
        return wnormal(seed, shape)


def conditions(case, embedding=None):
    embedding = case["embedding"][0] if embedding is None else embedding
    return exact.Conditions(case["prompt_token"][0].long(), case["prompt_feat"][0], embedding)


def test_whole_utterance_at_24_khz(flow, hift):
    case = Case("token2wav_24k")

    def run(embedding):
        noise, known = Noise(case.meta["noise"]), conditions(case, embedding)
        return exact.whole(flow, known, case["syn_token"].long(), noise, exact.hift_vocode(hift, noise))

    mel, wav = run(case["embedding"][0])
    torch.testing.assert_close(mel, case["mel"], atol=1e-4, rtol=0)
    assert_same_sound(wav, case["wav"], rounding(lambda embedding: run(embedding)[1], case["embedding"][0]))


def test_whole_utterance_at_32_khz(flow, vocos):
    case = Case("token2wav_32k")
    mel, wav = exact.whole(flow, conditions(case), case["syn_token"].long(), Noise(case.meta["noise"]), vocos)
    torch.testing.assert_close(mel, case["mel"], atol=1e-4, rtol=0)
    torch.testing.assert_close(wav, case["wav"], atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "name",
    [
        "24k_single_chunk",
        "24k_small_6chunks",
        "32k_default_4chunks",
        "32k_nolookahead",
        "32k_promptfeat_mismatch_fade0",
        "32k_short_last",
    ],
)
def test_the_shipped_chunk_driver(flow, hift, vocos, name):
    case = Case(f"token2wav_stream_{name}")
    meta = case.meta["meta"]
    shape = exact.StreamShape(
        tuple(meta["block_sizes"]), tuple(meta["look_future_sizes"]), meta["fade_sec"], **exact.SHIPPED
    )

    def run(embedding):
        noise, known = Noise(meta["noise_calls"]), conditions(case, embedding)
        vocode = exact.hift_vocode(hift, noise) if meta["sr"] == 24000 else vocos
        return list(exact.streamed(flow, known, case["syn_token"].long(), noise, vocode, meta["sr"], shape))

    pieces = run(case["embedding"][0])
    assert [len(samples) for _, samples in pieces] == meta["piece_samples"]
    for number, (mel, _) in enumerate(pieces):
        if f"mel_chunk_{number}" in case:
            torch.testing.assert_close(mel, case[f"mel_chunk_{number}"], atol=1e-4, rtol=0)
    wav = torch.cat([samples for _, samples in pieces])[None]
    if "wav" in case and meta["sr"] == 24000:
        sound = lambda embedding: torch.cat([samples for _, samples in run(embedding)])[None]  # noqa: E731
        assert_same_sound(wav, case["wav"], rounding(sound, case["embedding"][0]))
    elif "wav" in case:
        torch.testing.assert_close(wav, case["wav"], atol=1e-3, rtol=0)
    for key, (start, end) in meta.get("wav_slices", {}).items():
        torch.testing.assert_close(wav[:, start:end], case[key], atol=1e-3, rtol=0)


def test_chunk_lengths():
    for case in golden_json("iterate_list_in_chunks"):
        assert exact.cut(case["n"], case["chunk_sizes"]) == case["lens"]


@pytest.mark.parametrize("number", [0, 1])
def test_a_long_text_from_ids_to_wave(flow, hift, number):
    golden, case = golden_json("generate_long")[number], Case("generate_long")
    lm = load_lm(CHECKPOINT / "llm")
    calls = golden["llm_calls"]
    reference = Turn(tuple(calls[0]["prompt_text"]), tuple(calls[0]["prompt_speech"]))
    turns, tokens = [reference], []
    for call in calls:
        kept = recall(turns, len(call["text"])) if golden["use_cache"] else [reference]
        turns = [*kept] if golden["use_cache"] else turns
        assert [t for turn in kept for t in turn.text] == call["prompt_text"]
        assert [t for turn in kept for t in turn.speech] == call["prompt_speech"]
        generator = torch.Generator().manual_seed(golden["seed"])
        prompt = prompt_ids(kept, call["text"], IDS.begin, IDS.first)
        out = exact.generate(
            lm, IDS, prompt, Limits.of(len(call["text"])), Sampling(golden["sample_method"]), generator
        )
        assert out == call["out_rel"]
        turns.append(Turn(tuple(call["text"]), tuple(out)))
        tokens += out
    assert tokens == case[f"{golden['name']}.tokens"].tolist()
    voice = exact.Conditions(case["prompt_speech_token"][0].long(), case["speech_feat"][0], case["embedding"][0])
    noise = Noise(golden["noise_calls"])
    start, mels, waves = 0, [], []
    for call in calls:
        piece = torch.tensor(tokens[start : start + len(call["out_rel"])])
        mel, wav = exact.whole(flow, voice, piece, noise, exact.hift_vocode(hift, noise))
        mels, waves, start = [*mels, mel], [*waves, wav], start + len(piece)
    mel, wav = torch.cat(mels, dim=2), torch.cat(waves, dim=1)
    assert (mel.shape[2], wav.shape[1]) == (golden["mel_frames"], golden["wav_samples"])
    torch.testing.assert_close(mel[:, :, :320], case[f"{golden['name']}.mel_first320"], atol=1e-4, rtol=0)
    torch.testing.assert_close(mel[:, :, -80:], case[f"{golden['name']}.mel_last80"], atol=1e-4, rtol=0)
    torch.testing.assert_close(wav[:, :24000], case[f"{golden['name']}.wav_first24000"], atol=2e-2, rtol=0)
