"""The engine as the rest of the project uses it, with the tiny checkpoint standing in for the published one."""

import functools
import random
import shutil
import weakref
from itertools import zip_longest

import numpy as np
import pytest
import soundfile
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import tts_service
from g2p.pronunciation import Pronunciation, Token
from tests.glm.conftest import CASES, CHECKPOINT, assert_same_sound, make_audio, rounding
from tts_service.engine import BREATH, SpeechError, StopSignal, SynthesisOptions, UnknownVoice, Voice
from tts_service.glm import GLMEngine
from tts_service.glm import engine as engine_module
from tts_service.glm import ready as ready_module
from tts_service.glm.language_model.prompt import recall
from tts_service.glm.listening import voice as voice_module
from tts_service.glm.listening.voice import FeatureCache
from tts_service.glm.published.checkpoint import VOCODER_32K
from tts_service.voices import library as voices
from tts_service.voices.library import Library

SHORT = SynthesisOptions(max_length=60)


def spell(text):
    """A pronunciation without a front end: every character is a hanzi or a mark."""
    tokens = [
        Token("pause" if mark in "，。？" else "hanzi", mark, place, place + 1, "ma1")
        for place, mark in enumerate(text)
    ]
    return Pronunciation(text, tuple(tokens))


TEXT = spell("今天天气很好，我们去公园散步吧。")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    recording = folder / "recording.wav"
    soundfile.write(recording, np.tile(make_audio(3, 44100, 5.0)[:, None], (1, 2)), 44100)
    library = Library(folder / "library")
    library.add(recording, name="tong", transcript="今天天气很好。", consent="a synthetic sound")
    return library


@pytest.fixture(scope="module")
def engine(library):
    return GLMEngine.load(CHECKPOINT, voices=library.folder, device="cpu")


@pytest.fixture(scope="module")
def voice(engine):
    return engine.voices()[0]


def speak(engine, voice, options=SHORT, text=TEXT, history=None, stop=None):
    chunks = engine.synthesize(text, voice, options, stop or StopSignal(), history)
    return [chunk for chunk in chunks if chunk is not BREATH]


def heard(engine, voice):
    """What the engine knows of a voice."""
    speak(engine, voice, SynthesisOptions(max_length=1))
    return next(reversed(engine._known().known.values()))


def samples_of(chunks):
    return np.concatenate([chunk.samples for chunk in chunks])


def test_speech_comes_in_chunks_with_the_timings_of_the_text(engine, voice):
    chunks = speak(engine, voice)
    assert len(chunks) >= 2
    assert all(chunk.sample_rate == 24000 for chunk in chunks)
    audio = samples_of(chunks)
    assert len(audio) % 960 == 0, "whole tokens of 40 ms"
    assert np.isfinite(audio).all()
    assert 0 < np.abs(audio).max() <= 1
    timings = [timing for chunk in chunks for timing in chunk.timings]
    assert [(t.start, t.end) for t in timings] == [(t.start, t.end) for t in TEXT.tokens if t.kind != "pause"]
    seconds = [timing.seconds for timing in timings]
    assert seconds == sorted(seconds)
    assert seconds[-1] <= len(audio) / 24000
    end = 0.0
    for chunk in chunks[:-1]:
        end += chunk.seconds
        assert all(timing.seconds <= end for timing in chunk.timings)


def test_chunks_join_to_what_one_vocoder_pass_over_the_mel_gives(engine, voice, monkeypatch):
    heard = []

    class Recorder(engine_module.HiFTStream):
        def push(self, mel, final=False):
            heard.append(mel)
            return super().push(mel, final)

    monkeypatch.setattr(engine_module, "HiFTStream", Recorder)
    chunks = speak(engine, voice)
    audio = samples_of(chunks)
    monkeypatch.undo()
    joins = np.cumsum([len(chunk.samples) for chunk in chunks])[:-1]
    bend = np.abs(np.diff(audio, 2))
    at_joins = np.zeros(len(bend), bool)
    for join in joins:
        at_joins[join - 4 : join + 3] = True
    assert bend[at_joins].max() <= bend[~at_joins].max(), "no click"
    mel = torch.cat(heard, dim=2)

    def said(mel):
        return engine_module.HiFTStream(engine._loaded().hift, SHORT.seed).push(mel, final=True)

    assert_same_sound(torch.from_numpy(audio), said(mel), rounding(said, mel))


def test_the_seed_decides_and_nothing_else(engine, voice):
    first = samples_of(speak(engine, voice))
    assert np.array_equal(first, samples_of(speak(engine, voice)))
    assert not np.array_equal(first, samples_of(speak(engine, voice, SynthesisOptions(max_length=60, seed=1))))
    uncached = samples_of(speak(engine, voice, SynthesisOptions(max_length=60, kv_cache=False)))
    np.testing.assert_allclose(uncached, first, atol=1e-5)


def test_interleaved_utterances_sound_as_they_do_alone(engine, voice):
    other = SynthesisOptions(max_length=60, seed=5)
    alone = [samples_of(speak(engine, voice)), samples_of(speak(engine, voice, other))]
    running = [engine.synthesize(TEXT, voice, options, StopSignal(), []) for options in (SHORT, other)]
    chunks = [[], []]
    while any(running):
        for number, generator in enumerate(running):
            if generator is not None:
                if (chunk := next(generator, None)) is None:
                    running[number] = None
                else:
                    chunks[number].append(chunk)
    for heard, expected in zip(chunks, alone, strict=True):
        assert np.array_equal(samples_of(heard), expected)


def test_options_are_honoured_or_refused(engine, voice, monkeypatch):
    normal = samples_of(speak(engine, voice))
    fast = samples_of(speak(engine, voice, SynthesisOptions(max_length=60, speed=2.0)))
    assert abs(len(fast) / len(normal) - 0.5) < 0.02
    wide = speak(engine, voice, SynthesisOptions(max_length=60, sample_rate=32000))
    assert {chunk.sample_rate for chunk in wide} == {32000}
    assert len(samples_of(wide)) / 32000 == len(normal) / 24000, "the speech tokens do not depend on the rate"
    head = engine._loaded().head
    monkeypatch.setattr(head, "_weight", 4 * head._weight)  # where nothing is likely, both ways draw the same
    sure = [samples_of(speak(engine, voice, SynthesisOptions(max_length=40, sampling=way))) for way in ("ras", "topk")]
    assert not np.array_equal(*sure)
    monkeypatch.undo()
    assert len(samples_of(speak(engine, voice, SynthesisOptions(max_length=33)))) <= 33 * 960
    assert speak(engine, voice, SynthesisOptions(max_length=20, seed=-(10**30)))
    with pytest.raises(SpeechError, match="24000 or 32000"):
        speak(engine, voice, SynthesisOptions(sample_rate=16000))
    with pytest.raises(UnknownVoice, match="no recording"):
        speak(engine, Voice("ghost"))


@pytest.mark.parametrize("length", [0, -5])
def test_a_segment_without_room_for_a_token_is_refused(length):
    with pytest.raises(SpeechError, match=f"max_length is {length}"):
        SynthesisOptions(max_length=length)


def test_without_the_cache_others_are_served_after_every_token(engine, voice):
    steps, sizes = [], []
    handle = engine._loaded().lm.model.norm.register_forward_hook(lambda *args: steps.append(1))
    try:
        for _ in engine.synthesize(TEXT, voice, SynthesisOptions(max_length=36, kv_cache=False), StopSignal()):
            sizes.append(len(steps))
            steps.clear()
    finally:
        handle.remove()
    assert sum(sizes) >= 2 * 36 - 1, "a token reads the prompt and takes a step"
    assert max(sizes) == 2


def test_the_program_that_is_the_32_khz_vocoder_is_opened_only_for_whoever_asks_for_32_khz(library, tmp_path):
    shutil.copytree(CHECKPOINT, tmp_path / "checkpoint")
    shutil.copytree(library.folder, tmp_path / "voices")
    program = tmp_path / "checkpoint" / VOCODER_32K
    program.write_bytes(b"no program")
    engine = GLMEngine.load(tmp_path / "checkpoint", voices=tmp_path / "voices", device="cpu")
    [voice] = engine.voices()
    brief, wide = SynthesisOptions(max_length=20), SynthesisOptions(max_length=20, sample_rate=32000)
    assert speak(engine, voice, brief)
    with pytest.raises(SpeechError, match=r"generator_jit\.ckpt is not a TorchScript archive"):
        speak(engine, voice, wide)
    program.unlink()
    with pytest.raises(SpeechError, match=r"32000 Hz needs .*generator_jit\.ckpt, which is missing"):
        speak(engine, voice, wide)
    shutil.copy(CHECKPOINT / VOCODER_32K, program)
    assert speak(engine, voice, wide)


def test_nothing_to_say_is_silence(engine, voice):
    assert speak(engine, voice, text=spell("，。")) == []
    assert speak(engine, voice, text=spell("")) == []


def test_history_carries_over_and_shapes_what_follows(engine, voice, monkeypatch):
    history = []
    speak(engine, voice, history=history)
    assert len(history) == 1
    with_history = samples_of(speak(engine, voice, history=history))
    assert len(history) == 2
    assert not np.array_equal(with_history, samples_of(speak(engine, voice)))
    budget = functools.partial(recall, budget=300)
    monkeypatch.setattr(engine_module, "recall", budget)
    for _ in range(4):
        speak(engine, voice, SynthesisOptions(max_length=80), history=history)
    assert len(history) < 6, "the oldest segments have gone"
    assert sum(len(turn.speech) for turn in history[:-1]) < 300


class CountingStop(StopSignal):
    """Says stop from its n-th look on."""

    def __init__(self, n):
        super().__init__()
        self.left = n
        self.looks = 0

    def __call__(self):
        self.looks += 1
        if self.looks > self.left:
            self.set()
        return super().__call__()


def test_cancelled_anywhere_it_ends_at_once_and_leaves_nothing_behind(engine, voice, library):
    model = engine._loaded()
    brief = SynthesisOptions(max_length=36)
    speak(engine, voice, brief)  # the first time looks more often: the voice is made
    steps = []
    handles = [
        m.register_forward_hook(lambda *args: steps.append(1)) for m in (model.lm.model.norm, model.flow.estimator)
    ]
    try:
        full = CountingStop(10**9)
        expected = samples_of(speak(engine, voice, brief, stop=full))
        dice = random.Random(1)
        for _ in range(20):
            stop = CountingStop(dice.randrange(full.looks))
            history = []
            at_stop = []
            with stop.listening(lambda: at_stop.append(len(steps))):  # noqa: B023 - used up inside the loop
                for chunk in engine.synthesize(TEXT, voice, brief, stop, history):
                    assert np.isfinite(chunk.samples).all()
            assert at_stop == [len(steps)], "no model ran after the stop"
            assert history == []
            assert engine.sequences == 0
            assert model.scheduler.running == 0, "the slot came back"
        for count in (1, 2):
            abandoned = engine.synthesize(TEXT, voice, SHORT, StopSignal(), [])
            for _ in range(count):
                next(abandoned)
            abandoned.close()
            assert engine.sequences == 0
    finally:
        for handle in handles:
            handle.remove()
    assert np.array_equal(samples_of(speak(engine, voice, brief)), expected)
    fresh = GLMEngine.load(CHECKPOINT, voices=library.folder, device="cpu")
    assert np.array_equal(samples_of(speak(fresh, fresh.voices()[0], brief)), expected)


def test_a_stop_while_a_new_voice_is_worked_through_ends_at_once(engine, voice, library):
    expected = samples_of(speak(engine, voice))
    fresh = GLMEngine.load(CHECKPOINT, voices=library.folder, device="cpu")
    steps = []
    fresh._loaded().flow.estimator.register_forward_hook(lambda *args: steps.append(1))
    assert speak(fresh, voice, stop=CountingStop(4)) == []
    assert len(steps) == 3, "the first look is before everything"
    assert np.array_equal(samples_of(speak(fresh, voice)), expected)


def test_a_stop_before_the_first_step_makes_no_sound(engine, voice):
    stop = StopSignal()
    stop.set()
    assert speak(engine, voice, stop=stop) == []


def test_the_decoder_looks_at_the_device_once_a_group(engine, voice):
    looks = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
                looks.append(func)
            return func(*args, **(kwargs or {}))

    model = engine._loaded()
    turn = heard(engine, voice).turn
    prompt = engine_module.prompt_ids([turn], [300, 301, 302], model.text.speech.begin, model.text.speech.first)
    groups = engine_module.speech_tokens(
        model.lm, model.head, prompt, engine_module.Limits(24, 24), engine_module.Sampling(), 0, lambda: False,
        cache=model.lm.new_cache(1, 512),
    )  # fmt: skip
    with Watch():
        assert [len(group) for group in groups] == [8, 8, 8]
    assert looks == []


def test_features_are_kept_beside_the_recording(engine, voice, library, monkeypatch):
    speak(engine, voice)
    kept = list(voice.folder.glob(".glm-*.safetensors"))
    assert len(kept) == 1
    monkeypatch.setattr(ready_module, "listen", lambda *args: pytest.fail("the features were worked out again"))
    again = GLMEngine.load(CHECKPOINT, voices=library.folder, device="cpu")
    expected = samples_of(speak(engine, voice))
    assert np.array_equal(samples_of(speak(again, voice)), expected)
    monkeypatch.undo()
    kept[0].write_bytes(kept[0].read_bytes()[:100])
    assert FeatureCache(voice.folder, voice.folder / "reference.wav", str(CHECKPOINT.resolve())).read() is None
    repaired = GLMEngine.load(CHECKPOINT, voices=library.folder, device="cpu")
    assert np.array_equal(samples_of(speak(repaired, voice)), expected)


def test_a_new_voice_is_heard_piece_by_piece_and_once_for_all_who_ask(engine, tmp_path, monkeypatch):
    library, models, pieces = Library(tmp_path / "library"), engine._loaded(), []
    soundfile.write(tmp_path / "new.wav", make_audio(5, 24000, 4.0), 24000)
    library.add(tmp_path / "new.wav", name="new", transcript="你好。", consent="a synthetic sound")
    new, brief = library.voice("new"), SynthesisOptions(max_length=20)
    for place, name in (
        (voice_module, "measure"),
        (voice_module, "prompt_mel"),
        (models.speaker, "embed"),
        (models.listener, "encode"),
    ):
        does = getattr(place, name)
        monkeypatch.setattr(place, name, lambda *args, name=name, does=does: (pieces.append(name), does(*args))[1])
    stop, chunks, progress = StopSignal(), ([], []), []
    hasty = engine.synthesize(TEXT, new, brief, stop)
    assert next(hasty) is BREATH
    stop.set()
    assert list(hasty) == []
    running = [engine.synthesize(TEXT, new, brief, StopSignal()) for _ in range(2)]
    for pair in zip_longest(*running):
        progress.append(len(set(pieces)))
        for mine, chunk in zip(chunks, pair, strict=True):
            mine += [chunk] if chunk is not None else []
    assert pieces == ["measure", "prompt_mel", "prompt_mel", "embed", "encode"], "what was begun is gone on with"
    assert progress[:2] == [3, 4], "each caller did a piece and let others be served"
    expected = samples_of(speak(engine, new, brief))
    for mine in chunks:
        assert np.array_equal(samples_of(mine), expected)


@pytest.mark.parametrize(
    ("sound", "complaint"),
    [
        (make_audio(1, 16000, 1.5), "3 to 30 s"),
        (np.tile(make_audio(1, 16000, 10.0), 4), "3 to 30 s"),
        (np.zeros(5 * 16000, np.float32), "speech"),
    ],
)
def test_a_useless_recording_is_refused_with_the_reason(engine, tmp_path, sound, complaint):
    library = Library(tmp_path / "library")
    soundfile.write(tmp_path / "bad.wav", sound, 16000)
    library.add(tmp_path / "bad.wav", name="bad", transcript="你好。", consent="a synthetic sound")
    with pytest.raises(SpeechError, match=complaint):
        speak(engine, library.voice("bad"))
    assert engine.sequences == 0


def test_running_out_of_memory_is_explained_and_survived(engine, voice, monkeypatch):
    def full(self, *args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    expected = samples_of(speak(engine, voice))
    with monkeypatch.context() as patch:
        patch.setattr(engine_module.FlowStream, "next_chunk", full)
        with pytest.raises(SpeechError, match="memory ran out"):
            speak(engine, voice)
    assert engine.sequences == 0
    assert np.array_equal(samples_of(speak(engine, voice)), expected)


def test_unloading_frees_the_models_and_the_next_utterance_reads_them_again(library):
    engine = GLMEngine.load(CHECKPOINT, voices=library.folder, device="cpu")
    voice = engine.voices()[0]
    expected = samples_of(speak(engine, voice))
    models = [weakref.ref(engine._loaded().lm), weakref.ref(engine._loaded().flow)]
    engine.unload()
    assert [model() for model in models] == [None, None]
    assert np.array_equal(samples_of(speak(engine, voice)), expected)


def test_the_synthesizer_speaks_with_it(library):
    with tts_service.load("glm", checkpoint=CHECKPOINT, voices=library.folder, device="cpu") as speaker:
        chunks = list(speaker.stream("今天天气很好。", max_length=40))
        with pytest.raises(UnknownVoice, match=r"available: tong$"):
            voices.speaker(speaker, library, "nobody")
    assert sum(len(chunk.samples) for chunk in chunks) > 4800


def test_without_torch_the_extra_is_named():
    import subprocess
    import sys

    hide = "import sys; sys.modules['torch'] = None; import tts_service; tts_service.load('glm', checkpoint='.')"
    result = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True, timeout=120, check=False)
    assert "SpeechError" in result.stderr
    assert "pipecat-glm-tts[glm]" in result.stderr


def test_a_device_that_does_not_exist_is_refused():
    with pytest.raises(SpeechError, match="no device"):
        GLMEngine.load(CHECKPOINT, device="cuda:99")


def test_a_real_prompt_file_is_heard_as_the_golden_one(engine, tmp_path):
    """The recording's own channel mix, cut to whole tokens, gives the golden tokens but for the trimmed silence."""
    library = Library(tmp_path / "library")
    soundfile.write(tmp_path / "long.wav", np.tile(soundfile.read(CASES / "wav" / "prompt_mono_24k.wav")[0], 2), 24000)
    library.add(tmp_path / "long.wav", name="golden", transcript="他当时还跟线下其他的站姐吵架。", consent="synthetic")
    features = heard(engine, library.voice("golden")).features
    assert features.mels[24000].shape == (2 * len(features.tokens), 80)
    assert features.mels[32000].shape == features.mels[24000].shape
    # the same sound is ln(4/3) louder at 32 kHz
    louder = (features.mels[32000] - features.mels[24000])[features.mels[24000] > -4]
    assert abs(float(louder.median()) - 0.28768) < 0.01


def test_in_fixed_shapes_it_says_the_same(library, engine):
    fixed = GLMEngine.load(CHECKPOINT, voices=library.folder, device="cpu", fixed=True)
    voice = fixed.voices()[0]
    ours, reference = samples_of(speak(fixed, voice)), samples_of(speak(engine, voice))
    assert len(ours) == len(reference)
    assert np.abs(ours - reference).mean() < 1e-3
    models = fixed._loaded()
    assert models.room.taken == next(iter(fixed._known().known.values())).size
    fixed.unload()
