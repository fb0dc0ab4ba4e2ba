"""An engine that works on several segments at once gives the synthesizer a chance to turn to another one."""

import threading

from tests.tts_service.tone_engine import ToneEngine
from tts_service import Synthesizer
from tts_service.engine import BREATH, QUEUED


class BatchingEngine(ToneEngine):
    """Lets segments that begin with 等 wait outside until `door` is set; breathes before every chunk."""

    def __init__(self):
        super().__init__()
        self.door, self.asked = threading.Event(), threading.Event()

    def synthesize(self, pronunciation, voice, options, should_stop, history=None):
        while pronunciation.text.startswith("等") and not self.door.is_set():
            self.asked.set()
            if should_stop():
                return
            yield QUEUED
        for chunk in super().synthesize(pronunciation, voice, options, should_stop, history):
            yield BREATH
            yield chunk


def say(synthesizer, text):
    chunks, ended = [], threading.Event()
    utterance = synthesizer.open(
        on_chunk=chunks.append, on_end=lambda error: ended.set(), real_time=False, max_lead=1e9
    )
    utterance.feed(text)
    utterance.end()
    return utterance, chunks, ended


def test_who_waits_inside_the_engine_holds_nobody_up_and_his_wait_is_counted():
    engine = BatchingEngine()
    with Synthesizer(engine) as synthesizer:
        waiting, later, waited = say(synthesizer, "等一下。")
        assert engine.asked.wait(30)
        other, chunks, ended = say(synthesizer, "你好。")
        assert ended.wait(30), "the other one was served meanwhile"
        assert len(chunks) == 2
        assert not later
        engine.door.set()
        assert waited.wait(30)
    assert len(later) == 3, "neither breaths nor waits are heard"
    assert waiting.report.queue_wait > other.report.queue_wait
    assert waiting.report.first_audio >= waiting.report.queue_wait


def test_who_waits_inside_the_engine_can_hang_up():
    engine = BatchingEngine()
    with Synthesizer(engine) as synthesizer:
        waiting, later, ended = say(synthesizer, "等一下。")
        assert engine.asked.wait(30)
        waiting.cancel()
        assert ended.wait(30)
    assert later == []
    assert waiting.report.first_audio is None
