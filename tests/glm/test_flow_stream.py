"""The flow in chunks: close to the whole, flat in cost, the same however the tokens arrive, stopped at any step."""

import pytest
import torch

from tests.glm.conftest import CHECKPOINT, Case
from tts_service.glm.device.noise import Purpose
from tts_service.glm.flow_matching import cache as flow_cache
from tts_service.glm.flow_matching.flow import load_flow, solve
from tts_service.glm.flow_matching.stream import Chunking, FlowStream, FlowVoice, frame_noise

PROMPT = Case("prompt_features")
TOKENS = PROMPT["prompt_mono_24k.speech_token"][0].long()
MEL = PROMPT["prompt_mono_24k.speech_feat_24000"][0]
SPEAKER = PROMPT["prompt_mono_24k.spk_embedding"][0]


def never():
    return False


def random_tokens(n, seed=0):
    return torch.randint(0, 32768, (n,), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def voice():
    return FlowVoice(load_flow(CHECKPOINT / "flow"), TOKENS, MEL, SPEAKER)


def stream_of(voice, tokens, *, chunking=None, seed=7, group=1, expected=None):
    stream, mels = FlowStream(voice, seed, chunking or Chunking(), expected or len(tokens)), []
    for start in range(0, len(tokens), group):
        stream.add(tokens[start : start + group].tolist())
        while stream.ready:
            mels.append(stream.chunk(never))
    while stream.pending:
        mels.append(stream.chunk(never, final=True))
    return mels


def whole(voice, tokens, monkeypatch, seed=7):
    """The published computation, with the noise of the stream and without the one frame that its rounding loses."""
    monkeypatch.setattr(type(voice.flow), "frames", lambda self, n: 2 * n)

    def noise(frames):
        prompt = frame_noise(0, Purpose.FLOW_PROMPT, 0, len(MEL), "cpu")
        return torch.cat([prompt, frame_noise(seed, Purpose.FLOW, 0, frames - len(MEL), "cpu")], dim=1)

    return solve(voice.flow, tokens, TOKENS, MEL, SPEAKER, noise)[0]


def error(ours, exact):
    return float((ours - exact).abs().mean() / exact.abs().mean())


def test_one_chunk_is_the_whole_utterance(voice, monkeypatch):
    tokens = random_tokens(60)
    mel = torch.cat(stream_of(voice, tokens, chunking=Chunking((60,), 15, 60)), dim=2)
    # what is left: the prompt's own frames were worked through before the speech behind them was known
    assert error(mel, whole(voice, tokens, monkeypatch)) < 2e-3


def at_joins(mels):
    joins = torch.tensor([m.shape[2] for m in mels]).cumsum(0)[:-1]
    return (joins[:, None] + torch.arange(-3, 3)).flatten()


@pytest.mark.parametrize("count", [100, 300, 1500])
def test_chunks_stay_within_four_percent_of_the_whole_at_their_joins(voice, monkeypatch, count):
    tokens = random_tokens(count, seed=count)
    exact = whole(voice, tokens, monkeypatch)
    for expected in (count, round(1.4 * count))[-1 if count > 1000 else 0 :]:  # too long a guess is the worse one
        mels = stream_of(voice, tokens, expected=expected)
        mel, around = torch.cat(mels, dim=2), at_joins(mels)
        assert mel.shape == exact.shape
        assert error(mel[:, :, around], exact[:, :, around]) < 0.04
        assert error(mel, exact) < 0.04


def test_what_left_the_window_is_stood_for(voice, monkeypatch):
    tokens = random_tokens(400)
    exact = whole(voice, tokens, monkeypatch)
    weighed = torch.cat(stream_of(voice, tokens, chunking=Chunking(window=60)), dim=2)
    monkeypatch.setattr(flow_cache.FlowCache, "_standing_in", lambda self, frames: None)
    forgetful = torch.cat(stream_of(voice, tokens, chunking=Chunking(window=60)), dim=2)
    assert error(weighed, exact) < 0.9 * error(forgetful, exact)


def test_foreseeing_the_length_brings_a_long_utterance_closer_to_the_whole(voice, monkeypatch):
    tokens = random_tokens(500)
    exact = whole(voice, tokens, monkeypatch)
    foreseen, blind = (torch.cat(stream_of(voice, tokens, expected=n), dim=2) for n in (500, 1))
    assert error(foreseen, exact) < 0.8 * error(blind, exact)


def test_arrival_does_not_matter_but_the_seed_does(voice):
    tokens = random_tokens(90)
    one_by_one = torch.cat(stream_of(voice, tokens), dim=2)
    assert torch.cat(stream_of(voice, tokens, group=90), dim=2).equal(one_by_one)
    assert not torch.cat(stream_of(voice, tokens, seed=8), dim=2).allclose(one_by_one, atol=1e-2)


def test_the_cost_of_a_chunk_is_flat(voice):
    frames, keys = [], []
    attention = voice.flow.estimator.transformer_blocks[0].attn
    handle = attention.register_forward_hook(lambda module, args, out: frames.append(args[0].shape[1]))
    attend = torch.nn.functional.scaled_dot_product_attention
    try:
        with pytest.MonkeyPatch.context() as patch:

            def spy(q, k, v, **weights):
                keys.append(k.shape[2])
                return attend(q, k, v, **weights)

            patch.setattr(flow_cache.F, "scaled_dot_product_attention", spy)
            stream_of(voice, random_tokens(650))
    finally:
        handle.remove()
    # multiplications a frame at the published width: 8 * 768^2 in the layers, 2 * 768 for each key
    work = [n * (4 * 768 + m) for n, m in zip(frames[:: len(voice.spans)], keys[:: 2 * len(voice.spans)], strict=True)]
    assert max(work[1:]) <= 1.3 * work[0]
    assert len(set(keys[-200:-40])) == 1, "the window is full long before the end, and then nothing grows"


def test_the_prompt_is_not_worked_through_again(voice):
    seen = []
    handle = voice.flow.estimator.proj_out.register_forward_hook(lambda module, args, out: seen.append(out.shape[1]))
    try:
        stream_of(voice, random_tokens(30), chunking=Chunking((30,), 0, 100))
    finally:
        handle.remove()
    assert set(seen) == {2 * (30 + 15)}, (
        "the chunk, and the fifteen last tokens of the prompt, whose convolutions see it"
    )


def test_a_chunk_stops_at_the_step_that_it_is_told_to(voice):
    for step in range(len(voice.spans)):
        calls, looks = [], iter([*[False] * step, True])
        handle = voice.flow.estimator.register_forward_hook(lambda *args, calls=calls: calls.append(1))
        try:
            stream = FlowStream(voice, 0, Chunking())
            stream.add(range(40))
            assert stream.chunk(lambda looks=looks: next(looks)) is None
        finally:
            handle.remove()
        assert len(calls) == step


def test_utterances_of_one_voice_do_not_touch_each_other(voice):
    alone = torch.cat(stream_of(voice, random_tokens(70)), dim=2)
    first, second = (FlowStream(voice, seed, Chunking(), expected=70) for seed in (7, 9))
    first.add(random_tokens(70).tolist())
    second.add(random_tokens(70, seed=5).tolist())
    mels = []
    while first.pending:
        mels.append(first.chunk(never, final=True))
        if second.pending:
            second.chunk(never, final=True)
    assert torch.cat(mels, dim=2).equal(alone)
