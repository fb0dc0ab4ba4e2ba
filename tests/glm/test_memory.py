"""Memory is bounded by bytes: who does not fit waits, and what is reckoned is what is taken."""

import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import torch

from tests.glm import callers
from tests.glm.conftest import CHECKPOINT, make_audio
from tests.glm.test_engine import SHORT, TEXT
from tts_service import Synthesizer
from tts_service.engine import QUEUED, SpeechError, StopSignal
from tts_service.glm.device import memory
from tts_service.glm.engine import GLMEngine
from tts_service.glm.flow_matching import stream as flow_stream
from tts_service.glm.flow_matching.cache import FlowCache
from tts_service.glm.flow_matching.dit import DiTSizes
from tts_service.glm.flow_matching.flow import load_flow
from tts_service.glm.flow_matching.stream import Chunking, FlowStream, FlowVoice, stream_size, voice_size
from tts_service.glm.language_model.decode import GROUP
from tts_service.glm.models import CONTEXT
from tts_service.voices.library import Library


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    library = Library(folder / "library")
    for seed, name in ((3, "tong"), (5, "yi")):
        soundfile.write(folder / "recording.wav", make_audio(seed, 44100, 5.0), 44100)
        library.add(folder / "recording.wav", name=name, transcript="今天天气很好。", consent="a synthetic sound")
    return library


class Watched(FlowCache):
    """Knows what all caches that are alive take, and the most they ever took."""

    alive: weakref.WeakSet = weakref.WeakSet()
    most = 0

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        Watched.alive.add(self)
        Watched.most = max(Watched.most, sum(cache.bytes for cache in Watched.alive))

    @property
    def bytes(self):
        tokens = self.tokens
        tensors = (
            self.past.kept, self.left, self.next_left, tokens.left, tokens.next_left, tokens.energy,
            tokens.next_energy, tokens.expected,
        )  # fmt: skip
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.fixture
def watched(monkeypatch):
    monkeypatch.setattr(flow_stream, "FlowCache", Watched)
    Watched.alive, Watched.most = weakref.WeakSet(), 0
    return Watched


def sizes(engine, text=TEXT):
    """Bytes of a voice and of a stream."""
    models = engine._loaded()
    ready = next(iter(engine._known().known.values()))
    expected = round(1.2 * 25 * ready.pace * len(text.text))
    return ready.size, stream_size(models.flow, Chunking(), expected, len(ready.features.tokens))


def heard(engine, voice):
    return np.concatenate([chunk.samples for chunk in engine.synthesize(TEXT, voice, SHORT, StopSignal())])


def test_what_is_reckoned_is_what_caches_take():
    flow = load_flow(CHECKPOINT / "flow")
    tokens, mel = torch.zeros(50, dtype=torch.long), torch.zeros(100, 80)
    for flow.past_dtype in (torch.float32, torch.float16):
        voice = FlowVoice(flow, tokens, mel, torch.ones(192))
        for expected in (10, 100, 1000):
            cache = FlowStream(voice, 0, Chunking(), expected)._cache
            assert Watched.bytes.fget(cache) == stream_size(flow, Chunking(), expected, 50)
        made = [cell for modulation in voice.modulations for cell in (modulation.blocks, modulation.out)]
        rest = 4 * sum(tensor.numel() for tensor in (*made, voice.foresight._cells))
        assert Watched.bytes.fget(voice.prompt) + rest == voice_size(flow, 50)


def test_the_published_sizes_are_those_of_the_caches():
    published = DiTSizes(768, 18, 100001, 512, 4, 768 + 192, 80 + 80 + 512)
    frames = 30 + 2 * Chunking().window + Chunking().region
    margins = FlowCache.size(published, 10, 0, torch.float16)
    assert FlowCache.size(published, 10, frames, torch.float16) - margins == memory.STREAM
    assert margins < 0.01 * memory.STREAM
    assert (CONTEXT + GROUP) * 28 * 2 * 512 * 2 == memory.SLOT


def test_ten_callers_in_the_room_of_two_wait_and_are_all_heard(library, watched):
    roomy = GLMEngine.load(CHECKPOINT, voices=library.folder, device="cpu", slots=2)
    expected = heard(roomy, roomy.voices()[0])
    voice, stream = sizes(roomy)
    room = voice + 2 * stream + stream // 2
    watched.alive, watched.most = weakref.WeakSet(), 0
    engine = GLMEngine.load(CHECKPOINT, voices=library.folder, device="cpu", slots=2, room=room)
    with Synthesizer(engine) as synthesizer, ThreadPoolExecutor(10) as pool:
        several = list(pool.map(lambda seed: callers.say(synthesizer, TEXT.text, seed), [0] * 10))
        assert engine._loaded().room.taken == voice, "only the voice is kept"
    assert len(expected) > 0
    assert [error for _, error, _ in several] == [None] * 10
    assert all(np.array_equal(samples, several[0][0]) and len(samples) for samples, _, _ in several)
    assert 2 * stream < watched.most <= room
    waits = sorted(report.queue_wait for _, _, report in several)
    assert waits[-1] > waits[0], "who waits is told how long"


def test_a_voice_that_nobody_uses_makes_room_for_another(library, watched):
    engine = GLMEngine.load(CHECKPOINT, voices=library.folder, device="cpu")
    first, second = engine.voices()
    alone = heard(engine, first)
    voice, stream = sizes(engine)
    tight = GLMEngine.load(CHECKPOINT, voices=library.folder, device="cpu", room=voice + stream)
    for name in (first, second, first):
        assert len(heard(tight, name))
        assert tight._loaded().room.taken == voice
    assert np.array_equal(heard(tight, first), alone)


def test_who_can_never_fit_is_told_so_at_once(library):
    engine = GLMEngine.load(CHECKPOINT, voices=library.folder, device="cpu", room=1000)
    with pytest.raises(SpeechError, match=r"take .* MB beside the networks"):
        heard(engine, engine.voices()[0])
    assert engine._loaded().room.taken == 0


def test_a_waiting_caller_who_hangs_up_leaves_the_line(library):
    engine = GLMEngine.load(CHECKPOINT, voices=library.folder, device="cpu")
    voice = engine.voices()[0]
    heard(engine, voice)
    room = engine._loaded().room
    room.size = room.taken + sizes(engine)[1]
    speaking = engine.synthesize(TEXT, voice, SHORT, StopSignal())
    next(speaking)
    stop = StopSignal()
    newcomer = engine.synthesize(TEXT, voice, SHORT, stop)
    assert next(newcomer) is QUEUED
    stop.set()
    assert list(newcomer) == []
    newcomer = engine.synthesize(TEXT, voice, SHORT, StopSignal())
    assert next(newcomer) is next(newcomer) is QUEUED
    speaking.close()
    assert next(newcomer) is not QUEUED
    newcomer.close()
    assert room.free == sizes(engine)[1]


def test_whoever_is_in_the_middle_of_an_utterance_comes_before_newcomers():
    room = memory.Room(10)
    newcomer, speaker = room.line_up(ahead=False), room.line_up(ahead=True)
    assert room.is_first(speaker)
    room.leave(speaker)
    assert room.is_first(newcomer)
    assert room.take(10)
    assert not room.take(1)
    room.give(10)
    assert room.free == 10
