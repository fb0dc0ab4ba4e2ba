"""English words inside Mandarin: a voice that grew up with Mandarin leans on a native speaker of English for them."""

from dataclasses import replace

import numpy as np

from g2p import analyze
from g2p.encode.kokoro import encode
from tts_service.engine import StopSignal, SynthesisOptions, Voice
from tts_service.kokoro.cast import Packaged
from tts_service.kokoro.matching.matcher import Match
from tts_service.kokoro.matching.voices import Matched
from tts_service.kokoro.mixing import Front
from tts_service.kokoro.symbols import Piece
from tts_service.kokoro.voice import FRAME


def piece_of(text):
    pronunciation = analyze(text)
    symbols = encode(pronunciation)
    return Piece(symbols.text, symbols.tokens), pronunciation


def test_english_is_marked_where_there_is_mandarin():
    piece, pronunciation = piece_of("今天的meeting改到三点。")
    marked = piece.english(pronunciation)
    assert len(marked) == len(piece.tokens())
    assert "".join(symbol for symbol, one in zip(piece.symbols, marked[1:], strict=False) if one) == " mˈitʰɪŋ "
    for text in ("Please come in.", "请进。"):
        piece, pronunciation = piece_of(text)
        assert not piece.english(pronunciation).any()


def test_stretches_of_another_front_are_set_in_at_this_ones_height():
    here, there = (
        Front(np.full((2, 2 * sum(d)), value), np.full(2 * sum(d), hertz), np.zeros(2 * sum(d)), np.array(d))
        for value, hertz, d in ((0.0, 100.0, [1, 2, 1]), (1.0, 200.0, [2, 3, 2]))
    )
    word = np.array([False, True, False])
    mixed = here.with_stretches(there, word, 0 * word)
    assert mixed.durations.tolist() == [1, 3, 1]
    assert mixed.frames[0].tolist() == [0, 0, *[1] * 6, 0, 0]
    assert mixed.pitch.tolist() == [100] * 10


def test_english_stands_apart_where_there_is_a_space():
    loud = np.array([0, -1, -1, -1, 1, 1, 1, 1, 1, 1.0])
    front = Front(np.zeros((2, 10)), np.full(10, 100.0), loud, np.array([2, 1, 1, 1]))
    mixed = front.with_stretches(front, np.array([False, True, True, False]), np.array([1, 2, 0, 1]))
    assert mixed.durations.tolist() == [2, 3, 1, 1]
    assert mixed.energy.tolist() == [0, -1, -1, -1, *[-1] * 4, 1, 1, 1, 1, 1, 1]


def test_only_the_english_word_changes(engine):
    voice, network, stop = Packaged()["lian"], engine._network, StopSignal()
    alone = replace(voice, english=None)
    for text in ("今天的meeting改到三点。", "今天的会议改到三点。"):
        piece, pronunciation = piece_of(text)
        marked = piece.english(pronunciation)
        leaning, plain = (network.begin(piece.tokens(), one, 1.0, stop, marked) for one in (voice, alone))
        assert leaning.settle(10**6, stop) == marked.any()
        assert not plain.settle(10**6, stop)
        np.testing.assert_array_equal(leaning.durations[~marked], plain.durations[~marked])
        assert not marked.any() or leaning.durations[marked].sum() > 1.15 * plain.durations[marked].sum()


def test_the_generator_leans_for_the_word_alone(engine):
    piece, pronunciation = piece_of("今天的meeting改到三点。")
    stop = StopSignal()
    utterance = engine._network.begin(piece.tokens(), Packaged()["lian"], 1.0, stop, piece.english(pronunciation))
    utterance.settle(10**6, stop)
    ends = 2 * np.cumsum(utterance.durations)
    first, last = (ends[i] for i in np.flatnonzero(piece.english(pronunciation))[[1, -2]])
    leaning = utterance.samples(0, ends[-1], stop)
    utterance._affines[1] = utterance._affines[0]
    changed = np.abs(leaning - utterance.samples(0, ends[-1], stop)).reshape(-1, FRAME).max(axis=1)
    assert changed[first:last].max() > 0.02
    assert max(changed[: first - 20].max(), changed[last + 20 :].max()) < 1e-6


def test_a_silence_stands_on_both_sides_of_it(engine, monkeypatch):
    piece, pronunciation = piece_of("今天的meeting改到三点。")
    marked, stop, durations = piece.english(pronunciation), StopSignal(), []
    for pause in (0, 3):
        monkeypatch.setattr("tts_service.kokoro.network.ENGLISH_PAUSE", pause)
        utterance = engine._network.begin(piece.tokens(), Packaged()["lian"], 1.0, stop, marked)
        utterance.settle(10**6, stop)
        durations.append(utterance.durations)
    longer = np.flatnonzero(durations[1] - durations[0])
    assert longer.tolist() == np.flatnonzero(marked)[[0, -1]].tolist()
    assert (durations[1] - durations[0])[longer].tolist() == [3, 3]


def test_what_comes_before_the_english_word_does_not_wait_for_it(engine, monkeypatch):
    fronts, network = [], engine._network
    run_front = network._run_front
    monkeypatch.setattr(network, "_run_front", lambda *given: fronts.append(given) or run_front(*given))
    text = "我们下个星期去北京参加一个meeting。"
    chunks = engine.synthesize(analyze(text), Voice("lian"), SynthesisOptions(), StopSignal())
    first = next(chunks)
    assert len(fronts) == 1
    spoken = [first, *chunks]
    assert len(fronts) == 2

    monkeypatch.setattr("tts_service.kokoro.network.REACH", 10**6)
    at_once = list(engine.synthesize(analyze(text), Voice("lian"), SynthesisOptions(), StopSignal()))
    assert len(fronts) == 4
    for ours, theirs in zip(spoken, at_once, strict=True):
        np.testing.assert_allclose(ours.samples, theirs.samples, atol=1e-6)
        assert ours.timings == theirs.timings
    timings = [timing for chunk in spoken for timing in chunk.timings]
    assert "".join(text[timing.start : timing.end] for timing in timings) == text.rstrip("。")


def test_who_begins_in_english_is_heard_so_from_the_first_chunk(engine, monkeypatch):
    fronts, run_front = [], engine._network._run_front
    monkeypatch.setattr(engine._network, "_run_front", lambda *given: fronts.append(given) or run_front(*given))
    next(engine.synthesize(analyze("Email已经发出去了。"), Voice("lian"), SynthesisOptions(), StopSignal()))
    assert len(fronts) == 2


def test_native_speakers_of_mandarin_lean_and_so_do_voices_matched_from_them():
    packaged = Packaged()
    for name, leans in (("lian", True), ("bai", True), ("rose", False), ("mei", False)):
        assert (packaged[name].english is not None) == leans
    for base, leans in (("zm_yunxi", True), ("af_heart", False)):
        match = Match(base, np.zeros(256, np.float32), 1.0, 1.0, 0.7, 0.8)
        assert (Matched(match, packaged[base].normalisation, "fast", 6, (0, 0)).voice().english is not None) == leans
