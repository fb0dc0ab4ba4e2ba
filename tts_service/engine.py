"""The contract between the voice and its engines.

An engine turns a `Pronunciation` (what to say) into audio, chunk by chunk, in a plain blocking generator. It knows
nothing of Pipecat, asyncio or text segmentation. Everything here is data, and stands alone but for its words.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from pipecat_glm_tts.errors import SpeechError as SpeechError
from pipecat_glm_tts.wording import tr

if TYPE_CHECKING:  # for readers and the type checker only: at run time this module stands alone
    import numpy as np
    from numpy.typing import NDArray

    from g2p import Pronunciation


class Busy(SpeechError):
    """Too much is being spoken at once."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        """Say so; `wait` is in how many seconds there will be room, as far as one can tell."""
        super().__init__(message)
        self.wait = wait


class Closed(SpeechError):
    """The engine is gone for good."""


class UnknownVoice(SpeechError):
    """The requested voice does not exist; the message lists those that do."""


class StopSignal:
    """A one-way flag that a running synthesis looks at in every step.

    Calling it tells whether to stop. Long native calls that cannot look at a flag register with `listening`, so that
    `set` reaches into them (ONNX Runtime's `RunOptions.terminate`, for example). Thread-safe; `set` never blocks on the
    engine.
    """

    def __init__(self) -> None:
        self._flag = threading.Event()
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    def __call__(self) -> bool:
        """Whether the work should stop now."""
        return self._flag.is_set()

    def set(self) -> None:
        """Ask for the work to stop. Idempotent."""
        with self._lock:
            self._flag.set()
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    @contextmanager
    def listening(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call `listener` once, from the setting thread, if the signal is set inside the block (or is set already)."""
        with self._lock:
            already_set = self._flag.is_set()
            if not already_set:
                self._listeners.append(listener)
        if already_set:
            listener()
        try:
            yield
        finally:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)


@dataclass(frozen=True, slots=True)
class Voice:
    """One voice of one engine."""

    name: str
    """Unique within the engine; a safe file name."""
    languages: tuple[str, ...] = ("zh", "en")
    description: str = ""
    """One line for a picker, Chinese and English: `兰 · 女声 / Lan · female`."""
    folder: Path | None = None
    """Where a library voice lies (voice.yaml, reference audio, caches); None for a voice that comes with the engine."""
    native: str = ""
    """The language, `zh` or `en`, that it speaks without an accent; empty where that is neither or not known."""
    listed: bool = True
    """Whether pickers offer it. Others can be asked for by name."""


SPEEDS = (0.25, 4.0)
"""Slowest and fastest tempo that can be asked for."""


@dataclass(frozen=True, slots=True)
class SynthesisOptions:
    """How to say it. An engine rejects with `SpeechError` what it cannot honour, and says so in one sentence."""

    speed: float = 1.0
    """Tempo factor, a quarter to four; what lies beyond the engine's own `tempi` is stretched in time."""
    language: str | None = None
    """How numbers, letters and signs are said where their sentence does not tell: `zh`, `en`, or None: as in `zh`,
    unless the sentence has English words and no hanzi."""
    seed: int = 0
    sample_rate: int | None = None
    """Hz; None: the engine's own."""
    sampling: str = "ras"
    """`ras` or `topk` (GLM-TTS)."""
    kv_cache: bool = True
    """False recomputes everything (GLM-TTS, to measure)."""
    whole: bool = False
    """Work on a segment when all of its speech tokens are there, in the published order and with full attention: for
    files; nothing is heard early (GLM-TTS)."""
    max_length: int | None = None
    """Upper bound in speech tokens per segment, at least 1 (GLM-TTS)."""

    def __post_init__(self) -> None:
        slowest, fastest = SPEEDS
        if not slowest <= self.speed <= fastest:
            raise SpeechError(
                tr(
                    "speed is {speed}; it must lie between {slowest} and {fastest}",
                    speed=self.speed,
                    slowest=slowest,
                    fastest=fastest,
                )
            )
        if self.language not in (None, "zh", "en"):
            raise SpeechError(
                tr(
                    "the language is {language!r}; it must be 'zh', 'en' or None (decide from the text)",
                    language=self.language,
                )
            )
        if self.sampling not in ("ras", "topk"):
            raise SpeechError(tr("sampling is {sampling!r}; it must be 'ras' or 'topk'", sampling=self.sampling))
        if self.max_length is not None and self.max_length < 1:
            raise SpeechError(
                tr("max_length is {max_length}; it must be at least 1 speech token", max_length=self.max_length)
            )


@dataclass(frozen=True, slots=True)
class CharTiming:
    """When a character (or an English word, or whatever was read as one) begins to sound."""

    start: int
    """First character of the span in the text that the caller gave."""
    end: int
    """One past the last character of the span."""
    seconds: float
    """From the first sample of the iterator that yielded the chunk."""


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """A piece of speech."""

    samples: NDArray[np.float32]
    """Mono, [n], in -1..1."""
    sample_rate: int
    """Hz."""
    timings: tuple[CharTiming, ...] = field(default=())
    """The spans that begin inside this chunk, in order."""

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.samples) / self.sample_rate


def _nothing() -> AudioChunk:
    return AudioChunk(cast("NDArray[np.float32]", ()), 1)


BREATH = _nothing()
"""Yielded by an engine that has done a piece of work without a sound yet: others may be served before it goes on."""
QUEUED = _nothing()
"""Yielded instead of `BREATH` while the segment waits for its turn inside the engine: ask again in a moment."""


@dataclass(frozen=True, slots=True)
class Phrasing:
    """How an engine wants a text cut into segments. Weights are about syllables."""

    first_clause: float = 4
    """Least weight of a first segment that ends in a mere comma."""
    first_longest: float = 24
    clause: float = 6
    """Least weight of a later one that ends in a comma."""
    sentence: float = 8
    """Shorter sentences are joined with the next one while there is time."""
    longest: float = 40
    """About ten seconds of speech."""
    whole: bool = False
    """Whether a sentence that is there is never cut at a comma, not even for the first sound: for an engine whose first
    sound does not depend on the length of the text."""


class Engine(Protocol):
    """What the rest of the project asks of a speech engine.

    One engine object serves many utterances. It holds weights and sessions; everything that belongs to one utterance
    lives in the generator or in `history`.
    """

    name: str
    sample_rate: int
    phrasing: Phrasing
    tempi: tuple[float, float]
    """Slowest and fastest tempo at which its own speech is better than stretched speech; it is asked for no other."""

    def voices(self) -> list[Voice]:
        """The voices it can speak with, listed or not; the first is the default."""
        ...

    def synthesize(
        self,
        pronunciation: Pronunciation,
        voice: Voice,
        options: SynthesisOptions,
        should_stop: StopSignal,
        history: list[Any] | None = None,
    ) -> Iterator[AudioChunk]:
        """Speak one segment.

        Args:
            pronunciation: What to say; timings refer to its original text.
            voice: One of `voices()`.
            options: How to say it.
            should_stop: Looked at in every step; no step runs longer than 50 ms on the target hardware without reacting
                to it. When it is set the generator simply ends.
            history: A list that the caller keeps for the length of an utterance and passes to every segment of it. The
                engine appends what it needs to keep voice and prosody from one segment to the next.

        Yields:
            Chunks in order; the first as early as the engine can. Between them, if the engine works on several segments
            at once, `BREATH` and `QUEUED`, so that the caller can turn to another segment.

        Raises:
            SpeechError: The segment cannot be spoken.
            Busy: Too many segments wait for the engine.
        """
        ...

    def close(self) -> None:
        """Free memory and threads. The engine is not used afterwards."""
        ...
