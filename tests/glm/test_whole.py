"""The full-quality path for files: the same tokens, then the published order of work."""

import weakref

import numpy as np
import pytest
import soundfile
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.glm.conftest import CHECKPOINT, assert_same_sound, make_audio, rounding
from tests.glm.test_engine import TEXT
from tts_service.engine import BREATH, QUEUED, SpeechError, StopSignal, SynthesisOptions
from tts_service.glm import engine as engine_module
from tts_service.glm.device.noise import Purpose
from tts_service.glm.engine import GLMEngine
from tts_service.glm.flow_matching.flow import solve, whole_size
from tts_service.glm.flow_matching.stream import frame_noise
from tts_service.glm.vocoding.hift_stream import HiFTStream
from tts_service.voices.library import Library
from tts_service.workshop.presets import honoured, preset


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    soundfile.write(folder / "recording.wav", make_audio(3, 44100, 5.0), 44100)
    library = Library(folder / "library")
    library.add(folder / "recording.wav", name="tong", transcript="今天天气很好。", consent="a synthetic sound")
    return GLMEngine.load(CHECKPOINT, voices=library.folder, device="cpu")


def spoken(engine, **options):
    history = []
    chunks = engine.synthesize(
        TEXT, engine.voices()[0], SynthesisOptions(seed=7, max_length=60, **options), StopSignal(), history
    )
    heard = [chunk for chunk in chunks if chunk is not BREATH and chunk is not QUEUED]
    return heard, history[-1].speech


@pytest.mark.parametrize("sampling", ["ras", "topk"])
def test_the_same_seed_gives_the_same_tokens_and_they_are_worked_on_as_a_whole(engine, sampling):
    chunks, tokens = spoken(engine, sampling=sampling)
    (whole,), same = spoken(engine, sampling=sampling, whole=True)
    assert same == tokens
    streamed = np.concatenate([chunk.samples for chunk in chunks])
    assert len(whole.samples) == len(streamed)
    assert not np.array_equal(whole.samples, streamed)
    assert [timing.start for timing in whole.timings] == [t.start for chunk in chunks for t in chunk.timings]
    models, voice = engine._loaded(), next(iter(engine._known().known.values())).features
    noise = torch.cat(
        [
            frame_noise(0, Purpose.FLOW_PROMPT, 0, 2 * len(voice.tokens), "cpu"),
            frame_noise(7, Purpose.FLOW, 0, 2 * len(tokens), "cpu"),
        ],
        dim=1,
    )
    mel, _ = solve(
        models.flow, torch.tensor(tokens), voice.tokens, voice.mels[24000], voice.speaker, lambda total: noise
    )

    def said(mel):
        return HiFTStream(models.hift, 7).push(mel, final=True)

    assert_same_sound(torch.from_numpy(whole.samples), said(mel), rounding(said, mel))


class Living(TorchDispatchMode):
    """Counts the bytes of everything that is made, for as long as it lives."""

    def __init__(self):
        super().__init__()
        self.now = self.most = 0
        self._known = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(result):
            storage = tensor.untyped_storage() if isinstance(tensor, torch.Tensor) else None
            if storage is not None and storage._cdata not in self._known:
                self._known.add(storage._cdata)
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return result

    def _gone(self, known, size):
        self._known.discard(known)
        self.now -= size


def test_what_a_whole_segment_needs_is_borrowed_and_is_what_was_reckoned(engine, monkeypatch):
    spoken(engine, whole=True)
    room, solving, living = engine._loaded().room, engine_module.solve, []

    def watched(flow, tokens, prompt, *rest, **settings):
        with Living() as mode:
            result = solving(flow, tokens, prompt, *rest, **settings)
        living.append((mode.most, whole_size(flow, 2 * (len(tokens) + len(prompt))), room.taken))
        return result

    monkeypatch.setattr(engine_module, "solve", watched)
    before = room.taken
    spoken(engine, whole=True)
    [(most, reckoned, taken)] = living
    assert taken == before + reckoned
    assert most <= reckoned <= 3 * most
    assert room.taken == before
    tight, room.size = room.size, 1000
    with pytest.raises(SpeechError, match=r"take .* MB beside the networks"):
        spoken(engine, whole=True)
    room.size = tight


def test_a_stop_ends_it_and_frees_the_slot(engine):
    stop = StopSignal()
    options = SynthesisOptions(whole=True, max_length=60)
    chunks = engine.synthesize(TEXT, engine.voices()[0], options, stop)
    next(chunks)
    stop.set()
    assert [chunk for chunk in chunks if chunk is not BREATH and chunk is not QUEUED] == []
    assert engine.sequences == 0


def test_the_presets_for_files_ask_for_it_and_those_for_the_ear_do_not():
    assert {name for name in ("check", "dubbing", "dialogue", "batch") if preset(name).options.get("whole")} == {
        "dubbing",
        "batch",
    }
    assert honoured("kokoro", {"whole": True}) == ({}, ["whole"])
