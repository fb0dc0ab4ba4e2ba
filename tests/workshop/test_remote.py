"""Two replicas on this machine, seen through the engine contract; one of them dies in the middle of a word."""

import threading
from collections import Counter

import numpy as np
import pytest

import g2p
import tts_service
from tts_service.engine import QUEUED, AudioChunk, Busy, CharTiming, SpeechError, StopSignal, SynthesisOptions
from tts_service.remote import RemoteEngine, _Lost
from tts_service.speech.utterance import QUEUED_SECONDS

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
serve = pytest.importorskip("ray.serve", reason="the extra `ray` is not installed")

TEXT = "今天天气很好，我们去公园散步吧，晚上再回来一起吃饭。"


@pytest.fixture(scope="module")
def engine():
    """An engine behind two replicas on a cluster of this machine."""
    from tts_service.remote import build

    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"location": "NoServer"})
    serve.run(build({"engine": "kokoro", "threads": "1", "least": "2", "most": "2"}), name="voice", route_prefix=None)
    engine = RemoteEngine.load(application="voice")
    yield engine
    engine.close()
    serve.shutdown()
    ray.shutdown()


@pytest.fixture(scope="module")
def expected():
    """The same speech without a cluster."""
    kokoro = tts_service.load_engine("kokoro", threads=1)
    return samples_of(speak(kokoro))


def speak(engine, stop=None, text=TEXT, history=None):
    """The chunks, waited for."""
    pronunciation, options = g2p.analyze(text), SynthesisOptions()
    for chunk in engine.synthesize(pronunciation, engine.voices()[0], options, stop or StopSignal(), history):
        if chunk is QUEUED:
            threading.Event().wait(QUEUED_SECONDS)
        else:
            yield chunk


def samples_of(chunks):
    return np.concatenate([chunk.samples for chunk in chunks])


def speaking(engine):
    return engine._handle.speaking.remote().result()


def test_a_replica_sounds_like_the_engine_and_hands_back_the_history(engine, expected):
    history = []
    chunks = list(speak(engine, history=history))
    assert len(chunks) > 1
    assert next(timing.start for chunk in chunks for timing in chunk.timings) == 0
    np.testing.assert_array_equal(samples_of(chunks), expected)
    assert history, "the pause after the last word, for the next segment"


def test_callers_are_spread_and_survive_the_loss_of_the_replica_that_speaks(engine, expected):
    before, stream = +engine.segments, speak(engine)
    heard = [next(stream)]
    [victim] = engine.segments - before
    ray.kill(ray.get_actor(victim, namespace="serve"))
    others = []
    callers = [threading.Thread(target=lambda: others.append(samples_of(speak(engine)))) for _ in range(3)]
    for caller in callers:
        caller.start()
    np.testing.assert_array_equal(samples_of([*heard, *stream]), expected)
    for caller in callers:
        caller.join(120)
    assert len(others) == 3
    for samples in others:
        np.testing.assert_array_equal(samples, expected)
    assert len(engine.segments) >= 2, "another replica took over"


def test_a_cancel_reaches_the_replica(engine):
    stop = StopSignal()
    stream = speak(engine, stop, "很长的一段话，" * 20)
    next(stream)
    assert any(speaking(engine) for _ in range(20))
    stop.set()
    assert list(stream) == []
    for _ in range(200):
        if not any(speaking(engine) for _ in range(8)):
            return
    pytest.fail("a replica still speaks to nobody")


def test_an_error_of_the_engine_arrives_as_it_is(engine):
    pronunciation = g2p.analyze("好。")
    with pytest.raises(SpeechError, match="resampler"):
        list(engine.synthesize(pronunciation, engine.voices()[0], SynthesisOptions(sample_rate=8000), StopSignal()))


def test_when_all_replicas_are_busy_the_caller_is_told(engine):
    from tts_service.remote import build

    busiest = build({"engine": "kokoro", "threads": "1", "most": "1", "ongoing": "1", "waiting": "1"})
    serve.run(busiest, name="busy", route_prefix=None)
    busy = RemoteEngine(serve.get_app_handle("busy"))
    outcomes = Counter()

    def call():
        try:
            outcomes[len(list(speak(busy))) > 0] += 1
        except Busy as error:
            outcomes[str(error)] += 1

    callers = [threading.Thread(target=call) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(120)
    serve.delete("busy")
    assert outcomes.total() == 6, "every caller has an answer"
    assert outcomes[True] >= 1
    assert outcomes["all replicas are busy; try again in a moment"] >= 1


def test_the_synthesizer_speaks_through_it(engine):
    with tts_service.Synthesizer(RemoteEngine(engine._handle)) as synthesizer:
        assert sum(chunk.seconds for chunk in synthesizer.stream("你好，世界。今天天气很好。")) > 1.0


FIRST = [(10, 1), (10, 1)]
"""Samples and timings of the chunks of a replica that is lost afterwards."""


@pytest.mark.parametrize(
    "second",
    [
        pytest.param([(20, 1), (20, 3)], id="later"),
        pytest.param([(15, 3), (25, 1)], id="in a chunk that is known"),
        pytest.param([(25, 3), (15, 1)], id="in a chunk that is partly known"),
        pytest.param([(40, 2), (0, 2)], id="behind all samples"),
    ],
)
def test_after_a_loss_nothing_is_missing_and_nothing_comes_twice(engine, monkeypatch, second):
    spoken = np.arange(40, dtype=np.float32)
    # three digits of one number share its span
    timings = [CharTiming(0, 3, 0.1), CharTiming(0, 3, 0.2), CharTiming(0, 3, 0.3), CharTiming(3, 4, 0.4)]
    replicas = iter([(FIRST, True), (second, False)])

    def listen(request, should_stop):
        chunks, lost = next(replicas)
        heard = told = 0
        for samples, told_here in chunks:
            yield AudioChunk(spoken[heard : heard + samples], 24000, tuple(timings[told : told + told_here]))
            heard, told = heard + samples, told + told_here
        if lost:
            raise _Lost

    monkeypatch.setattr(engine, "_listen", listen)
    chunks = list(speak(engine))
    np.testing.assert_array_equal(samples_of(chunks), spoken)
    assert [timing for chunk in chunks for timing in chunk.timings] == timings


def test_a_missing_cluster_or_application_is_explained():
    with pytest.raises(SpeechError, match=r"serve run pipecat_glm_tts:build"):
        RemoteEngine.load(application="ghost")
