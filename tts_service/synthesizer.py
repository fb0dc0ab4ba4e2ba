"""One engine, many talkers: text in, audio out, fair, bounded, and stopped the moment nobody listens.

A `Synthesizer` owns one engine and the only thread that runs it. Every `Utterance` is a stream of text that is being
spoken; the thread advances one of them by one chunk at a time: whoever has not been heard yet comes first, then
whoever's playback would run dry soonest.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Any

from loguru import logger

import g2p
from tts_service.engine import (
    AudioChunk,
    CharTiming,
    Engine,
    SpeechError,
    StopSignal,
    SynthesisOptions,
    UnknownVoice,
    Voice,
)
from tts_service.segmenter import Segment, Segmenter

STALL_SECONDS = 0.5
"""Text that has waited this long for its continuation is spoken as it stands."""
HURRY_SECONDS = 1.0
"""With less audio than this in reserve, a clause is spoken without waiting for its sentence."""


class Busy(SpeechError):
    """Too many utterances are being spoken at once."""


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
    cancelled: bool = False
    error: str | None = None

    @property
    def real_time_factor(self) -> float | None:
        """Engine time per second of speech."""
        return self.busy / self.audio if self.audio else None


@dataclass(eq=False)
class Utterance:
    """One stream of text that is being spoken. Made by `Synthesizer.open`; its methods may be called from any thread."""

    voice: Voice
    options: SynthesisOptions
    report: Report
    _synthesizer: Synthesizer
    _segmenter: Segmenter
    _lexicon: g2p.Lexicon | None
    _on_chunk: Callable[[AudioChunk], None]
    _on_end: Callable[[Exception | None], None]
    _played: Callable[[], float] | None
    _max_lead: float
    _stop: StopSignal = field(default_factory=StopSignal)
    _history: list[Any] = field(default_factory=list)
    # Owned by the engine thread:
    _chunks: Iterator[AudioChunk] | None = None
    _segment_start: int = 0
    _segment_seconds: float = 0.0
    # Guarded by the synthesizer's lock:
    _fed_at: float = 0.0
    _text_since: float | None = None
    _heard_since: float | None = None

    def feed(self, text: str) -> None:
        """Add text as it is written; any split is fine, down to single characters.

        Raises:
            ValueError: The text had already ended.
        """
        with self._synthesizer._wake:
            self._segmenter.feed(text)
            self._fed_at = time.monotonic()
            self._synthesizer._wake.notify()

    def end(self) -> None:
        """No more text will come; what remains is spoken, then `on_end` is called."""
        with self._synthesizer._wake:
            self._segmenter.end()
            self._synthesizer._wake.notify()

    def cancel(self) -> None:
        """Stop now. Returns at once; the engine leaves within its current step and no further chunk is delivered."""
        self._stop.set()
        with self._synthesizer._wake:
            self._synthesizer._wake.notify()

    def lead(self, now: float) -> float:
        """Seconds of audio that have been delivered but not played yet."""
        if self._played:
            return self.report.audio - self._played()
        return 0.0 if self._heard_since is None else self.report.audio - (now - self._heard_since)


class Synthesizer:
    """An engine with its thread: what applications hold.

    Args:
        engine: The engine; closed together with the synthesizer.
        lexicon: Custom dictionary for every utterance; None for the default one.
        capacity: Utterances at one time; more are refused with `Busy`.

    Example:
        >>> import tts_service
        >>> with tts_service.load("kokoro") as voice:
        ...     for chunk in voice.stream("你好，世界。"):
        ...         play(chunk.samples, chunk.sample_rate)
    """

    def __init__(self, engine: Engine, *, lexicon: g2p.Lexicon | None = None, capacity: int = 64) -> None:
        self.engine = engine
        self.lexicon = lexicon
        self.on_report: list[Callable[[Report], None]] = []
        """Called on the engine thread with the report of every utterance that ends."""
        self._capacity = capacity
        self._wake = threading.Condition()
        self._utterances: list[Utterance] = []
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"{engine.name}-engine", daemon=True)
        self._thread.start()

    def __enter__(self) -> Synthesizer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def sample_rate(self) -> int:
        """Of the chunks, in Hz, unless the options ask for another one."""
        return self.engine.sample_rate

    @property
    def active(self) -> int:
        """Utterances being spoken now."""
        return len(self._utterances)

    def voices(self) -> list[Voice]:
        """The voices of the engine; the first is the default."""
        return self.engine.voices()

    def voice(self, name: str | None = None) -> Voice:
        """The voice of that name, or the default one.

        Raises:
            UnknownVoice: There is none; the message lists those that exist.
        """
        voices = self.voices()
        if name is None:
            return voices[0]
        for voice in voices:
            if voice.name == name:
                return voice
        raise UnknownVoice(f"there is no voice {name!r}; available: {', '.join(v.name for v in voices)}")

    def open(
        self,
        *,
        on_chunk: Callable[[AudioChunk], None],
        on_end: Callable[[Exception | None], None],
        voice: str | None = None,
        options: SynthesisOptions | None = None,
        lexicon: g2p.Lexicon | None = None,
        max_lead: float = 10.0,
        played: Callable[[], float] | None = None,
    ) -> Utterance:
        """Begin to speak a text that is still being written.

        Args:
            on_chunk: Called on the engine thread with every chunk; timings count from the start of the utterance and
                refer to all the text that was fed. It must be quick and must not raise.
            on_end: Called once on the engine thread: with None when all has been spoken or it was cancelled, else with
                the error.
            voice: Name; None for the default.
            options: Speed, seed and so on.
            lexicon: Dictionary for this utterance instead of the synthesizer's.
            max_lead: Seconds that synthesis may run ahead of playback; keeps interrupted work and memory small.
            played: Seconds of audio that the listener has consumed so far. None: playback in real time from the first
                chunk on.

        Raises:
            UnknownVoice: There is no such voice.
            Busy: The capacity is exhausted.
        """
        found = self.voice(voice)
        lexicon = lexicon or self.lexicon
        utterance = Utterance(
            voice=found,
            options=options or SynthesisOptions(),
            report=Report(voice=found.name),
            _synthesizer=self,
            _segmenter=Segmenter(lexicon.spans if lexicon else None),
            _lexicon=lexicon,
            _on_chunk=on_chunk,
            _on_end=on_end,
            _played=played,
            _max_lead=max_lead,
        )
        with self._wake:
            if self._closing:
                raise SpeechError("the synthesizer has been closed")
            if len(self._utterances) >= self._capacity:
                raise Busy(f"{self._capacity} utterances are being spoken already; try again in a moment")
            self._utterances.append(utterance)
        return utterance

    def stream(
        self,
        text: str | Iterable[str],
        voice: str | None = None,
        *,
        lexicon: g2p.Lexicon | None = None,
        max_lead: float = 30.0,
        **options: Any,
    ) -> Iterator[AudioChunk]:
        """Speak a text, or the deltas of one that is still being written.

        Args:
            text: All of it, or an iterable of pieces (read on a thread of its own, so a slow writer does not hold up
                the audio).
            voice: Name; None for the default.
            lexicon: Dictionary for this text instead of the synthesizer's.
            max_lead: Seconds of audio made before the caller asks for them.
            **options: Fields of `SynthesisOptions`: `speed`, `language`, `seed`, `sample_rate`, ...

        Yields:
            Chunks, the first as soon as the engine has one. Closing the generator cancels the work.

        Raises:
            SpeechError: The text cannot be spoken, or an option is out of range.
        """
        chunks: SimpleQueue[AudioChunk | Exception | None] = SimpleQueue()
        consumed = 0.0
        utterance = self.open(
            on_chunk=chunks.put,
            on_end=chunks.put,
            voice=voice,
            options=SynthesisOptions(**options),
            lexicon=lexicon,
            max_lead=max_lead,
            played=lambda: consumed,
        )

        def write() -> None:
            try:
                for delta in [text] if isinstance(text, str) else text:
                    if utterance._stop():
                        return
                    utterance.feed(delta)
                utterance.end()
            except Exception as error:  # whatever the caller's iterable raises reaches the caller
                utterance.cancel()
                chunks.put(error)

        try:
            if isinstance(text, str):
                write()
            else:
                threading.Thread(target=write, name="text", daemon=True).start()
            while (item := chunks.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
                consumed += item.seconds
                with self._wake:
                    self._wake.notify()
        finally:
            utterance.cancel()

    async def astream(
        self,
        text: str | Iterable[str] | AsyncIterable[str],
        voice: str | None = None,
        *,
        lexicon: g2p.Lexicon | None = None,
        max_lead: float = 30.0,
        **options: Any,
    ) -> AsyncIterator[AudioChunk]:
        """The asynchronous twin of `stream`; also takes an asynchronous iterable of deltas."""
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[AudioChunk | Exception | None] = asyncio.Queue()
        consumed = 0.0

        def put(item: AudioChunk | Exception | None) -> None:
            loop.call_soon_threadsafe(chunks.put_nowait, item)

        utterance = self.open(
            on_chunk=put,
            on_end=put,
            voice=voice,
            options=SynthesisOptions(**options),
            lexicon=lexicon,
            max_lead=max_lead,
            played=lambda: consumed,
        )

        async def write() -> None:
            try:
                if isinstance(text, AsyncIterable):
                    async for delta in text:
                        utterance.feed(delta)
                else:
                    for delta in [text] if isinstance(text, str) else text:
                        utterance.feed(delta)
                utterance.end()
            except Exception as error:  # as in `stream`
                utterance.cancel()
                chunks.put_nowait(error)

        writer = asyncio.create_task(write())
        try:
            while (item := await chunks.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
                consumed += item.seconds
                with self._wake:
                    self._wake.notify()
        finally:
            writer.cancel()
            utterance.cancel()

    def warm_up(self) -> None:
        """Speak a syllable in silence, so that the first caller does not pay for lazy initialisation."""
        for _ in self.stream("好"):
            pass

    def close(self) -> None:
        """Cancel everything, end the thread and close the engine. Idempotent."""
        with self._wake:
            if self._closing:
                return
            self._closing = True
            for utterance in self._utterances:
                utterance._stop.set()
            self._wake.notify()
        self._thread.join()
        self.engine.close()

    # The engine thread

    def _run(self) -> None:
        while (utterance := self._next()) is not None:
            started = time.monotonic()
            error: Exception | None = None
            try:
                finished = self._advance(utterance, started)
            except Exception as exception:  # one utterance's failure must not end the others
                finished, error = True, exception
                if not isinstance(exception, SpeechError):
                    logger.exception(f"the {self.engine.name} engine failed")
            utterance.report.busy += time.monotonic() - started
            if finished or utterance._stop():
                self._finish(utterance, error)

    def _next(self) -> Utterance | None:
        """Wait until an utterance can be advanced and choose the most urgent one; None when closing."""
        with self._wake:
            while True:
                now = time.monotonic()
                waits = []
                ready: list[tuple[float, Utterance]] = []
                for utterance in self._utterances:
                    wait = self._seconds_until_ready(utterance, now)
                    if wait <= 0:
                        unheard = utterance._heard_since is None
                        ready.append((-1e9 if unheard else utterance.lead(now), utterance))
                    else:
                        waits.append(wait)
                if ready:
                    return min(ready, key=lambda item: item[0])[1]
                if self._closing and not self._utterances:
                    return None
                soonest = min(waits, default=float("inf"))
                self._wake.wait(None if soonest == float("inf") else soonest)

    def _seconds_until_ready(self, utterance: Utterance, now: float) -> float:
        """0 if the engine can do something for it now; else how long to sleep at most."""
        if utterance._stop():
            return 0.0
        excess = utterance.lead(now) - utterance._max_lead
        if excess > 0:
            return float("inf") if utterance._played else excess
        if utterance._chunks is not None or utterance._segmenter.exhausted:
            return 0.0
        segment = self._take(utterance, now)
        if segment is not None:
            utterance._text_since = utterance._text_since or utterance._fed_at
            self._begin(utterance, segment)
            return 0.0
        if utterance._segmenter.exhausted:
            return 0.0
        if not utterance._segmenter.waiting:
            return float("inf")
        stalls_in = utterance._fed_at + STALL_SECONDS - now
        dry_in = utterance.lead(now) - HURRY_SECONDS
        waits = [wait for wait in (stalls_in, dry_in) if wait > 0]
        return min(waits, default=float("inf"))

    def _take(self, utterance: Utterance, now: float) -> Segment | None:
        hurry = utterance.lead(now) < HURRY_SECONDS
        stalled = hurry and now - utterance._fed_at >= STALL_SECONDS
        return utterance._segmenter.take(hurry=hurry, stalled=stalled)

    def _begin(self, utterance: Utterance, segment: Segment) -> None:
        """Set the segment up as a generator; nothing is computed until it is advanced."""
        utterance._segment_start = segment.start
        utterance._segment_seconds = utterance.report.audio
        utterance._chunks = self._speak(utterance, segment.text)

    def _speak(self, utterance: Utterance, text: str) -> Iterator[AudioChunk]:
        pronunciation = g2p.analyze(text, lexicon=utterance._lexicon)
        if pronunciation:
            yield from self.engine.synthesize(
                pronunciation, utterance.voice, utterance.options, utterance._stop, utterance._history
            )

    def _advance(self, utterance: Utterance, now: float) -> bool:
        """Make and deliver one chunk. Returns whether the utterance is finished."""
        if utterance._stop():
            return True
        if utterance._chunks is None:
            return utterance._segmenter.exhausted
        report = utterance.report
        waited_since = utterance._text_since or now
        if report.busy == 0.0:
            report.queue_wait = max(0.0, now - waited_since)
        chunk = next(utterance._chunks, None)
        if chunk is None:
            utterance._chunks = None
            return False
        if utterance._stop():
            return True
        if report.first_audio is None:
            report.first_audio = time.monotonic() - waited_since
        if utterance._heard_since is None:
            utterance._heard_since = time.monotonic()
        elif utterance._played is None and utterance.lead(time.monotonic()) < 0:
            # Playback ran dry and resumes now: count from here.
            utterance._heard_since = time.monotonic() - report.audio
        report.audio += chunk.seconds
        utterance._on_chunk(self._placed(chunk, utterance))
        return False

    @staticmethod
    def _placed(chunk: AudioChunk, utterance: Utterance) -> AudioChunk:
        """The chunk with its timings moved from the segment into the utterance."""
        timings = tuple(
            CharTiming(
                timing.start + utterance._segment_start,
                timing.end + utterance._segment_start,
                timing.seconds + utterance._segment_seconds,
            )
            for timing in chunk.timings
        )
        return replace(chunk, timings=timings)

    def _finish(self, utterance: Utterance, error: Exception | None) -> None:
        report = utterance.report
        report.cancelled = utterance._stop()
        report.error = str(error) if error else None
        if utterance._chunks is not None and hasattr(utterance._chunks, "close"):
            utterance._chunks.close()
        with self._wake:
            self._utterances.remove(utterance)
        try:
            utterance._on_end(None if report.cancelled else error)
            for observer in self.on_report:
                observer(report)
        except Exception:  # a caller that is gone must not take the engine thread with it
            logger.exception("the end of an utterance could not be reported")
