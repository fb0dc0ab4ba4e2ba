"""The voice as a Pipecat service: LLM text frames in, speech frames out.

Works alone in anybody's pipeline:

    voice = tts_service.load("kokoro")
    tts = GLMTTSService(synthesizer=voice)
    Pipeline([transport.input(), stt, user, llm, tts, transport.output(), assistant])
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from loguru import logger
from pipecat.frames.frames import (
    AggregatedTextFrame,
    AggregatedTextProgressFrame,
    CancelFrame,
    ErrorFrame,
    Frame,
    MetricsFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
)
from pipecat.metrics.metrics import MetricsData
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import NOT_GIVEN, NotGiven, TTSSettings
from pipecat.services.tts_service import TextAggregationMode, TTSService
from pipecat.transcriptions.language import Language
from pipecat.utils.context.word_timestamp_tracker import WordTimestamp
from pipecat.utils.errors import ErrorCategory
from pipecat.utils.tracing.service_decorators import traced_tts
from pipecat.utils.types import is_given

import g2p
from tts_service.engine import SpeechError, SynthesisOptions, UnknownVoice
from tts_service.spoken import End, Speech
from tts_service.synthesizer import Busy, Synthesizer
from tts_service.utterance import Report, Utterance

SILENCE_SECONDS = 0.02
"""Stands in for text with nothing to say in it (an emoji, say): Pipecat counts a context without audio as a failure."""


@dataclass
class GLMTTSSettings(TTSSettings):
    """What can be changed while the service runs; takes effect with the next utterance.

    Parameters:
        speed: Tempo factor, 0.25 to 4.
        seed: Same seed, text and voice give the same speech.
        sampling: `ras` or `topk` (GLM-TTS).
        lexicon: A `g2p.Lexicon` for this session, instead of the synthesizer's.
    """

    speed: float | NotGiven = field(default_factory=lambda: NOT_GIVEN)
    seed: int | NotGiven = field(default_factory=lambda: NOT_GIVEN)
    sampling: str | NotGiven = field(default_factory=lambda: NOT_GIVEN)
    lexicon: g2p.Lexicon | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)


class SpeechMetricsData(MetricsData):
    """What one utterance cost.

    Parameters:
        queue_wait: Seconds that the text waited for the engine.
        first_audio: Seconds from the first speakable text to the first samples, or None if there were none.
        audio: Seconds of speech.
        real_time_factor: Engine seconds per second of speech, or None without speech.
    """

    queue_wait: float
    first_audio: float | None
    audio: float
    real_time_factor: float | None


class GLMTTSService(TTSService):
    """Speaks LLM text as it is written and stops within one engine step when interrupted.

    Several services, one per session, share one `Synthesizer`.

    Args:
        synthesizer: The voice, from `tts_service.load`. The caller closes it.
        settings: Initial settings; what is not given has the engine's default.
        sample_rate: Of the audio frames in Hz; None for the pipeline's.
        max_lead: Seconds that synthesis may run ahead of playback.
        **kwargs: Passed to Pipecat's `TTSService`.
    """

    Settings = GLMTTSSettings
    _settings: GLMTTSSettings

    def __init__(
        self,
        *,
        synthesizer: Synthesizer,
        settings: GLMTTSSettings | None = None,
        sample_rate: int | None = None,
        max_lead: float = 10.0,
        **kwargs: Any,
    ) -> None:
        defaults = self.Settings(
            model=synthesizer.engine.name,
            voice=synthesizer.voice().name,
            language=None,
            speed=1.0,
            seed=0,
            sampling="ras",
            lexicon=None,
        )
        if settings is not None:
            defaults.apply_update(settings)
        super().__init__(
            text_aggregation_mode=TextAggregationMode.TOKEN,
            push_start_frame=True,
            push_stop_frames=True,
            push_text_frames=False,
            stop_frame_timeout_s=60.0,
            sample_rate=sample_rate,
            settings=defaults,
            **kwargs,
        )
        self._synthesizer = synthesizer
        self._max_lead = max_lead
        self._speeches: dict[str, Speech] = {}
        self._check(self._settings)

    def can_generate_metrics(self) -> bool:
        """Time to first byte, usage, and `SpeechMetricsData` per utterance."""
        return True

    @property
    def supports_processing_metrics(self) -> bool:
        """False: synthesis happens after `run_tts` has returned."""
        return False

    def language_to_service_language(self, language: Language) -> str | None:
        """`zh` or `en` for any of their variants; None (decide from the text) for the rest."""
        base = str(language.value).split("-")[0]
        return base if base in ("zh", "en") else None

    @traced_tts
    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Feed text to the context's utterance; its audio arrives through the context as it is made."""
        speech = self._speeches.get(context_id)
        if speech is None:
            speech = self._speeches[context_id] = Speech(context_id, self.sample_rate)
            try:
                self._begin(speech)
            except SpeechError as error:
                speech.failed = True
                yield ErrorFrame(error=str(error), exception=error, category=_category(error))
        speech.feed(text)
        yield None

    async def flush_audio(self, context_id: str | None = None) -> None:
        """The context's text is complete."""
        speech = self._speeches.get(context_id) if context_id else None
        if speech is not None:
            speech.complete = True
            if speech.failed:
                await self._close(speech)
            elif speech.utterance is not None:
                speech.utterance.end()

    async def on_audio_context_interrupted(self, context_id: str) -> None:
        """Stop the engine; it leaves within its current step."""
        self._abandon(context_id)
        await super().on_audio_context_interrupted(context_id)

    async def on_audio_context_completed(self, context_id: str) -> None:
        """Forget the context; one that Pipecat closed for want of text is stopped as well."""
        self._abandon(context_id)
        await super().on_audio_context_completed(context_id)

    async def cancel(self, frame: CancelFrame) -> None:
        """Stop everything at once."""
        await self._abandon_all()
        await super().cancel(frame)

    async def cleanup(self) -> None:
        """Stop everything at once; the synthesizer lives on for the other sessions."""
        await self._abandon_all()
        await super().cleanup()

    async def append_to_audio_context(self, context_id: str | None, frame: Frame | WordTimestamp | None) -> None:
        """Queue audio and words; but words that Pipecat held back until their sentence was whole go out at once.

        Whatever waits in the queue is later than they are.
        """
        playing = context_id == self.get_active_audio_context_id()
        if playing and isinstance(frame, AggregatedTextFrame | AggregatedTextProgressFrame):
            await self.push_frame(frame)
        else:
            await super().append_to_audio_context(context_id, frame)

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        """Give words the spaces back that Pipecat strips, so that joined they are the text as it was written."""
        if isinstance(frame, TTSTextFrame) and frame.context_id in self._speeches:
            speech = self._speeches[frame.context_id]
            if speech.failed and not speech.has_told(frame.text):
                return  # Pipecat takes for spoken what was never timed
            before, after = speech.spaces_around(frame.text)
            frame.text = before + frame.text + after
            if frame.raw_text:
                frame.raw_text = before + frame.raw_text + after
        await super().push_frame(frame, direction)

    async def _update_settings(self, delta: GLMTTSSettings) -> dict[str, Any]:  # type: ignore[override]
        """Apply a change, unless it cannot be spoken with; then say why and keep what was."""
        wanted = self._settings.copy()
        wanted.apply_update(delta)
        try:
            self._check(wanted)
        except SpeechError as error:
            await self.push_error(f"the voice settings were not changed: {error}", exception=error)
            return {}
        return await super()._update_settings(delta)

    def _check(self, settings: GLMTTSSettings) -> SynthesisOptions:
        """The engine's options for these settings.

        Raises:
            SpeechError: They name a voice that does not exist or a value out of range.
        """
        self._synthesizer.voice(_given(settings.voice))
        language = _given(settings.language)
        return SynthesisOptions(
            speed=_given(settings.speed),
            seed=_given(settings.seed),
            sampling=_given(settings.sampling),
            language=str(language) if language else None,
        )

    def _begin(self, speech: Speech) -> None:
        utterance = speech.utterance = self._synthesizer.open(
            on_chunk=speech.on_chunk,
            on_end=speech.on_end,
            voice=_given(self._settings.voice),
            options=self._check(self._settings),
            lexicon=_given(self._settings.lexicon),
            max_lead=self._max_lead,
        )
        speech.pump = self.create_task(self._pump(speech, utterance), name=f"speech {speech.context_id}")

    async def _pump(self, speech: Speech, utterance: Utterance) -> None:
        """Carry one utterance's audio from the engine thread into its audio context."""
        context_id = speech.context_id
        while not isinstance(item := await speech.items.get(), End):
            pcm, words = item
            if not speech.heard:
                speech.heard = True
                await self.stop_ttfb_metrics()
            playing = self.get_active_audio_context_id() == context_id
            pause = speech.stood_still(len(pcm) / 2 / self.sample_rate, playing)
            words = [(word, seconds + pause) for word, seconds in words]
            await self.add_word_timestamps(words, context_id, includes_inter_frame_spaces=True)
            await self._append_audio(context_id, pcm)
        await self._report(utterance.report)
        if item.error is not None:
            await self.append_to_audio_context(
                context_id,
                ErrorFrame(error=f"speech failed: {item.error}", exception=item.error, category=_category(item.error)),
            )
            speech.failed = True
        if speech.complete or item.error is None:
            await self._close(speech)

    async def _close(self, speech: Speech) -> None:
        """End a context whose text is complete and whose audio has all been made.

        After a failure it stays open until then: text that came later would open it again, and Pipecat gives a service
        up for good after three contexts without audio.
        """
        context_id = speech.context_id
        if not self.audio_context_available(context_id):
            return
        if not speech.heard:
            await self._append_audio(context_id, bytes(2 * int(SILENCE_SECONDS * self.sample_rate)))
        await self.remove_audio_context(context_id)

    async def _append_audio(self, context_id: str, pcm: bytes) -> None:
        frame = TTSAudioRawFrame(pcm, self.sample_rate, 1, context_id=context_id)
        await self.append_to_audio_context(context_id, frame)

    async def _report(self, report: Report) -> None:
        data = SpeechMetricsData(
            processor=self.name,
            model=self._synthesizer.engine.name,
            queue_wait=report.queue_wait,
            first_audio=report.first_audio,
            audio=report.audio,
            real_time_factor=report.real_time_factor,
        )
        if self.metrics_enabled:
            await self.push_frame(MetricsFrame(data=[data]))
        logger.debug(f"{self}: {data.model_dump(exclude={'processor'})}")

    def _abandon(self, context_id: str) -> None:
        """Cancel a context's work without waiting for it."""
        speech = self._speeches.pop(context_id, None)
        if speech is not None and speech.utterance is not None:
            speech.utterance.cancel()

    async def _abandon_all(self) -> None:
        speeches = list(self._speeches.values())
        for speech in speeches:
            self._abandon(speech.context_id)
        for speech in speeches:
            if speech.pump is not None:
                await self.cancel_task(speech.pump)


def _given(value: Any) -> Any:
    return value if is_given(value) else None


def _category(error: Exception) -> ErrorCategory:
    if isinstance(error, UnknownVoice):
        return ErrorCategory.INVALID_REQUEST
    if isinstance(error, Busy):
        return ErrorCategory.RATE_LIMIT
    return ErrorCategory.SERVER
