"""Fewer evaluations of the flow: what is left out is not worked on, and what is left is the same on every way."""

import pytest
import torch

from tests.glm.conftest import CHECKPOINT, Case
from tts_service import SpeechError
from tts_service.glm.device.noise import Purpose
from tts_service.glm.flow_matching import flow as flow_module
from tts_service.glm.flow_matching.flow import Solver, load_flow, solve
from tts_service.glm.flow_matching.graph import FlowGraphs
from tts_service.glm.flow_matching.pool import FramePool
from tts_service.glm.flow_matching.stream import Chunking, FlowStream, FlowVoice, frame_noise, stream_size

FEATURES = Case("prompt_features")
TOKENS = FEATURES["prompt_mono_24k.speech_token"][0].long()[:40]
MEL = FEATURES["prompt_mono_24k.speech_feat_24000"][0][:80]
SPEAKER = FEATURES["prompt_mono_24k.spk_embedding"][0]
SPOKEN = torch.randint(0, 32768, (48,), generator=torch.Generator().manual_seed(0))
CHUNKING = Chunking((10, 12), 5, 20)


def never():
    return False


def flow_of(steps, guided):
    flow = load_flow(CHECKPOINT / "flow")
    flow.solver = Solver(steps, guided)
    return flow


def whole(flow):
    def noise(frames):
        prompt = frame_noise(0, Purpose.FLOW_PROMPT, 0, len(MEL), "cpu")
        return torch.cat([prompt, frame_noise(7, Purpose.FLOW, 0, frames - len(MEL), "cpu")], dim=1)

    return solve(flow, SPOKEN, TOKENS, MEL, SPEAKER, noise)[0]


def streamed(flow, chunking=CHUNKING, graphs=None):
    stream = FlowStream(FlowVoice(flow, TOKENS, MEL, SPEAKER, graphs=graphs), 7, chunking, len(SPOKEN))
    stream.add(SPOKEN.tolist())
    stream.end()
    mels = []
    while stream.ready:
        mels.append(stream.chunk(never))
    return torch.cat(mels, dim=2)


@pytest.mark.parametrize("solver", [(4, 4), (5, 2), (3, 0)])
def test_in_graphs_in_chunks_and_in_one_piece_it_is_the_same(solver, monkeypatch):
    flow, sizes = flow_of(*solver), []
    monkeypatch.setattr(type(flow), "frames", lambda self, n: 2 * n)  # without the frame that its rounding loses
    pool = FramePool(flow.estimator.sizes, flow.solver.steps, 300, "cpu")
    eager = streamed(flow)
    recorded = streamed(flow, graphs=FlowGraphs(flow, CHUNKING.lengths, 250, pool, 2))
    torch.testing.assert_close(recorded, eager, atol=2e-4, rtol=1e-4)
    handle = flow.estimator.register_forward_hook(lambda module, args, out: sizes.append(len(out)))
    exact = whole(flow)
    handle.remove()
    assert sizes == [2] * solver[1] + [1] * (solver[0] - solver[1]), "a branch that is left out costs nothing"
    at_once = streamed(flow, Chunking((len(SPOKEN),), 15, len(SPOKEN)))
    assert float((at_once - exact).abs().mean() / exact.abs().mean()) < 2e-3


def test_without_guidance_it_is_what_guidance_of_nothing_gives(monkeypatch):
    unguided = whole(flow_of(6, 0))
    assert not torch.allclose(unguided, whole(flow_of(6, 6)), atol=1e-2)
    monkeypatch.setattr(flow_module, "GUIDANCE", 0.0)
    torch.testing.assert_close(unguided, whole(flow_of(6, 6)), atol=1e-4, rtol=1e-4)


def test_more_steps_come_nearer_to_the_end_and_every_step_takes_memory():
    truth = whole(flow_of(40, 40))
    far, near = (float((whole(flow_of(steps, steps)) - truth).abs().mean()) for steps in (4, 10))
    assert near < far
    fewer = stream_size(flow_of(5, 5), Chunking(), 100, 40)
    assert fewer == pytest.approx(stream_size(flow_of(10, 10), Chunking(), 100, 40) / 2, rel=0.05)


@pytest.mark.parametrize("solver", [(0, 0), (10, 11), (10, -1), (51, 10)])
def test_numbers_that_make_no_sense_are_refused(solver):
    with pytest.raises(SpeechError, match="1 to 50 steps"):
        Solver(*solver)
