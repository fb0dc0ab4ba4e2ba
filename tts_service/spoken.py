"""One answer on its way from the engine thread to the event loop: 16-bit audio, and words with their times."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from tts_service.engine import AudioChunk, CharTiming
from tts_service.utterance import Utterance


@dataclass(frozen=True, slots=True)
class End:
    """Nothing follows."""

    error: Exception | None


class Speech:
    """The bridge from the engine thread to the event loop.

    Args:
        context_id: Pipecat's name for the audio context that is spoken.
        rate: Of the audio in Hz.
    """

    def __init__(self, context_id: str, rate: int) -> None:
        self.context_id = context_id
        self.utterance: Utterance | None = None
        """None if the synthesizer refused."""
        self.pump: asyncio.Task[None] | None = None
        self.heard = self.complete = self.failed = False
        """Whether there was any audio, whether the text has ended, whether the rest of it will not be spoken."""
        self.items: asyncio.Queue[tuple[bytes, list[tuple[str, float]]] | End] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._rate = rate
        self._resampler: soxr.ResampleStream | None = None
        self._text = ""
        self._told = 0
        self._passed = 0
        self._dry_at = 0.0
        self._stood_still = 0.0

    def feed(self, text: str) -> None:
        """Add text as it is written; what comes after a failure is not spoken."""
        self._text += text
        if self.utterance is not None and not self.failed:
            self.utterance.feed(text)

    def stood_still(self, seconds: float, playing: bool) -> float:
        """How long playback has waited for audio so far, in seconds.

        Pipecat's clock of words does not wait: without this, text that nobody has heard yet would count as heard
        whenever the engine is slower than speech.

        Args:
            seconds: Length of the audio that arrives now.
            playing: Whether the context is being played, and not still behind another one.
        """
        now = self._loop.time()
        if playing and self._dry_at:
            self._stood_still += max(0.0, now - self._dry_at)
        self._dry_at = max(self._dry_at, now) + seconds
        return self._stood_still

    def on_chunk(self, chunk: AudioChunk) -> None:
        """On the engine thread: convert here, so that the event loop only passes bytes on."""
        samples = chunk.samples
        if chunk.sample_rate != self._rate:
            if self._resampler is None:
                self._resampler = soxr.ResampleStream(chunk.sample_rate, self._rate, 1, dtype="float32")
            samples = self._resampler.resample_chunk(samples)
        self._put((_pcm(samples), self._words(chunk.timings)))

    def on_end(self, error: Exception | None) -> None:
        """On the engine thread: whatever the resampler still holds is the last of the audio."""
        if self._resampler is not None:
            self._put((_pcm(self._resampler.resample_chunk(np.empty(0, np.float32), last=True)), []))
        self._put(End(error))

    def _put(self, item: tuple[bytes, list[tuple[str, float]]] | End) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(self.items.put_nowait, item)

    def _words(self, timings: tuple[CharTiming, ...]) -> list[tuple[str, float]]:
        """The text that begins to sound with each timing, with the punctuation around it."""
        words = []
        for timing in timings:
            if timing.end <= self._told:
                continue
            start, end = self._told, timing.end
            # Punctuation that was written only after its word had been told: Pipecat counts it with that word.
            while 0 < start < timing.start and not self._text[start].isalnum():
                start += 1
            while end < len(self._text) and not self._text[end].isalnum():
                end += 1
            words.append((self._text[start:end], timing.seconds))
            self._told = end
        return words

    def has_told(self, word: str) -> bool:
        """Whether the word, where it comes next in the text, was given a time."""
        return 0 <= self._text.find(word, self._passed) < self._told

    def spaces_around(self, word: str) -> tuple[str, str]:
        """The white space before and after the word where it is spoken next; each is given to one word only."""
        at = self._text.find(word, self._passed)
        if at < 0:
            return "", ""
        between = self._text[self._passed : at]
        before = between[len(between.rstrip()) :]
        end = self._passed = at + len(word)
        while self._text[self._passed : self._passed + 1].isspace():
            self._passed += 1
        return before, self._text[end : self._passed]


def _pcm(samples: NDArray[np.float32]) -> bytes:
    return (np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()
