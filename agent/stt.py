"""The agent's ears: Pipecat's door to the recogniser that all conversations share."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from loguru import logger
from pipecat.frames.frames import DataFrame, Frame, TranscriptionFrame
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601
from pipecat.utils.tracing.service_decorators import traced_stt

from tts_service.recogniser import Recogniser


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
