"""What the first utterance needs has been run before it."""

from collections import Counter

import numpy as np
import soundfile
import torch

from tests.glm.conftest import CHECKPOINT, make_audio
from tts_service import Synthesizer
from tts_service.glm import cuda
from tts_service.glm import ready as ready_module
from tts_service.glm.engine import GLMEngine
from tts_service.glm.flow_matching import stream as flow_stream
from tts_service.glm.flow_matching.flow import load_flow
from tts_service.glm.flow_matching.stream import Chunking
from tts_service.glm.language_model.decode import GROUP, Decoder, SpeechHead
from tts_service.glm.language_model.lm import load_lm
from tts_service.glm.language_model.tokenizer import TextTokenizer
from tts_service.glm.models import in_fixed_shapes
from tts_service.glm.vocoding.hift import load_hift
from tts_service.glm.vocoding.hift_graph import HiFTWindow
from tts_service.glm.vocoding.hift_stream import HiFTStream
from tts_service.voices.library import Library

CHUNKING = Chunking(blocks=(3, 4), lookahead=2)


def test_every_shape_that_an_utterance_can_have_is_run_beforehand(monkeypatch):
    flows, waves, told = set(), set(), []
    solve, push = flow_stream.solve_chunks, HiFTStream.push

    def solving(chunks):
        flows.add((len(chunks), chunks[0].frames))
        return solve(chunks)

    def pushing(self, mel, final=False):
        waves.add((mel.shape[2], final))
        return push(self, mel, final)

    monkeypatch.setattr(flow_stream, "solve_chunks", solving)
    monkeypatch.setattr(HiFTStream, "push", pushing)
    lm = load_lm(CHECKPOINT / "llm")
    ids = TextTokenizer(CHECKPOINT / "vq32k-phoneme-tokenizer").speech
    decoder = Decoder(lm, SpeechHead(lm, ids), lm.new_cache(2, 256 + GROUP))
    flow, hift = load_flow(CHECKPOINT / "flow"), load_hift(CHECKPOINT / "hift")
    costs = cuda.warm_up(decoder, flow, hift, CHUNKING, told.append, together=3)
    assert costs.group > 0
    assert costs.chunk > 0, "what the planner reckons with is measured"
    assert costs.push > 0
    warmed = flows.copy(), waves.copy()
    assert told == sorted(told)
    assert told[-1] == 1.0
    voice = flow_stream.FlowVoice(flow, torch.zeros(20, dtype=torch.long), torch.zeros(40, 80), torch.ones(192))
    for count in (1, 2, 3):
        streams = [flow_stream.FlowStream(voice, seed, CHUNKING, 30) for seed in range(count)]
        for stream in streams:
            stream.add(range(30))
        wave = HiFTStream(hift, 0)
        while streams[0].ready:
            wave.push(flow_stream.work_through(streams, [lambda: False] * count)[0])
        for last in range(1, 7):
            HiFTStream(hift, 0).push(torch.zeros(1, 80, 2 * last), final=True)
    assert flows - warmed[0] <= {(1, 40)}, "the prompt of the voice, which has a length of its own"
    assert waves == warmed[1]


def test_every_graph_that_an_utterance_can_need_is_recorded_beforehand():
    flow, hift, recorded = load_flow(CHECKPOINT / "flow"), load_hift(CHECKPOINT / "hift"), []
    graphs, windows, _ = in_fixed_shapes(flow, hift, CHUNKING, 3e7, lambda: lambda work: recorded.append(work) or work)
    for kind in graphs.kinds:
        graphs.rehearse(kind)
    for kind in windows.kinds:
        windows.rehearse(*kind)
    known = len(recorded)
    assert known == len(graphs.kinds) + len({(kind.rows, kind.frames) for kind in graphs.kinds}) + len(windows.kinds)
    tokens, mel = torch.zeros(40, dtype=torch.long), torch.zeros(80, 80)
    voice = flow_stream.FlowVoice(flow, tokens, mel, torch.ones(192), graphs=graphs)
    streams, wave = [flow_stream.FlowStream(voice, seed, CHUNKING, 10) for seed in range(2)], HiFTWindow(windows, 0)
    for stream in streams:
        stream.add(range(10))
        stream.end()
    while streams[0].ready:
        wave.push(flow_stream.work_through(streams, [lambda: False] * 2)[0])
    wave.push(torch.zeros(1, 80, 1), final=True)
    assert len(recorded) == known


def test_the_first_caller_pays_for_no_voice(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "recording.wav", make_audio(3, 44100, 5.0), 44100)
    library = Library(tmp_path / "library")
    library.add(tmp_path / "recording.wav", name="tong", transcript="今天天气很好。", consent="a synthetic sound")
    made = Counter()
    for module, name in ((ready_module, "FlowVoice"), (ready_module, "listen")):
        work = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, name=name, work=work: (made.update([name]), work(*args))[1])
    engine = GLMEngine.load(CHECKPOINT, voices=library.folder, device="cpu")
    with Synthesizer(engine) as synthesizer:
        synthesizer.warm_up("tong")
        assert made == {"FlowVoice": 1, "listen": 1}
        first = [chunk.samples for chunk in synthesizer.stream("今天天气很好。", "tong", max_length=40)]
        assert np.concatenate(first).any()
        assert made == {"FlowVoice": 1, "listen": 1}
