"""TF32 belongs to the flow on a GPU and to nothing else."""

import pytest
import torch

from tests.glm.conftest import CHECKPOINT, Case
from tts_service.glm.flow import load_flow
from tts_service.glm.hift import load_hift
from tts_service.glm.hift_stream import HiFTStream
from tts_service.glm.precision import tf32
from tts_service.glm.speech_tokenizer import load_speech_tokenizer


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
