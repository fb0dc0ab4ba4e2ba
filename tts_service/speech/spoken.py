"""One answer on its way from the engine thread to the event loop: 16-bit audio, and words with their times."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from tts_service.engine import AudioChunk, CharTiming
from tts_service.speech.segmenter import Segment
from tts_service.speech.utterance import Utterance

BEGUN_SECONDS = 0.06
"""When so much of a word has sounded it has been heard."""
FIRST_BEGUN_SECONDS = 0.02
"""Likewise for the first word of an answer: of what was heard at all, something must be remembered."""
_OPENING = "“‘（《【「『〈([{<"


@dataclass(frozen=True, slots=True)
class Sound:
    """Audio as a transport wants it."""

    pcm: bytes
    timings: tuple[CharTiming, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """Part of the text will not be said."""

    error: Exception
    end: int
    """Where speech goes on in the passage."""


@dataclass(frozen=True, slots=True)
class End:
    """Nothing follows."""

    error: Exception | None


class Passage:
    """The part of an answer that is said in one voice: one utterance, and what has come of it so far.

    Args:
        start: Where it begins in the text of the answer.
        rate: Of the audio in Hz.
        open: Begins the utterance, given the four callbacks of `Synthesizer.open`.

    Raises:
        SpeechError: The synthesizer refuses.
    """

    def __init__(self, start: int, rate: int, open: Callable[..., Utterance]) -> None:
        self.start = start
        self.items: asyncio.Queue[Segment | Sound | Fault | End] = asyncio.Queue()
        self._rate = rate
        self._loop = asyncio.get_running_loop()
        self._resampler: soxr.ResampleStream | None = None
        self.utterance = open(
            on_chunk=self._on_chunk,
            on_end=self._on_end,
            on_segment=self._put,
            on_fault=lambda error, end: self._put(Fault(error, end)),
        )

    def _on_chunk(self, chunk: AudioChunk) -> None:
        """On the engine thread: convert here, so that the event loop only passes bytes on."""
        samples = chunk.samples
        if chunk.sample_rate != self._rate:
            if self._resampler is None:
                self._resampler = soxr.ResampleStream(chunk.sample_rate, self._rate, 1, dtype="float32")
            samples = self._resampler.resample_chunk(samples)
        self._put(Sound(_pcm(samples), chunk.timings))

    def _on_end(self, error: Exception | None) -> None:
        """On the engine thread: whatever the resampler still holds is the last of the audio."""
        if self._resampler is not None:
            self._put(Sound(_pcm(self._resampler.resample_chunk(np.empty(0, np.float32), last=True)), ()))
        self._put(End(error))

    def _put(self, item: Segment | Sound | Fault | End) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(self.items.put_nowait, item)


class Speech:
    """One answer: its text as far as it is known, and how far the audio has come.

    Args:
        context_id: Pipecat's name for the audio context that is spoken.
        rate: Of the audio in Hz.
    """

    def __init__(self, context_id: str, rate: int) -> None:
        self.context_id = context_id
        self.passages: asyncio.Queue[Passage | None] = asyncio.Queue()
        """One after the other, and None once no more will come."""
        self.revision = -1
        """Of the settings that the present passage is said with."""
        self.failed = self.faulty = False
        """Whether the rest will not be spoken, and whether that or a failed segment is a fault of the engine's."""
        self.seconds = 0.0
        """Length of the audio so far."""
        self._utterances: list[Utterance] = []
        self._text = ""
        self._told = 0
        self._rate = rate
        self._due: deque[tuple[float, int]] = deque()
        self._passage_seconds = 0.0
        self._loop = asyncio.get_running_loop()
        self._silent_at = 0.0

    def open_passage(self, open: Callable[..., Utterance]) -> None:
        """Say what comes next with another utterance, behind the one before.

        Raises:
            SpeechError: The synthesizer refuses.
        """
        passage = Passage(len(self._text), self._rate, open)
        if self._utterances:
            self._utterances[-1].end()
        self._utterances.append(passage.utterance)
        self.passages.put_nowait(passage)

    def feed(self, text: str) -> None:
        """Add text as it is written; what comes after a failure is not spoken."""
        self._text += text
        if text and self._utterances and not self.failed:
            self._utterances[-1].feed(text)

    def play(self, max_lead: float) -> None:
        """Play in real time what was opened to be kept back; see `Utterance.play`."""
        for utterance in self._utterances:
            utterance.play(max_lead)

    def end(self) -> None:
        """The text is complete."""
        if self._utterances:
            self._utterances[-1].end()
        self.passages.put_nowait(None)

    def cancel(self) -> None:
        """Stop the engine; it leaves within its current step."""
        for utterance in self._utterances:
            utterance.cancel()
        self.passages.put_nowait(None)

    @property
    def begun(self) -> bool:
        """Whether the engine has turned to it."""
        return any(utterance.begun for utterance in self._utterances)

    @property
    def unfinished(self) -> bool:
        """Whether the engine has text that it has not given audio for, or audio is still playing."""
        owed = not self.failed and any(char.isalnum() for char in self._text[self._told :])
        return owed or self._silent_at > self._loop.time()

    def begin_passage(self) -> None:
        """Times count from here: the passage before has been played."""
        self._passage_seconds = self.seconds

    def pieces(self, passage: Passage, sound: Sound) -> Iterator[tuple[bytes, str]]:
        """The audio, cut where a word has begun to sound, and that word: from the end of the word before."""
        self._due.extend(
            (timing.seconds + self._passage_seconds, passage.start + timing.end) for timing in sound.timings
        )
        start, begin = self.seconds, 0
        self.seconds += len(sound.pcm) / 2 / self._rate
        self._silent_at = max(self._silent_at, self._loop.time()) + self.seconds - start
        while self._due and (heard_at := self._due[0][0] + self._begun_seconds) < self.seconds:
            place = self._due.popleft()[1]
            if place > self._told:
                cut = max(begin, 2 * round((heard_at - start) * self._rate))
                yield sound.pcm[begin:cut], self._tell(place)
                begin = cut
        yield sound.pcm[begin:], ""

    def rest(self) -> Iterator[str]:
        """The words that begin with the last of the passage's audio."""
        while self._due:
            if (place := self._due.popleft()[1]) > self._told:
                yield self._tell(place)

    @property
    def _begun_seconds(self) -> float:
        return BEGUN_SECONDS if self._told else FIRST_BEGUN_SECONDS

    def _tell(self, end: int) -> str:
        while end < len(self._text) and not (self._text[end].isalnum() or self._text[end] in _OPENING):
            end += 1
        word, self._told = self._text[self._told : end], end
        return word

    def lose(self, end: int) -> tuple[int, int]:
        """What has not sounded up to there never will: where that lies in the text."""
        self.faulty = True
        self._due.clear()
        lost = self._told, max(self._told, end)
        self._told = lost[1]
        return lost


def _pcm(samples: NDArray[np.float32]) -> bytes:
    return (np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()
