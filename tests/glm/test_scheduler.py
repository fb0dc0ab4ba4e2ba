"""Many utterances at once: everyone gets what he would get alone, nobody is in anybody's way, nothing is lost."""

import random
import threading

import numpy as np
import pytest
import soundfile
import torch

from tests.glm.callers import FLOW_FAILS, PREFILL_FAILS, SEEDS, STEP_FAILS, TEXTS, alone, crowd, faults, say
from tests.glm.conftest import CHECKPOINT, Case, make_audio
from tts_service import Busy, Synthesizer
from tts_service.glm import GLMEngine
from tts_service.glm.flow_matching import stream as flow_stream
from tts_service.glm.flow_matching.flow import load_flow
from tts_service.glm.flow_matching.stream import Chunking, FlowStream, FlowVoice, work_through
from tts_service.glm.language_model.decode import GROUP, Decoder, Limits, SpeechHead
from tts_service.glm.language_model.lm import load_lm
from tts_service.glm.language_model.tokenizer import SpeechIds
from tts_service.glm.scheduler import Scheduler, Segment
from tts_service.voices.library import Library

IDS = SpeechIds(first=1710, begin=1504, end=1502)
FEATURES = Case("prompt_features")


def never():
    return False


class Deaf:
    """Stands where the flow would be, and never asks for anything."""

    ready, pending, missing = False, 0, 10**6

    def add(self, tokens):
        pass

    def end(self):
        pass


@pytest.fixture(scope="module")
def lm():
    return load_lm(CHECKPOINT / "llm")


@pytest.fixture(scope="module")
def flow():
    return load_flow(CHECKPOINT / "flow")


def scheduler_of(lm, slots=8, blocks=(4,), **settings):
    return Scheduler(Decoder(lm, SpeechHead(lm, IDS), lm.new_cache(slots, 512 + GROUP), blocks=blocks), **settings)


def segment_of(number, should_stop=never, longest=40):
    dice = random.Random(number)
    prompt = [dice.randrange(1500) for _ in range(dice.randrange(1, 330))]
    limits = Limits(longest // 4, dice.randrange(longest // 2, longest))
    return Segment(prompt, limits, ("ras", "topk")[number % 2], number, Deaf(), should_stop)


def tokens_alone(lm, number):
    scheduler, segment = scheduler_of(lm), segment_of(number)
    scheduler.join(segment)
    while not segment.spoken:
        scheduler.step()
    return segment.tokens


@pytest.mark.parametrize("flight", [0, 1])
def test_tokens_are_those_of_a_solo_run_for_any_order_of_joining_and_leaving(lm, flight):
    dice, expected = random.Random(flight), {number: tokens_alone(lm, number) for number in range(12)}
    assert len({tuple(tokens) for tokens in expected.values()}) == 12
    scheduler = scheduler_of(lm, flight=flight)
    left, present, most = [*range(12)] * 2, [], 0
    dice.shuffle(left)
    while left or present:
        for number in [left.pop() for _ in range(min(len(left), dice.randrange(4)))]:
            present.append((number, segment_of(number)))
            scheduler.join(present[-1][1])
        if present and dice.random() < 0.15:
            scheduler.leave(present.pop(dice.randrange(len(present)))[1])
        scheduler.step()
        most = max(most, scheduler.running)
        for number, segment in [*present]:
            assert expected[number][: len(segment.tokens)] == segment.tokens
            if segment.spoken:
                assert segment.tokens == expected[number]
                present.remove((number, segment))
                scheduler.leave(segment)
    assert most > 4, "there were more than one block of rows"
    assert scheduler.running == scheduler.present == 0


def test_one_step_serves_all_rows_of_a_block_and_skips_empty_blocks(lm):
    decoder, ran = Decoder(lm, SpeechHead(lm, IDS), lm.new_cache(8, 64), blocks=(2, 8)), []
    decoder.step = lambda begin, end, seen, span: ran.append((begin, end))
    decoder.run([0, 1], 20, steps=1)
    decoder.run([2], 20, steps=1)
    assert ran == [(0, 2), (0, 8)]
    halves = Decoder(lm, SpeechHead(lm, IDS), lm.new_cache(8, 64), blocks=(4,))
    halves.step = lambda begin, end, seen, span: ran.append((begin, end))
    halves.run([5], 20, steps=1)
    assert ran[2:] == [(4, 8)]


def test_who_finds_no_slot_waits_in_line_and_beyond_a_bound_is_refused(lm):
    scheduler = scheduler_of(lm, slots=4, waiting=3)
    segments = [segment_of(number) for number in range(7)]
    for segment in segments[:3]:
        scheduler.join(segment)
    scheduler.step()
    for segment in segments[3:6]:
        scheduler.join(segment)
    with pytest.raises(Busy, match="4 segments are being spoken and 3 wait"):
        scheduler.join(segments[6])
    scheduler.step()
    assert [segment.waited is not None for segment in segments[:6]] == [True] * 4 + [False] * 2
    for left in (4, 5):
        while segments[left].waited is None:
            scheduler.step()
    assert segments[5].waited >= segments[4].waited - 0.5
    while not all(segment.spoken for segment in segments[:6]):
        scheduler.step()
    assert [segment.tokens for segment in segments[4:6]] == [tokens_alone(lm, 4), tokens_alone(lm, 5)]


def test_the_slot_of_one_who_hangs_up_is_free_at_the_next_step(lm):
    scheduler, gone = scheduler_of(lm, slots=4), threading.Event()
    leaving = segment_of(0, gone.is_set)
    for segment in [leaving, *(segment_of(number) for number in range(1, 5))]:
        scheduler.join(segment)
    scheduler.step()
    last = scheduler._waiting[0]
    assert last.waited is None
    gone.set()
    scheduler.step()
    assert last.waited is not None
    assert leaving not in scheduler._running
    assert len(leaving.tokens) == GROUP, "nothing was decoded for it after it had gone"


class Hungry:
    """Stands where the flow would be: it asks for so many tokens at first, and then for no more."""

    def __init__(self, wanted):
        self.wanted, self.pending = wanted, 0

    @property
    def missing(self):
        return max(0, self.wanted - self.pending)

    def add(self, tokens):
        self.pending += len(tokens)

    def end(self):
        pass


@pytest.mark.parametrize("flight", [0, 1])
def test_a_newcomer_waits_for_no_token_that_his_first_chunk_has_no_need_of(lm, flight):
    scheduler, ran = scheduler_of(lm, flight=flight), []
    run = scheduler._decoder.run
    scheduler._decoder.run = lambda rows, length, steps: (ran.append(steps), run(rows, length, steps))[1]
    segment = Segment(list(range(100, 140)), Limits(60, 60), "ras", 0, Hungry(GROUP + 3), never)
    scheduler.join(segment)
    while segment.stream.missing:
        scheduler.step()
    assert ran == [GROUP, 3], "and nothing flies that would keep the device from his chunk"
    scheduler.step()
    assert ran == [GROUP, 3, GROUP]


def test_recorded_prompts_are_padded_and_say_the_same(lm):
    drawn = []
    for recorded in (False, True):
        decoder = Decoder(lm, SpeechHead(lm, IDS), lm.new_cache(4, 512 + GROUP))
        if recorded:
            decoder.record(lambda stream: lambda work: work() or work)
        scheduler, segments = Scheduler(decoder), [segment_of(number) for number in range(3)]
        for segment in segments:
            scheduler.join(segment)
        while not all(segment.spoken for segment in segments):
            scheduler.step()
        drawn.append([segment.tokens for segment in segments])
        lengths = {len(segment.prompt) - 1 for segment in segments}
        if recorded:
            assert set(decoder._entries._replays) <= set(decoder.lengths)
            assert not lengths <= set(decoder.lengths), "some were padded"
    assert drawn[0] == drawn[1]


def voice_of(flow, tokens):
    mel = FEATURES["prompt_mono_24k.speech_feat_24000"][0][: 2 * tokens]
    ids = FEATURES["prompt_mono_24k.speech_token"][0].long()[:tokens]
    return FlowVoice(flow, ids, mel, FEATURES["prompt_mono_24k.spk_embedding"][0])


def streams_of(voices):
    streams = []
    for number, voice in enumerate(voices):
        stream = FlowStream(voice, number, Chunking((10,), 5, 20))
        stream.add(torch.randint(0, 32768, (60,), generator=torch.Generator().manual_seed(number)).tolist())
        streams.append(stream)
    return streams


def test_chunks_of_one_length_are_worked_on_as_one_batch_whatever_their_past(flow):
    voices = [voice_of(flow, 40), voice_of(flow, 60)]
    alone_streams, streams = streams_of([*voices, voices[0]]), streams_of([*voices, voices[0]])
    for stream in (alone_streams[1], streams[1]):  # one is ahead of the others
        stream.chunk(never)
        stream.chunk(never)
    for stream in (*alone_streams, *streams):
        if stream._chunks == 0:
            stream.chunk(never)
    sizes = []
    handle = flow.estimator.register_forward_hook(lambda module, args, out: sizes.append(len(out)))
    for _ in range(3):
        expected = [stream.chunk(never) for stream in alone_streams]
        del sizes[:]
        for mel, own in zip(work_through(streams, [never] * 3), expected, strict=True):
            torch.testing.assert_close(mel, own, atol=1e-5, rtol=0)
        assert sizes == [6] * 10, "three utterances, two branches, ten steps"
    handle.remove()


def test_who_has_no_chunk_yet_takes_no_memory_of_the_flow(flow, monkeypatch):
    voice = voice_of(flow, 40)
    monkeypatch.setattr(flow_stream, "FlowCache", lambda *args: pytest.fail("it was allocated"))
    stream = FlowStream(voice, 0, Chunking())
    stream.add(range(10))
    assert not stream.ready


def test_one_who_hangs_up_leaves_the_batch_and_the_others_do_not_notice(flow):
    voice = voice_of(flow, 40)
    expected = [stream.chunk(never) for stream in streams_of([voice] * 3)]
    looks, sizes, streams = iter([False] * 4 + [True] * 99), [], streams_of([voice] * 3)
    handle = flow.estimator.register_forward_hook(lambda module, args, out: sizes.append(len(out)))
    mels = work_through(streams, [never, lambda: next(looks), never])
    handle.remove()
    assert sizes == [6] * 4 + [4] * 6
    assert mels[1] is None
    for kept in (0, 2):
        torch.testing.assert_close(mels[kept], expected[kept], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        streams[1].chunk(never), expected[1], atol=1e-5, rtol=0, msg="a chunk that was stopped can be worked on again"
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    soundfile.write(folder / "recording.wav", make_audio(3, 44100, 5.0), 44100)
    library = Library(folder / "library")
    library.add(folder / "recording.wav", name="tong", transcript="今天天气很好。", consent="a synthetic sound")
    return library


@pytest.fixture
def synthesizer(library):
    with Synthesizer(GLMEngine.load(CHECKPOINT, voices=library.folder, device="cpu", slots=8)) as synthesizer:
        yield synthesizer


def assert_sounds_the_same(samples, expected):
    """Made in a batch of another size: the same tokens, and sums that differ in their last bits."""
    assert len(samples) == len(expected)
    difference = np.abs(samples - expected)
    assert difference.max() < 0.02
    assert difference.mean() < 0.001


def test_a_crowd_that_comes_goes_and_breaks_things(synthesizer):
    scheduler = synthesizer.engine._loaded().scheduler
    say(synthesizer, TEXTS[0], SEEDS[0])  # the voice is listened to once
    with faults(scheduler):
        outcome = crowd(synthesizer, callers=16, seconds=4, least=2)
    assert synthesizer.engine.sequences == scheduler.running == 0, "no slot is lost"
    assert outcome.finished
    assert outcome.unfairness <= 3, "nobody waits several times as long as all do on average"
    assert not set(outcome.failed) - {PREFILL_FAILS, STEP_FAILS, FLOW_FAILS}, "who broke nothing heard everything"
    assert not {seed for _, seed, _ in outcome.finished} - set(SEEDS), "who broke something heard of it"
    solo = alone(synthesizer, {(text, seed) for text, seed, _ in outcome.finished})
    for text, seed, samples in outcome.finished:
        assert_sounds_the_same(samples, solo[text, seed])


@pytest.mark.parametrize("seed", [PREFILL_FAILS, STEP_FAILS, FLOW_FAILS])
def test_an_error_reaches_its_caller_and_no_one_else(synthesizer, seed):
    expected, ended, heard = alone(synthesizer, [(TEXTS[1], 1)]), threading.Event(), []

    def speak():
        heard.append(say(synthesizer, TEXTS[1], 1))
        ended.set()

    with faults(synthesizer.engine._loaded().scheduler):
        neighbour = threading.Thread(target=speak)
        neighbour.start()
        _, error, _ = say(synthesizer, TEXTS[0], seed)
        assert ended.wait(120)
    assert error is not None
    assert "injected" in str(error) or "memory ran out" in str(error)
    assert heard[0][1] is None
    assert_sounds_the_same(heard[0][0], expected[TEXTS[1], 1])


def test_breaths_are_not_heard_and_the_wait_for_a_slot_is_reported(library):
    engine = GLMEngine.load(CHECKPOINT, voices=library.folder, device="cpu", slots=4)
    chunks, ends, reports = [], [threading.Event() for _ in range(5)], []
    with Synthesizer(engine) as synthesizer:
        synthesizer.on_report.append(reports.append)
        for end in ends:
            utterance = synthesizer.open(
                on_chunk=chunks.append, on_end=lambda error, end=end: end.set(), real_time=False, max_lead=1e9
            )
            utterance.feed(TEXTS[2])
            utterance.end()
        assert all(end.wait(120) for end in ends)
    assert all(len(chunk.samples) or chunk.timings for chunk in chunks)
    assert max(report.queue_wait for report in reports) > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="graphs need a GPU")
def test_recorded_steps_draw_what_eager_ones_draw():
    from tts_service.glm.device.graphs import cuda_recorder

    lm = load_lm(CHECKPOINT / "llm", torch.bfloat16, "cuda")
    drawn = []
    for recorded in (False, True):
        decoder = Decoder(lm, SpeechHead(lm, IDS), lm.new_cache(4, 512 + GROUP))
        if recorded:
            decoder.record(cuda_recorder)
        scheduler, segments = Scheduler(decoder, flight=1), [segment_of(number) for number in range(6)]
        for segment in segments:
            scheduler.join(segment)
        while not all(segment.spoken for segment in segments):
            scheduler.step()
        drawn.append([segment.tokens for segment in segments])
    assert drawn[0] == drawn[1]
