"""The full-quality path for files: the same tokens, then the published order of work."""

import numpy as np
import pytest
import soundfile
import torch

from tests.glm.conftest import CHECKPOINT, make_audio
from tests.glm.test_engine import TEXT
from tts_service.engine import BREATH, QUEUED, StopSignal, SynthesisOptions
from tts_service.glm.engine import GLMEngine
from tts_service.glm.flow import solve
from tts_service.glm.flow_stream import frame_noise
from tts_service.glm.hift_stream import HiFTStream
from tts_service.glm.noise import Purpose
from tts_service.presets import honoured, preset
from tts_service.voices import Library


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
    models, voice = engine._loaded(), next(iter(engine._ready.values())).features
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
    np.testing.assert_array_equal(whole.samples, HiFTStream(models.hift, 7).push(mel, final=True).numpy())


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
