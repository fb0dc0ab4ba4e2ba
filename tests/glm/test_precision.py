"""TF32 belongs to the flow on a GPU and to nothing else, and there it cannot be heard."""

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from tests.glm.conftest import CHECKPOINT, Case
from tts_service.glm.device.precision import tf32
from tts_service.glm.flow_matching.dit import DiTSizes
from tts_service.glm.flow_matching.flow import Flow, load_flow
from tts_service.glm.flow_matching.stream import Chunking, FlowStream, FlowVoice
from tts_service.glm.listening.speech_tokenizer import load_speech_tokenizer
from tts_service.glm.published.checkpoint import FlowConfig
from tts_service.glm.vocoding.hift import load_hift
from tts_service.glm.vocoding.hift_stream import HiFTStream


def setting():
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def settings_inside(module, call):
    """What held while a layer of the network ran; whatever the caller has set must hold again afterwards."""
    seen = []
    handle = module.register_forward_pre_hook(lambda *args: seen.append(setting()))
    try:
        with tf32(True):
            call()
            assert setting() == (True, True)
    finally:
        handle.remove()
    return set(seen)


def test_a_network_on_the_cpu_and_those_that_must_be_exact_refuse_it():
    flow = load_flow(CHECKPOINT / "flow")
    assert not flow.estimator.rounded
    modulation = flow.estimator.modulate(torch.zeros(1), torch.zeros(1, 192))
    features = flow.estimator.embed_tokens(torch.zeros(1, 9, dtype=torch.long))

    def velocity():
        flow.estimator([torch.zeros(1, 9, 80), torch.zeros(1, 9, 80), features], modulation)

    assert settings_inside(flow.estimator.proj_out, velocity) == {(False, False)}
    flow.estimator.rounded = True
    assert settings_inside(flow.estimator.proj_out, velocity) == {(True, True)}
    hift, mel = load_hift(CHECKPOINT / "hift"), Case("hift")["mel_1"]
    inside = settings_inside(hift.f0_predictor.condnet[1], lambda: HiFTStream(hift, 0).push(mel))
    assert inside == {(False, False)}
    listener = load_speech_tokenizer(CHECKPOINT / "speech_tokenizer")
    inside = settings_inside(listener.layers[0], lambda: listener.encode(torch.zeros(6400)))
    assert inside == {(False, False)}


def test_the_setting_survives_a_failure():
    before = setting()
    with pytest.raises(KeyError), tf32(not before[0]):
        raise KeyError
    assert setting() == before


class TF32(TorchFunctionMode):
    """Factors of products are rounded to 10 bits, as a GPU's tensor cores do; sums are exact."""

    PRODUCTS = (F.linear, F.conv1d, torch.conv1d, torch.matmul, F.scaled_dot_product_attention)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in self.PRODUCTS:
            count = 3 if function is F.scaled_dot_product_attention else 2
            args = (*(rounded(one) if one.dtype == torch.float32 else one for one in args[:count]), *args[count:])
        return function(*args, **(kwargs or {}))


def rounded(tensor, bits=10):
    whole = tensor.contiguous().view(torch.int32)
    drop = 23 - bits
    nearest = (whole + (1 << (drop - 1)) - 1 + ((whole >> drop) & 1)) >> drop << drop
    return nearest.view(torch.float32)


@pytest.fixture(scope="module")
def deep_flow():
    """A narrow flow as deep as the published one, with random weights."""
    torch.manual_seed(0)
    flow = Flow(
        FlowConfig(spkr_emb_adaLN=True, speech_token_cfg=False, remove_spkr_concat_condition=True),
        DiTSizes(128, 18, 32769, 32, 4, 128 + 192, 80 + 80 + 32),
    )
    for tensor in flow.requires_grad_(False).eval().parameters():
        tensor.normal_(0, tensor[0].numel() ** -0.5 if tensor.dim() > 1 else 0.02)
    flow.estimator.rotary_embed.inv_freq = 10000 ** (-torch.arange(32) / 32)
    return flow


@torch.inference_mode()
def spoken(flow):
    dice = torch.Generator().manual_seed(1)
    reference, said = (torch.randint(0, 32768, (count,), generator=dice) for count in (30, 40))
    mel, speaker = torch.randn(60, 80, generator=dice) - 4, torch.randn(192, generator=dice)
    stream = FlowStream(FlowVoice(flow, reference, mel, speaker), 0, Chunking(), 40)
    stream.add(said.tolist())
    stream.end()
    mels = []
    while stream.ready:
        mels.append(stream.chunk(lambda: False))
    return torch.cat(mels, dim=-1)


DECIBEL = 20 / torch.log(torch.tensor(10.0))
"""In a mel, which is a natural logarithm."""


def test_what_a_gpu_rounds_in_the_flow_cannot_be_heard(deep_flow):
    exact = spoken(deep_flow)
    deep_flow.past_dtype = torch.float16
    kept = spoken(deep_flow)
    with TF32():
        both = spoken(deep_flow)
    deep_flow.past_dtype = torch.float32
    print("past in 16 bits", DECIBEL * (kept - exact).abs().max(), "and TF32", DECIBEL * (both - exact).abs().max())
    assert 0 < DECIBEL * (kept - exact).abs().max() < 0.02
    assert 0 < DECIBEL * (both - exact).abs().max() < 0.1
    assert DECIBEL * (both - exact).square().mean().sqrt() < 0.02


@torch.inference_mode()
def test_the_floor_of_a_pause_stays_where_it_is():
    """Rounding moves a mel by some thousandths, and a mel is logarithmic: a quiet band stays quiet."""
    hift = load_hift(CHECKPOINT / "hift")
    pause = torch.full((1, 80, 40), -11.5)
    moved = pause + 0.01 * torch.randn(pause.shape, generator=torch.Generator().manual_seed(0))
    level, other = (HiFTStream(hift, 0).push(mel, final=True).square().mean().sqrt() for mel in (pause, moved))
    assert abs(20 * torch.log10(other / level)) < 0.1
