"""One stream of text that is being spoken: what is still to be said, how far ahead of the listener, at what cost."""

from __future__ import annotations

import itertools
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import g2p
from pipecat_glm_tts.wording import tr
from tts_service.engine import (
    BREATH,
    QUEUED,
    SPEEDS,
    AudioChunk,
    CharTiming,
    Engine,
    Phrasing,
    StopSignal,
    SynthesisOptions,
    Voice,
)
from tts_service.speech.audible import SILENT, Audible, rhythm, sentence
from tts_service.speech.segmenter import Segment, Segmenter
from tts_service.speech.tempo import shared, stretched
from tts_service.speech.watermark import Watermark

STALL_SECONDS = 0.5
"""Text that has waited this long for its continuation is spoken as it stands."""
QUEUED_SECONDS = 0.005
"""After this long, an engine that had nothing to do for a segment is asked again; others are served meanwhile."""
HURRY_SECONDS = 1.0
"""With less audio than this in reserve, a clause is spoken without waiting for its sentence."""
SAFE_SECONDS = 0.25
"""With more audio than this in reserve, a listener can spare the engine for somebody else's first chunk."""
PATIENCE_SECONDS = 2.0
"""How long a newcomer can be put off by listeners who have little in reserve."""
FAULTS = 3
"""After so many failed segments in a row the rest of the text is given up, too."""

_SENTENCE_END = re.compile(r"[。！？!?；;\n]+[”’」』）)\"']*|\.(?=\s)")


@dataclass(frozen=True, slots=True)
class Wait:
    """What somebody is told who waits for his turn."""

    ahead: int
    """How many others come before him."""
    seconds: float | None
    """How long it may take, by how long turns took so far; None while nobody has finished one."""

    def __str__(self) -> str:
        if self.seconds is None:
            return tr("{count} ahead", count=self.ahead)
        return tr("{count} ahead, about {seconds:.0f} s", count=self.ahead, seconds=self.seconds)


@dataclass(slots=True)
class Report:
    """What one utterance cost. All times in seconds."""

    voice: str
    queue_wait: float = 0.0
    """From the first speakable text to the moment the engine turned to it."""
    first_audio: float | None = None
    """From the first speakable text to the first chunk; None if there was none."""
    audio: float = 0.0
    """Length of the speech made."""
    busy: float = 0.0
    """Time the engine spent on it."""
    underruns: int = 0
    """How often playback ran dry in the middle of a text that had come in time."""
    cancelled: bool = False
    error: str | None = None

    @property
    def real_time_factor(self) -> float | None:
        """Engine time per second of speech."""
        return self.busy / self.audio if self.audio else None


class Utterance:
    """A text on its way to becoming speech. Made by `Synthesizer.open`.

    `feed`, `end`, `cancel`, `played` and `play` may be called from any thread; the rest belongs to the engine thread.

    Attributes:
        voice: Who speaks.
        options: How.
        report: What it has cost so far.
    """

    def __init__(
        self,
        engine: Engine,
        voice: Voice,
        options: SynthesisOptions,
        lexicon: g2p.Lexicon,
        wake: threading.Condition,
        *,
        on_chunk: Callable[[AudioChunk], None],
        on_end: Callable[[Exception | None], None],
        on_segment: Callable[[Segment], None] | None = None,
        on_fault: Callable[[Exception, int], None] | None = None,
        on_wait: Callable[[Wait], None] | None = None,
        max_lead: float,
        real_time: bool,
        watermark: bool = True,
        audible: Audible = SILENT,
    ) -> None:
        self.voice = voice
        self.options = options
        self.report = Report(voice.name)
        self.reason: Exception | None = None
        """Why it was cancelled, if its listener has to know."""
        self.on_end = on_end
        self._on_chunk = on_chunk
        self._on_segment = on_segment
        self._on_fault = on_fault
        self.on_wait = on_wait
        self.wait_told = 0.0
        """When its listener was last told how long he has to wait."""
        self.turn: float | None = None
        """Seconds that the last segment had the engine's attention; set when it ends."""
        self._turn_began: float | None = None
        self._sounds = False
        """Whether something of the present segment has been delivered."""
        self._faults = 0
        self._engine = engine
        self._lexicon = lexicon
        self._wake = wake
        self._max_lead = max_lead
        self._real_time = real_time
        self._marked = watermark
        self._watermark: Watermark | None = None
        self._audible = audible
        self._announced = self._dismissed = False
        self._first_text = ""
        self._segmenter = Segmenter(
            lambda text: [(match.start, match.end) for match in lexicon.find(text)],
            lambda text: _words(g2p.analyze(text, lexicon, language=options.language)),
            getattr(engine, "phrasing", Phrasing()),
        )
        self._stop = StopSignal()
        self._history: list[Any] = []
        self._chunks: Iterator[AudioChunk] | None = None
        self._segment: Segment | None = None
        self._said = 0
        self._segment_seconds = 0.0
        self._begun_in_time = False
        self._fed_at = 0.0
        self._flushed = False
        self._text_since: float | None = None
        self._served = False
        self._queued_until = 0.0
        self._heard_since: float | None = None
        self._played = 0.0
        self._played_at = time.monotonic()

    def feed(self, text: str) -> None:
        """Add text as it is written; any split is fine, down to single characters.

        Raises:
            ValueError: The text had already ended.
        """
        with self._wake:
            self._segmenter.feed(text)
            self._fed_at = time.monotonic()
            self._flushed = False
            self._wake.notify()

    def flush(self) -> None:
        """The text makes a pause here: what is there is spoken as it stands, without waiting for its continuation."""
        with self._wake:
            self._flushed = True
            self._wake.notify()

    def end(self) -> None:
        """No more text will come; what remains is spoken, then `on_end` is called."""
        with self._wake:
            self._segmenter.end()
            self._wake.notify()

    def cancel(self, reason: Exception | None = None) -> None:
        """Stop now. Returns at once; the engine leaves within its current step and no further chunk is delivered.

        Args:
            reason: What `on_end` is called with, if it is not its listener who stops it.
        """
        if not self.cancelled:
            self.reason = reason
        self._stop.set()
        with self._wake:
            self._wake.notify()

    def played(self, seconds: float) -> None:
        """The listener has consumed so much more (for utterances that are not played in real time)."""
        with self._wake:
            self._played += seconds
            self._played_at = time.monotonic()
            self._wake.notify()

    def play(self, max_lead: float) -> None:
        """What was kept back until now is played in real time from here on.

        Args:
            max_lead: Seconds that synthesis may run ahead of playback.
        """
        with self._wake:
            self._real_time, self._max_lead = True, max_lead
            if self._heard_since is not None:
                self._heard_since = time.monotonic()
            self._wake.notify()

    @property
    def begun(self) -> bool:
        """Whether any of it has been turned to."""
        return self._segment is not None

    @property
    def cancelled(self) -> bool:
        """Whether it has been told to stop."""
        return self._stop()

    @property
    def queued(self) -> bool:
        """Whether its present segment is waiting for its turn inside the engine."""
        return self._chunks is not None and self._queued_until > 0 and not self._sounds

    @property
    def served(self) -> bool:
        """Whether its present segment has had its turn and is not done yet."""
        return self._turn_began is not None

    def forsaken(self, now: float) -> float:
        """For how many seconds nobody has taken what lies ready; 0 if it plays by itself."""
        if self._real_time or self.lead(now) <= self._max_lead:
            return 0.0
        return now - self._played_at

    def lead(self, now: float) -> float:
        """Seconds of audio that have been delivered but not played yet; negative when playback has run dry."""
        return self._slack(now) if self._real_time else self.report.audio - self._played

    def urgency(self, now: float) -> float:
        """Smaller is more urgent: whoever's playback would run dry soonest, newcomers before all who are safe.

        A newcomer's claim grows with its wait, so that an overloaded engine does not keep it out for ever.
        """
        if self.cancelled:
            return -math.inf  # costs nothing, and makes room
        if self._heard_since is not None:
            return self._slack(now)
        waited = now - self._text_since if self._text_since is not None else 0.0
        return SAFE_SECONDS * (1 - waited / PATIENCE_SECONDS)

    def seconds_until_ready(self, now: float, crowded: bool = False) -> float:
        """0 if the engine can do something for it now, else how long to sleep at most. Call with the lock held.

        Args:
            now: The time.
            crowded: Others wait for what a segment holds: it is finished even far ahead of a listener, who might
                never come.
        """
        if self.cancelled or (self._chunks is None and self._segmenter.exhausted):
            return 0.0
        lead = self.lead(now)
        if lead > self._max_lead and not (crowded and self.served):
            return lead - self._max_lead if self._real_time else math.inf
        if self._chunks is not None:
            return max(0.0, self._queued_until - now)
        if self._take_segment(now, lead):
            return 0.0
        if not self._segmenter.waiting:
            return math.inf
        moments = (self._fed_at + STALL_SECONDS - now, lead - HURRY_SECONDS)
        return min((moment for moment in moments if moment > 0), default=math.inf)

    def advance(self) -> bool:
        """Let the engine do one piece of work and deliver what it makes. Returns whether the utterance is finished."""
        if self.cancelled:
            return True
        if self._chunks is None and not self._begin_notice():
            return self._segmenter.exhausted
        assert self._chunks is not None
        started = time.monotonic()
        if not self._served and self._text_since is not None:
            self.report.queue_wait = started - self._text_since
        try:
            chunk = next(self._chunks, None)
        except Exception as error:
            self._faults += 1
            if self._on_fault is None or self._faults == FAULTS:
                raise
            self._skip_sentence(error)
            return self.cancelled
        finally:
            ended = time.monotonic()
            self.report.busy += ended - started
        self._served = self._served or chunk is not QUEUED
        if chunk is not QUEUED and self._turn_began is None:
            self._turn_began = started
        elif chunk is QUEUED and not self._sounds:
            self._turn_began = None
        if chunk is None:
            self.turn, self._turn_began = ended - (self._turn_began or started), None
        self._queued_until = ended + QUEUED_SECONDS if chunk is QUEUED else 0.0
        if chunk is None:
            self._chunks = None
        elif chunk is not BREATH and chunk is not QUEUED and not self.cancelled:
            self._deliver(chunk, ended)
        return self.cancelled

    def finish(self, error: Exception | None) -> None:
        """Free what the engine holds for it and complete the report."""
        self.report.cancelled = self.cancelled
        self.report.error = str(error) if error else None
        self._chunks = None
        self._history.clear()

    def _slack(self, now: float) -> float:
        """The lead of a listener in real time; one who merely collects must not be served before those who listen."""
        return 0.0 if self._heard_since is None else self.report.audio - (now - self._heard_since)

    def _take_segment(self, now: float, lead: float) -> bool:
        """Set the next segment up as a generator, if there is one; nothing is computed until it is advanced."""
        hurry = lead < HURRY_SECONDS
        stalled = hurry and (self._flushed or now - self._fed_at >= STALL_SECONDS)
        segment = self._segmenter.take(hurry=hurry, stalled=stalled)
        if segment is None:
            return False
        if self._text_since is None:
            self._text_since = self._fed_at
        self._begin(segment)
        return True

    def _speak(self, segment: Segment) -> Iterator[AudioChunk]:
        if self._on_segment:
            self._on_segment(segment)
        before = 0.0
        for chunk in self._announcement(segment.text):
            before += chunk.seconds
            yield chunk
        for chunk in self._said_aloud(segment.text):
            yield replace(chunk, timings=_later(chunk.timings, before)) if before and chunk.timings else chunk

    def _said_aloud(self, text: str) -> Iterator[AudioChunk]:
        pronunciation = g2p.analyze(text, self._lexicon, language=self.options.language)
        if pronunciation:
            # an engine of somebody else's need not know that there is help with tempo
            tempo, stretch = shared(self.options.speed, getattr(self._engine, "tempi", SPEEDS))
            options = replace(self.options, speed=tempo)
            chunks = self._engine.synthesize(pronunciation, self.voice, options, self._stop, self._history)
            yield from stretched(chunks, stretch)

    def _announcement(self, text: str) -> Iterator[AudioChunk]:
        """What is heard before the first words of all."""
        if self._announced or self._audible.kind == "off":
            return
        if not g2p.analyze(text, self._lexicon, language=self.options.language):
            return
        self._announced, self._first_text = True, text
        if self._audible.begins():
            yield from self._notice("beginning")

    def _begin_notice(self) -> bool:
        """Set up what is heard behind the last words, if anything is; once."""
        if not (self._audible.ends() and self._announced and self._segmenter.exhausted) or self._dismissed:
            return False
        self._dismissed = True
        self._segment, self._said = Segment("", self._segment.start if self._segment else 0), 0
        self._chunks = self._notice("end")
        return True

    def _notice(self, place: Literal["beginning", "end"]) -> Iterator[AudioChunk]:
        if self._audible.kind == "rhythm":
            rate = self.options.sample_rate or self._engine.sample_rate
            yield AudioChunk(rhythm(rate, place), rate)
            return
        for chunk in self._said_aloud(sentence(self._first_text, place, self.options.language)):
            yield replace(chunk, timings=()) if chunk.timings else chunk

    def _skip_sentence(self, error: Exception) -> None:
        """Go on behind the sentence that could not be said."""
        assert self._on_fault is not None
        assert self._segment is not None
        segment = self._segment
        end = _SENTENCE_END.search(segment.text, self._said)
        rest = segment.text[end.end() :] if end else ""
        start = segment.start + len(segment.text) - len(rest)
        self._on_fault(error, start)
        self._chunks = self._turn_began = None
        if rest:
            self._begin(Segment(rest, start))

    def _begin(self, segment: Segment) -> None:
        self._segment, self._said, self._sounds = segment, 0, False
        self._segment_seconds = self.report.audio
        self._begun_in_time = self._slack(time.monotonic()) >= 0
        self._chunks = self._speak(segment)

    def _deliver(self, chunk: AudioChunk, now: float) -> None:
        report = self.report
        self._faults, self._sounds = 0, True
        if report.first_audio is None and self._text_since is not None:
            report.first_audio = now - self._text_since
        # The clock of playback starts with the first chunk, and again whenever playback had run dry.
        if self._heard_since is None or self._slack(now) < 0:
            report.underruns += self._heard_since is not None and self._real_time and self._begun_in_time
            self._heard_since = now - report.audio
        report.audio += chunk.seconds
        start = self._segment.start if self._segment else 0
        timings = tuple(
            CharTiming(timing.start + start, timing.end + start, timing.seconds + self._segment_seconds)
            for timing in chunk.timings
        )
        self._said = max((timing.end for timing in chunk.timings), default=self._said)
        self._on_chunk(AudioChunk(self._mark(chunk), chunk.sample_rate, timings))

    def _mark(self, chunk: AudioChunk) -> NDArray[np.float32]:
        if not self._marked:
            return chunk.samples
        if self._watermark is None or self._watermark.sample_rate != chunk.sample_rate:
            self._watermark = Watermark(chunk.sample_rate)
        return self._watermark.mark(chunk.samples)


def _later(timings: tuple[CharTiming, ...], seconds: float) -> tuple[CharTiming, ...]:
    return tuple(replace(timing, seconds=timing.seconds + seconds) for timing in timings)


def _words(pronunciation: g2p.Pronunciation) -> Iterator[tuple[int, int]]:
    """The spans of the words in the original text."""
    for _, tokens in itertools.groupby(pronunciation.tokens, key=lambda token: token.word):
        word = list(tokens)
        yield word[0].start, word[-1].end
