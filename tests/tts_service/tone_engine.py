"""An engine for tests of what surrounds engines: each token is a tone of known length, made in steps of known cost."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from tts_service.engine import AudioChunk, CharTiming, Phrasing, SpeechError, StopSignal, SynthesisOptions, Voice

TOKEN_SECONDS = 0.2


class ToneEngine:
    """Speaks every token as 0.2 s (or `token_seconds`) of a tone, one token a chunk.

    `gate` holds every step back until it is set; `steps` records (first letters of the segment, token index) as they
    happen. A segment that contains 坏 fails in the middle.
    """

    name = "tone"
    sample_rate = 24000
    phrasing = Phrasing()
    tempi = (0.5, 2.0)

    def __init__(self, token_seconds: float = TOKEN_SECONDS) -> None:
        self.token_seconds = token_seconds
        self.gate = threading.Event()
        self.gate.set()
        self.steps: list[tuple[str, int]] = []
        self.closed = False
        self.stopped = threading.Event()
        self._began: defaultdict[str, threading.Event] = defaultdict(threading.Event)

    def began(self, letters: str) -> threading.Event:
        """Set once the segment with these first letters is being spoken."""
        return self._began[letters]

    def voices(self) -> list[Voice]:
        return [Voice("low"), Voice("high")]

    def synthesize(
        self,
        pronunciation: Any,
        voice: Voice,
        options: SynthesisOptions,
        should_stop: StopSignal,
        history: list[Any] | None = None,
    ) -> Iterator[AudioChunk]:
        try:
            spoken = [token for token in pronunciation.tokens if token.kind != "pause"]
            time = np.arange(int(self.token_seconds * self.sample_rate / options.speed)) / self.sample_rate
            tone = (0.3 * np.sin(2 * np.pi * (200 if voice.name == "low" else 400) * time)).astype(np.float32)
            for index, token in enumerate(spoken):
                with should_stop.listening(self.gate.set):
                    self.gate.wait()
                if should_stop():
                    return
                if token.text == "坏":
                    raise SpeechError("坏 cannot be spoken")
                self.steps.append((pronunciation.text[:2], index))
                self._began[pronunciation.text[:2]].set()
                yield AudioChunk(
                    tone, self.sample_rate, (CharTiming(token.start, token.end, index * len(tone) / 24000),)
                )
        finally:
            if should_stop():
                self.stopped.set()

    def close(self) -> None:
        self.closed = True
