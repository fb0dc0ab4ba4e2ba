import asyncio
import math
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

import g2p
from tests.tts_service.tone_engine import TOKEN_SECONDS, ToneEngine
from tts_service import Busy, SpeechError, SynthesisOptions, Synthesizer, UnknownVoice, Utterance
from tts_service.engine import QUEUED
from tts_service.speech import synthesizer as synthesizer_module
from tts_service.speech import utterance
from tts_service.speech.utterance import Wait


@pytest.fixture
def voice():
    with Synthesizer(ToneEngine()) as synthesizer:
        yield synthesizer


class Listener:
    """Collects what an utterance delivers."""

    def __init__(self):
        self.chunks, self.error, self.done, self.first = [], None, threading.Event(), threading.Event()

    def on_chunk(self, chunk):
        self.chunks.append(chunk)
        self.first.set()

    def on_end(self, error):
        self.error = error
        self.done.set()

    def open(self, synthesizer, text=None, **options):
        utterance = synthesizer.open(on_chunk=self.on_chunk, on_end=self.on_end, **options)
        if text is not None:
            utterance.feed(text)
            utterance.end()
        return utterance


def test_every_character_is_spoken_once_and_timed_in_the_original_text(voice):
    text = "你好，世界。今天天气真好，我们去公园玩吧。"
    chunks = list(voice.stream(text))
    timings = [timing for chunk in chunks for timing in chunk.timings]
    assert "".join(text[timing.start : timing.end] for timing in timings) == "你好世界今天天气真好我们去公园玩吧"
    assert [timing.seconds for timing in timings] == pytest.approx([TOKEN_SECONDS * i for i in range(len(timings))])


def test_deltas_are_spoken_like_the_whole_text(voice):
    text = "你好，世界。今天天气真好。"
    whole = np.concatenate([chunk.samples for chunk in voice.stream(text)])
    parts = np.concatenate([chunk.samples for chunk in voice.stream(iter(text))])
    np.testing.assert_array_equal(whole, parts)


def test_sound_starts_while_the_text_is_still_being_written(voice):
    more = threading.Event()

    def deltas():
        yield "你好，世界。"
        assert more.wait(10)
        yield "再见。"

    stream = voice.stream(deltas())
    first = next(stream)
    assert len(first.samples) > 0
    more.set()
    assert sum(1 for _ in stream) == 5


def test_a_dictionary_entry_is_spoken_in_one_piece(voice):
    lexicon = g2p.Lexicon({"好，再见": "hao3 hao3 zai4 jian4"})
    list(voice.stream("大家都说了好，再见。", lexicon=lexicon))
    assert {first for first, _ in voice.engine.steps} == {"大家"}
    list(voice.stream("他们都说了好，再见。"))
    assert {first for first, _ in voice.engine.steps} == {"大家", "他们", "再见"}


def test_words_stay_whole_where_there_is_no_punctuation(voice):
    text = "今天下午我们大家一起去公园里面散步看风景并且拍照片然后再去湖边的茶馆坐一会儿"
    for shift in range(4):
        voice.engine.steps.clear()
        list(voice.stream("啊" * shift + text))
        begins = [text.find(name) for name, index in voice.engine.steps if index == 0][1:]
        torn = {text.find(word) + 1 for word in ("风景", "并且", "照片", "然后", "湖边", "茶馆", "散步")}
        assert begins
        assert not torn & set(begins)


def test_a_stalled_text_is_spoken_without_its_end(voice):
    listener = Listener()
    utterance = listener.open(voice)
    utterance.feed("今天天气")
    assert listener.first.wait(10)
    utterance.end()
    assert listener.done.wait(10)
    assert len(listener.chunks) == 4


def test_closing_the_generator_stops_the_engine(voice):
    stream = voice.stream("一二三四五六七八九十。" * 20, max_lead=0.5)
    next(stream)
    stream.close()
    assert voice.engine.stopped.wait(10)
    assert len(voice.engine.steps) < 20


def test_cancel_reaches_into_a_step_and_nothing_is_delivered_after_it(voice):
    listener = Listener()
    utterance = listener.open(voice, "一二三四五六。")
    assert listener.first.wait(10)
    voice.engine.gate.clear()
    utterance.cancel()
    delivered = len(listener.chunks)
    assert listener.done.wait(10)
    assert listener.error is None
    assert len(listener.chunks) <= delivered + 1  # one may have been on its way
    assert voice.active == 0


def test_one_failure_leaves_the_others_alone(voice):
    good, bad = Listener(), Listener()
    good.open(voice, "一二三四五六。")
    bad.open(voice, "一二坏四五六。")
    assert good.done.wait(10)
    assert bad.done.wait(10)
    assert isinstance(bad.error, SpeechError)
    assert good.error is None
    assert len(good.chunks) == 6


def test_a_newcomer_comes_before_all_who_are_safe_but_makes_nobody_stutter(voice):
    voice.engine.gate.clear()
    first, second = Listener(), Listener()
    first.open(voice, "一二三四五六。")
    second.open(voice, "七八九十百千。")
    voice.engine.gate.set()
    assert first.done.wait(10)
    assert second.done.wait(10)
    order = [name for name, _ in voice.engine.steps]
    # One chunk of 0.2 s would run dry while the engine turns to somebody else; two or three would not.
    assert order[:2] == ["一二", "一二"]
    assert order.index("七八") <= 3
    # Neither gets more than a step ahead of the other until both are finished.
    ahead = np.cumsum([1 if name == "一二" else -1 for name in order])
    assert np.abs(ahead).max() <= 3


def test_a_newcomer_s_claim_grows_until_it_beats_those_whose_playback_is_dry(voice):
    listener = Listener()
    newcomer = Utterance(
        voice.engine,
        voice.voice("low"),
        SynthesisOptions(),
        g2p.Lexicon({}),
        threading.Condition(),
        on_chunk=listener.on_chunk,
        on_end=listener.on_end,
        max_lead=10,
        real_time=True,
    )
    newcomer.feed("七八九十百千。")
    now = time.monotonic()
    assert newcomer.seconds_until_ready(now) == 0
    assert 0.2 < newcomer.urgency(now) <= 0.25
    assert newcomer.urgency(now + 10) < 0
    newcomer.cancel()
    assert newcomer.urgency(now) == -math.inf


def test_an_underrun_is_the_engine_s_and_not_that_of_whoever_writes_the_text(voice, monkeypatch):
    now, listener = 0.0, Listener()
    monkeypatch.setattr(utterance, "time", SimpleNamespace(monotonic=lambda: now))
    spoken = Utterance(
        voice.engine,
        voice.voice("low"),
        SynthesisOptions(),
        g2p.Lexicon({}),
        threading.Condition(),
        on_chunk=listener.on_chunk,
        on_end=listener.on_end,
        max_lead=10,
        real_time=True,
    )
    for text, fed, moments in (
        ("一二三。", 0.0, (0.0, 0.1, 0.3, 0.5)),
        ("四五六。", 9.0, (9.0, 9.1, 9.3, 9.3)),
        ("七八。", 9.5, (9.9, 10.2, 10.2)),
    ):
        now = fed
        spoken.feed(text)
        assert spoken.seconds_until_ready(now) == 0
        for now in moments:  # noqa: B007 (the clock reads it)
            spoken.advance()
    # The second text came when nothing was left to play. The third came in time, but was not spoken in time: twice.
    assert len(listener.chunks) == 8
    assert spoken.report.underruns == 2


def test_synthesis_does_not_run_far_ahead_of_playback(voice):
    stream = voice.stream("一二三四五六七八九十。" * 10, max_lead=1.0)
    for _ in range(3):
        next(stream)
    # 0.4 s have been consumed and a third chunk is in hand: at most 1 s more, and the step that crosses the line.
    assert len(voice.engine.steps) <= 2 + 1.0 / TOKEN_SECONDS + 2
    assert sum(1 for _ in stream) == 97


def test_capacity_is_refused_clearly_and_comes_back():
    with Synthesizer(ToneEngine(), capacity=1) as voice:
        held = Listener()
        utterance = held.open(voice)
        with pytest.raises(Busy, match="1 utterances"):
            Listener().open(voice)
        utterance.cancel()
        assert held.done.wait(10)
        assert list(voice.stream("好"))


def test_unknown_voice_and_wild_options_are_named(voice):
    with pytest.raises(UnknownVoice, match="'nobody'; available: low, high"):
        next(voice.stream("好", voice="nobody"))
    with pytest.raises(SpeechError, match=r"speed is 9.*0.25 and 4.0"):
        next(voice.stream("好", speed=9))


def test_an_engine_without_voices_says_how_to_get_one(voice, monkeypatch):
    monkeypatch.setattr(voice.engine, "voices", list)
    with pytest.raises(UnknownVoice, match=r"tone engine has no voice yet.*glm-tts voices add"):
        next(voice.stream("好"))


def test_text_with_nothing_to_say_ends_without_audio(voice):
    assert list(voice.stream("……。！")) == []
    assert list(voice.stream("")) == []


def test_what_the_writer_raises_reaches_the_reader(voice):
    def deltas():
        yield "你好，世界。"
        raise OSError("the line is down")

    with pytest.raises(OSError, match="the line is down"):
        list(voice.stream(deltas()))
    assert list(voice.stream("好"))


def test_the_report_tells_what_it_cost(voice):
    reports = []
    voice.on_report.append(reports.append)
    list(voice.stream("一二三四五。", voice="high"))
    listener = Listener()
    utterance = listener.open(voice, "一二三。")
    utterance.cancel()
    assert listener.done.wait(10)
    finished, cancelled = reports
    assert finished.voice == "high"
    assert finished.audio == pytest.approx(5 * TOKEN_SECONDS)
    assert finished.first_audio is not None
    assert 0 < finished.real_time_factor < 1
    assert cancelled.cancelled


def test_close_ends_everything_and_refuses_more():
    voice = Synthesizer(ToneEngine())
    listener = Listener()
    listener.open(voice, "一二三。" * 100)
    voice.close()
    voice.close()
    assert listener.done.is_set()
    assert voice.engine.closed
    with pytest.raises(SpeechError, match="closed"):
        next(voice.stream("好"))


async def test_a_slow_writer_does_not_hold_up_the_event_loop(voice):
    written, go_on = threading.Event(), threading.Event()

    def deltas():
        yield "一二。"
        written.set()
        assert go_on.wait(10)
        yield "三四。"

    async def other_work():
        assert await asyncio.to_thread(written.wait, 10)
        go_on.set()

    other = asyncio.create_task(other_work())
    assert len([chunk async for chunk in voice.astream(deltas())]) == 4
    await other


async def test_the_asynchronous_twin(voice):
    async def deltas():
        for char in "你好，世界。":
            await asyncio.sleep(0)
            yield char

    assert [len(chunk.timings) async for chunk in voice.astream(deltas())] == [1, 1, 1, 1]
    stream = voice.astream("一二三四五六七八九十。" * 20, max_lead=0.5)
    await anext(stream)
    await stream.aclose()
    assert voice.engine.stopped.wait(10)


def test_many_talkers_come_and_go():
    with Synthesizer(ToneEngine()) as voice:
        listeners = [Listener() for _ in range(40)]
        utterances = [listener.open(voice, "一二三四五六七八。") for listener in listeners]
        for utterance in utterances[::3]:
            utterance.cancel()
        assert all(listener.done.wait(20) for listener in listeners)
        for index, listener in enumerate(listeners):
            assert index % 3 == 0 or len(listener.chunks) == 8
        assert voice.active == 0


class OneAtATime(ToneEngine):
    """Has room for one segment; the others wait for it."""

    def __init__(self):
        super().__init__()
        self.holder = None

    def synthesize(self, pronunciation, *rest):
        me = object()
        while self.holder is not None:
            yield QUEUED
        self.holder = me
        try:
            yield from super().synthesize(pronunciation, *rest)
        finally:
            self.holder = None


def test_who_waits_is_told_how_many_come_before_him_and_how_long_it_may_take(monkeypatch):
    monkeypatch.setattr(synthesizer_module, "WAIT_SECONDS", 0.0)
    waits, told, engine = [], threading.Event(), OneAtATime()

    def on_wait(wait):
        waits.append(wait)
        if wait.ahead == 1:
            told.set()

    with Synthesizer(engine) as voice:
        list(voice.stream("一二三。"))  # now it is known how long a turn takes
        assert voice.wait == Wait(0, 0.0)
        engine.holder = object()
        first, second = Listener(), Listener()
        first.open(voice, "七八九。")
        second.open(voice, "十百千。", on_wait=on_wait)
        assert told.wait(10)
        assert voice.wait.ahead == 2
        engine.holder = None
        assert all(listener.done.wait(10) for listener in (first, second))
    seconds = next(wait.seconds for wait in waits if wait.ahead == 1)
    assert seconds is not None
    assert "1 ahead, about" in str(Wait(1, seconds))


def test_who_never_reads_holds_no_room_that_another_waits_for():
    with Synthesizer(OneAtATime()) as voice:
        idle = voice.stream("一二三四五六七八九十。" * 3, max_lead=0.5)
        next(idle)  # and that is all he ever takes
        assert len(list(voice.stream("好的。"))) == 2
        assert sum(1 for _ in idle) == 29, "he has lost nothing"


def test_who_has_forsaken_his_speech_makes_room_for_a_newcomer(monkeypatch):
    with Synthesizer(ToneEngine(), capacity=1) as voice:
        idle = voice.stream("一二三四五六七八九十。" * 3, max_lead=0.5)
        next(idle)
        with pytest.raises(Busy, match="try again"):
            next(voice.stream("好。"))
        monkeypatch.setattr(synthesizer_module, "FORSAKEN_SECONDS", 0.0)
        reader = voice.stream("好。")
        while True:  # he is forsaken once all that he allowed has been made
            try:
                assert len(list(reader)) == 1
                break
            except Busy:
                reader = voice.stream("好。")
        with pytest.raises(Busy, match="nothing was taken of this speech"):
            list(idle)
