"""Chunks in shapes that a graph can record are the eager ones but for the order of sums."""

import gc

import pytest
import torch

from tests.glm.conftest import CHECKPOINT, Case
from tts_service.glm.flow_matching.flow import load_flow
from tts_service.glm.flow_matching.graph import FlowGraphs
from tts_service.glm.flow_matching.pool import FramePool
from tts_service.glm.flow_matching.stream import FRAMES, Chunking, FlowStream, FlowVoice, work_through

FEATURES = Case("prompt_features")
CHUNKING = Chunking((10, 12), 5, 20)


def never():
    return False


class Tape:
    """Records nothing and does the work again, and knows how often it was asked to."""

    def __init__(self):
        self.recorded = self.replayed = 0

    def __call__(self, work):
        work()
        self.recorded += 1

        def replay():
            self.replayed += 1
            work()

        return replay


@pytest.fixture(scope="module")
def flow():
    return load_flow(CHECKPOINT / "flow")


def graphs_of(flow, record=None, frames=700, past=250):
    pool = FramePool(flow.estimator.sizes, flow.solver.steps, frames, "cpu")
    return FlowGraphs(flow, CHUNKING.lengths, past, pool, 4, record)


def voice_of(flow, tokens, graphs=None):
    mel = FEATURES["prompt_mono_24k.speech_feat_24000"][0][: FRAMES * tokens]
    ids = FEATURES["prompt_mono_24k.speech_token"][0].long()[:tokens]
    return FlowVoice(flow, ids, mel, FEATURES["prompt_mono_24k.spk_embedding"][0], graphs=graphs)


def spoken(voice, number, tokens):
    stream = FlowStream(voice, number, CHUNKING, 40)
    stream.add(torch.randint(0, 32768, (tokens,), generator=torch.Generator().manual_seed(number)).tolist())
    stream.end()
    return stream


def test_listeners_of_any_length_in_one_batch_hear_what_the_eager_flow_says(flow):
    tape = Tape()
    graphs = graphs_of(flow, tape)
    lengths = {0: 70, 1: 33, 2: 12}  # the first goes round its ring, the last says one short chunk
    pair = [(voice_of(flow, 40), voice_of(flow, 40, graphs)), (voice_of(flow, 8), voice_of(flow, 8, graphs))]
    eager = {number: spoken(pair[number % 2][0], number, tokens) for number, tokens in lengths.items()}
    streams = {number: spoken(pair[number % 2][1], number, tokens) for number, tokens in lengths.items()}
    heard = {number: [] for number in lengths}
    expected = {number: [] for number in lengths}
    while due := [number for number in lengths if streams[number].ready]:
        for number in due:
            expected[number].append(eager[number].chunk(never))
        for number, mel in zip(due, work_through([streams[n] for n in due], [never] * len(due)), strict=True):
            heard[number].append(mel)
    assert [len(heard[number]) for number in lengths] == [6, 3, 1]
    for number in lengths:
        torch.testing.assert_close(torch.cat(heard[number], 2), torch.cat(expected[number], 2), atol=2e-4, rtol=1e-4)
    assert tape.replayed > 40
    assert tape.recorded < 14


def test_a_chunk_that_was_stopped_is_worked_on_again_and_the_others_go_on(flow):
    graphs = graphs_of(flow)
    voice, eager = voice_of(flow, 40, graphs), voice_of(flow, 40)
    streams = [spoken(voice, number, 40) for number in range(2)]
    looks = iter([False] * 5 + [True] * 99)
    mels = work_through(streams, [lambda: next(looks), never])
    assert mels[0] is None
    for number, mel in ((0, streams[0].chunk(never)), (1, mels[1])):
        torch.testing.assert_close(mel, spoken(eager, number, 40).chunk(never), atol=2e-4, rtol=1e-4)


def test_the_eager_flow_can_work_in_the_pool_too_and_forgotten_streams_give_it_back(flow):
    graphs = graphs_of(flow)
    left = graphs.pool.left
    voice = voice_of(flow, 40, graphs)
    graphs.solve = None  # the voice's prompt is worked through without it
    assert graphs.pool.left == left - FRAMES * (40 - 15)
    stream, eager = spoken(voice, 0, 60), spoken(voice_of(flow, 40), 0, 60)
    voice.graphs, pool = None, graphs.pool
    stream._cache.past = type(voice.prompt.past)(pool, 200)
    for _ in range(4):
        torch.testing.assert_close(stream.chunk(never), eager.chunk(never), atol=1e-5, rtol=0)
    with pytest.raises(MemoryError, match="are left"):
        pool.take(pool.left + 1)
    del stream, voice, graphs
    gc.collect()
    assert pool.left == left
