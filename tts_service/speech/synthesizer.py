"""One engine, many talkers: text in, audio out, fair, bounded, and stopped the moment nobody listens.

A `Synthesizer` owns one engine and the only thread that runs it. The thread advances one `Utterance` at a time by one
chunk: whoever's playback is about to run dry comes first, then whoever has not been heard yet, then the rest.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable
from queue import SimpleQueue
from typing import Any

from loguru import logger

import g2p
from g2p.lexicon import default_lexicon
from pipecat_glm_tts.wording import tr
from tts_service.engine import AudioChunk, Busy, Closed, Engine, SpeechError, SynthesisOptions, UnknownVoice, Voice
from tts_service.speech.audible import SILENT, Audible
from tts_service.speech.segmenter import Segment
from tts_service.speech.utterance import Report, Utterance, Wait
from tts_service.speech.watermark import noise

FORSAKEN_SECONDS = 60.0
"""Whoever has taken nothing of what lies ready for so long makes room when somebody else finds none."""
WAIT_SECONDS = 1.0
"""How often somebody who waits is told how long it may still take."""


class Synthesizer:
    """An engine with its thread: what applications hold.

    Args:
        engine: The engine; closed together with the synthesizer.
        lexicon: Custom dictionary for every utterance; None for the default one.
        capacity: Utterances at one time; more are refused with `Busy`.
        watermark: Put the mark of `tts_service.speech.watermark` into everything that it says.

    Example:
        >>> import tts_service
        >>> with tts_service.load("kokoro") as voice:
        ...     for chunk in voice.stream("你好，世界。"):
        ...         play(chunk.samples, chunk.sample_rate)
    """

    def __init__(
        self, engine: Engine, *, lexicon: g2p.Lexicon | None = None, capacity: int = 64, watermark: bool = True
    ) -> None:
        self.engine = engine
        self.lexicon = lexicon
        self.on_report: list[Callable[[Report], None]] = []
        """Called on the engine thread with the report of every utterance that ends."""
        self._capacity = capacity
        self.audible = SILENT
        """The mark that people hear with every utterance that has no other."""
        self._watermark = watermark
        if watermark:
            noise(engine.sample_rate)  # so that nobody's first sound waits for it
        self._wake = threading.Condition()
        self._utterances: list[Utterance] = []
        self._turn: float | None = None
        """Seconds that a segment has the engine's attention, in the mean of late."""
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

    @property
    def wait(self) -> Wait:
        """What a newcomer would have to wait for, were he to come now."""
        queued = sum(utterance.queued for utterance in [*self._utterances])
        return Wait(queued, self._seconds(queued + 1) if queued else 0.0)

    def voices(self) -> list[Voice]:
        """The voices of the engine that a picker should offer; the first is the default."""
        return [voice for voice in self.engine.voices() if voice.listed]

    def voice(self, name: str | Voice | None = None) -> Voice:
        """The voice of that name, or the default one; a `Voice` (a cloned one, for engines that can) passes through.

        Raises:
            UnknownVoice: There is none; the message lists those that exist.
        """
        if isinstance(name, Voice):
            return name
        voices = self.engine.voices()
        if not voices:
            raise UnknownVoice(
                tr(
                    "the {name} engine has no voice yet; give it one: glm-tts voices add FILE --engine {name} --name "
                    "NAME --transcript TEXT --consent STATEMENT",
                    name=self.engine.name,
                )
            )
        if name is None:
            return voices[0]
        for voice in voices:
            if voice.name == name:
                return voice
        raise UnknownVoice(
            tr(
                "there is no voice {name!r}; available: {voices}",
                name=name,
                voices=", ".join(v.name for v in voices if v.listed),
            )
        )

    def open(
        self,
        *,
        on_chunk: Callable[[AudioChunk], None],
        on_end: Callable[[Exception | None], None],
        on_segment: Callable[[Segment], None] | None = None,
        on_fault: Callable[[Exception, int], None] | None = None,
        on_wait: Callable[[Wait], None] | None = None,
        voice: str | Voice | None = None,
        options: SynthesisOptions | None = None,
        lexicon: g2p.Lexicon | None = None,
        max_lead: float = 10.0,
        real_time: bool = True,
        audible: Audible | None = None,
    ) -> Utterance:
        """Begin to speak a text that is still being written.

        Args:
            on_chunk: Called on the engine thread with every chunk; timings count from the start of the utterance and
                refer to all the text that was fed. It must be quick and must not raise.
            on_end: Called once on the engine thread: with None when all has been spoken or it was cancelled, else with
                the error.
            on_segment: Called on the engine thread before the first chunk of every piece that is said in one breath.
            on_fault: Called on the engine thread when a sentence fails, with the error and the place in the text where
                speech goes on, unless several fail in a row. Without it the first failure is the end.
            on_wait: Called on the engine thread every second while it waits for room in the engine.
            voice: Name; None for the default.
            options: Speed, seed and so on.
            lexicon: Dictionary for this utterance instead of the synthesizer's.
            max_lead: Seconds that synthesis may run ahead of playback; keeps interrupted work and memory small.
            real_time: Playback runs in real time from the first chunk on. False: the listener says with
                `Utterance.played` how much it has consumed.
            audible: The mark that people hear; None: the synthesizer's.

        Raises:
            UnknownVoice: There is no such voice.
            Busy: The capacity is exhausted, and nobody has forsaken his utterance; tells in how long to try again.
            Closed: The synthesizer has been closed.
        """
        utterance = Utterance(
            self.engine,
            self.voice(voice),
            options or SynthesisOptions(),
            lexicon or self.lexicon or default_lexicon(),
            self._wake,
            on_chunk=on_chunk,
            on_end=on_end,
            on_segment=on_segment,
            on_fault=on_fault,
            on_wait=on_wait,
            max_lead=max_lead,
            real_time=real_time,
            watermark=self._watermark,
            audible=self.audible if audible is None else audible,
        )
        with self._wake:
            if self._closing:
                raise Closed(tr("the synthesizer has been closed"))
            forsaken = None
            if sum(not other.cancelled for other in self._utterances) >= self._capacity:
                forsaken = self._forsaken()
            self._utterances.append(utterance)
        if forsaken is not None:
            forsaken.cancel(
                Busy(
                    tr(
                        "nothing was taken of this speech for {seconds:.0f} s, and others are waiting; ask again, and "
                        "read what comes",
                        seconds=FORSAKEN_SECONDS,
                    )
                )
            )
        return utterance

    def _forsaken(self) -> Utterance:
        """The utterance whose listener has taken nothing for the longest time; Busy if all have of late."""
        now = time.monotonic()
        forsaken = max(self._utterances, key=lambda utterance: utterance.forsaken(now), default=None)
        if forsaken is None or forsaken.forsaken(now) < FORSAKEN_SECONDS:
            raise Busy(
                tr("{capacity} utterances are being spoken already; try again in a moment", capacity=self._capacity),
                self._seconds(1),
            )
        return forsaken

    def _seconds(self, place: int) -> float | None:
        """How long it takes until so many have had their turn: as many turns go on at once as are being served."""
        if self._turn is None:
            return None
        return self._turn * place / max(1, sum(utterance.served for utterance in [*self._utterances]))

    def stream(
        self,
        text: str | Iterable[str],
        voice: str | Voice | None = None,
        *,
        lexicon: g2p.Lexicon | None = None,
        max_lead: float = 30.0,
        audible: Audible | None = None,
        on_report: Callable[[Report], None] | None = None,
        on_wait: Callable[[Wait], None] | None = None,
        **options: Any,
    ) -> Generator[AudioChunk, None, None]:
        """Speak a text, or the deltas of one that is still being written.

        Args:
            text: All of it, or an iterable of pieces (read on a thread of its own, so a slow writer does not hold up
                the audio).
            voice: Name; None for the default.
            lexicon: Dictionary for this text instead of the synthesizer's.
            max_lead: Seconds of audio made before the caller asks for them.
            audible: See `open`.
            on_report: Called with what it cost when the generator ends.
            on_wait: See `open`.
            **options: Fields of `SynthesisOptions`: `speed`, `language`, `seed`, `sample_rate`, ...

        Yields:
            Chunks, the first as soon as the engine has one. Closing the generator cancels the work.

        Raises:
            SpeechError: The text cannot be spoken, or an option is out of range.
        """
        items: SimpleQueue[AudioChunk | Exception | None] = SimpleQueue()
        utterance = self.open(
            on_chunk=items.put,
            on_end=items.put,
            on_wait=on_wait,
            voice=voice,
            options=SynthesisOptions(**options),
            lexicon=lexicon,
            max_lead=max_lead,
            real_time=False,
            audible=audible,
        )

        try:
            _pour(text, utterance, items.put)
            while (item := items.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
                utterance.played(item.seconds)
        finally:
            utterance.cancel()
            if on_report:
                on_report(utterance.report)

    async def astream(
        self,
        text: str | Iterable[str] | AsyncIterable[str | None],
        voice: str | Voice | None = None,
        *,
        lexicon: g2p.Lexicon | None = None,
        max_lead: float = 30.0,
        audible: Audible | None = None,
        on_report: Callable[[Report], None] | None = None,
        **options: Any,
    ) -> AsyncGenerator[AudioChunk, None]:
        """The asynchronous twin of `stream`; also takes an asynchronous iterable of deltas.

        A None among these says that the text makes a pause: what is there is spoken as it stands.
        """
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[AudioChunk | Exception | None] = asyncio.Queue()

        def put(item: AudioChunk | Exception | None) -> None:
            loop.call_soon_threadsafe(items.put_nowait, item)

        utterance = self.open(
            on_chunk=put,
            on_end=put,
            voice=voice,
            options=SynthesisOptions(**options),
            lexicon=lexicon,
            max_lead=max_lead,
            real_time=False,
            audible=audible,
        )

        async def write(deltas: AsyncIterable[str | None]) -> None:
            try:
                async for delta in deltas:
                    if delta is None:
                        utterance.flush()
                    else:
                        utterance.feed(delta)
                utterance.end()
            except Exception as error:  # as in `_pour`
                items.put_nowait(error)
                utterance.cancel()

        writer = None
        try:
            if isinstance(text, AsyncIterable):
                writer = asyncio.create_task(write(text))
            else:
                _pour(text, utterance, put)
            while (item := await items.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
                utterance.played(item.seconds)
        finally:
            if writer is not None:
                writer.cancel()
            utterance.cancel()
            if on_report:
                on_report(utterance.report)

    def warm_up(self, voice: str | Voice | None = None) -> None:
        """Speak a syllable in silence, so that the first caller pays neither for lazy initialisation nor for the voice.

        Args:
            voice: The one that will speak; None: the default.
        """
        for text in ("好1", "one 1"):  # either language's rules for numbers
            g2p.analyze(text, self.lexicon)
        for _ in self.stream("好", voice, audible=SILENT):
            pass

    def close(self) -> None:
        """Cancel everything, end the thread and close the engine. Idempotent."""
        with self._wake:
            if self._closing:
                return
            self._closing = True
            utterances = list(self._utterances)
            self._wake.notify()
        for utterance in utterances:
            utterance.cancel(Closed(tr("the synthesizer was closed before all had been said")))
        self._thread.join()
        self.engine.close()

    # The engine thread

    def _run(self) -> None:
        while (utterance := self._next()) is not None:
            error: Exception | None = None
            try:
                finished = utterance.advance()
            except Exception as exception:  # one utterance's failure must not end the others
                finished, error = True, exception
                if not isinstance(exception, SpeechError):
                    logger.exception(f"the {self.engine.name} engine failed")
            if utterance.turn is not None:
                self._turn = utterance.turn if self._turn is None else 0.8 * self._turn + 0.2 * utterance.turn
                utterance.turn = None
            elif utterance.queued:
                self._tell(utterance)
            if finished:
                self._finish(utterance, error)

    def _tell(self, utterance: Utterance) -> None:
        """Tell somebody who waits how long it may take."""
        now = time.monotonic()
        if now - utterance.wait_told < WAIT_SECONDS:
            return
        utterance.wait_told = now
        with self._wake:
            ahead = sum(other.queued for other in self._utterances[: self._utterances.index(utterance)])
        wait = Wait(ahead, self._seconds(ahead + 1))
        if utterance.on_wait is not None:
            utterance.on_wait(wait)
        else:
            logger.info(f"{utterance.voice.name} waits for the {self.engine.name} engine: {wait}")

    def _next(self) -> Utterance | None:
        """Wait until an utterance can be advanced and choose the most urgent one; None when closing."""
        with self._wake:
            while not (self._closing and not self._utterances):
                now = time.monotonic()
                crowded = any(utterance.queued for utterance in self._utterances)
                waits = {utterance: utterance.seconds_until_ready(now, crowded) for utterance in self._utterances}
                ready = [utterance for utterance, wait in waits.items() if wait <= 0]
                if ready:
                    return min(ready, key=lambda utterance: utterance.urgency(now))
                soonest = min(waits.values(), default=math.inf)
                self._wake.wait(None if soonest == math.inf else soonest)
            return None

    def _finish(self, utterance: Utterance, error: Exception | None) -> None:
        utterance.finish(error)
        with self._wake:
            self._utterances.remove(utterance)
        try:
            utterance.on_end(utterance.reason if utterance.cancelled else error)
            for observer in self.on_report:
                observer(utterance.report)
        except Exception:  # a caller that is gone must not take the engine thread with it
            logger.exception("the end of an utterance could not be reported")


def _pour(text: str | Iterable[str], utterance: Utterance, put: Callable[[Exception], None]) -> None:
    """Feed a text at once, or one that is still being written on a thread of its own: its writer may be slow."""

    def write(deltas: Iterable[str]) -> None:
        try:
            for delta in deltas:
                if utterance.cancelled:
                    return
                utterance.feed(delta)
            utterance.end()
        except Exception as error:  # whatever the caller's iterable raises reaches the caller
            put(error)
            utterance.cancel()

    if isinstance(text, str):
        write([text])
    else:
        threading.Thread(target=write, args=(text,), name="text", daemon=True).start()
