"""The voice as a Pipecat service: LLM text frames in, speech frames out.

Works alone in anybody's pipeline:

    voice = tts_service.load("kokoro")
    tts = GLMTTSService(synthesizer=voice)
    Pipeline([transport.input(), stt, user, llm, tts, transport.output(), assistant])
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import soxr
from loguru import logger
from numpy.typing import NDArray
from pipecat.frames.frames import CancelFrame, ErrorFrame, Frame, MetricsFrame, TTSAudioRawFrame, TTSTextFrame
from pipecat.metrics.metrics import MetricsData
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import NOT_GIVEN, NotGiven, TTSSettings
from pipecat.services.tts_service import TextAggregationMode, TTSService
from pipecat.transcriptions.language import Language
from pipecat.utils.errors import ErrorCategory
from pipecat.utils.tracing.service_decorators import traced_tts
from pipecat.utils.types import is_given

import g2p
from tts_service.engine import AudioChunk, CharTiming, SpeechError, SynthesisOptions, UnknownVoice
from tts_service.synthesizer import Busy, Synthesizer
from tts_service.utterance import Report, Utterance

SILENCE_SECONDS = 0.02
"""Stands in for text with nothing to say in it (an emoji, say): Pipecat counts a context without audio as a failure."""


@dataclass
class GLMTTSSettings(TTSSettings):
    """What can be changed while the service runs; takes effect with the next utterance.

    Parameters:
        speed: Tempo factor, 0.5 to 2.0.
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
        self._speeches: dict[str, _Speech] = {}
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
        try:
            speech = self._speeches.get(context_id) or self._begin(context_id)
            if not speech.ended:
                speech.feed(text)
            yield None
        except SpeechError as error:
            yield ErrorFrame(error=str(error), exception=error, category=_category(error))
            await self.remove_audio_context(context_id)

    async def flush_audio(self, context_id: str | None = None) -> None:
        """The context's text is complete."""
        speech = self._speeches.get(context_id) if context_id else None
        if speech is None:
            return
        if speech.ended:  # it failed, and text that came later has opened the context again
            await self.remove_audio_context(context_id)
        else:
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

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        """Give words the spaces back that Pipecat strips, so that joined they are the text as it was written."""
        if isinstance(frame, TTSTextFrame) and frame.context_id in self._speeches:
            space = self._speeches[frame.context_id].space_after(frame.text)
            frame.text += space
            if frame.raw_text:
                frame.raw_text += space
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

    def _begin(self, context_id: str) -> _Speech:
        speech = _Speech(self, context_id)
        speech.utterance = self._synthesizer.open(
            on_chunk=speech.on_chunk,
            on_end=speech.on_end,
            voice=_given(self._settings.voice),
            options=self._check(self._settings),
            lexicon=_given(self._settings.lexicon),
            max_lead=self._max_lead,
        )
        self._speeches[context_id] = speech
        speech.pump = self.create_task(self._pump(speech), name=f"speech {context_id}")
        return speech

    async def _pump(self, speech: _Speech) -> None:
        """Carry one utterance's audio from the engine thread into its audio context."""
        context_id = speech.context_id
        heard = False
        while not isinstance(item := await speech.items.get(), _End):
            frame, words = item
            if not heard:
                heard = True
                await self.stop_ttfb_metrics()
            playing = self.get_active_audio_context_id() == context_id
            pause = speech.stood_still(len(frame.audio) / 2 / frame.sample_rate, playing)
            words = [(word, seconds + pause) for word, seconds in words]
            await self.add_word_timestamps(words, context_id, includes_inter_frame_spaces=True)
            await self.append_to_audio_context(context_id, frame)
        speech.ended = True
        await self._report(speech.utterance.report)
        if not self.audio_context_available(context_id):
            return
        if item.error is not None:
            await self.append_to_audio_context(
                context_id,
                ErrorFrame(error=f"speech failed: {item.error}", exception=item.error, category=_category(item.error)),
            )
        if not heard:
            silence = bytes(2 * int(SILENCE_SECONDS * self.sample_rate))
            await self.append_to_audio_context(
                context_id, TTSAudioRawFrame(silence, self.sample_rate, 1, context_id=context_id)
            )
        await self.remove_audio_context(context_id)

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
        if speech is not None:
            speech.utterance.cancel()

    async def _abandon_all(self) -> None:
        speeches = list(self._speeches.values())
        for speech in speeches:
            self._abandon(speech.context_id)
        for speech in speeches:
            await self.cancel_task(speech.pump)


@dataclass(frozen=True, slots=True)
class _End:
    """Nothing follows."""

    error: Exception | None


class _Speech:
    """One audio context being spoken: the bridge from the engine thread to the event loop."""

    utterance: Utterance
    pump: asyncio.Task[None]

    def __init__(self, service: GLMTTSService, context_id: str) -> None:
        self.context_id = context_id
        self.ended = False
        self.items: asyncio.Queue[tuple[TTSAudioRawFrame, list[tuple[str, float]]] | _End] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._rate = service.sample_rate
        self._resampler: soxr.ResampleStream | None = None
        self._text = ""
        self._told = 0
        self._passed = 0
        self._dry_at = 0.0
        self._stood_still = 0.0

    def feed(self, text: str) -> None:
        self._text += text
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
        self._put((self._frame(samples), self._words(chunk.timings)))

    def on_end(self, error: Exception | None) -> None:
        if self._resampler is not None:
            self._put((self._frame(self._resampler.resample_chunk(np.empty(0, np.float32), last=True)), []))
        self._put(_End(error))

    def _frame(self, samples: NDArray[np.float32]) -> TTSAudioRawFrame:
        pcm = (np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()
        return TTSAudioRawFrame(pcm, self._rate, 1, context_id=self.context_id)

    def _put(self, item: tuple[TTSAudioRawFrame, list[tuple[str, float]]] | _End) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(self.items.put_nowait, item)

    def _words(self, timings: tuple[CharTiming, ...]) -> list[tuple[str, float]]:
        """The text that begins to sound with each timing, with the punctuation around it: joined, they are the text."""
        words = []
        for timing in timings:
            if timing.end <= self._told:
                continue
            end = timing.end
            while end < len(self._text) and not self._text[end].isalnum():
                end += 1
            words.append((self._text[self._told : end], timing.seconds))
            self._told = end
        return words

    def space_after(self, word: str) -> str:
        """The white space that follows the word where it is spoken next."""
        at = self._text.find(word, self._passed)
        if at < 0:
            return ""
        end = self._passed = at + len(word)
        while self._text[self._passed : self._passed + 1].isspace():
            self._passed += 1
        return self._text[end : self._passed]


def _given(value: Any) -> Any:
    return value if is_given(value) else None


def _category(error: Exception) -> ErrorCategory:
    if isinstance(error, UnknownVoice):
        return ErrorCategory.INVALID_REQUEST
    if isinstance(error, Busy):
        return ErrorCategory.RATE_LIMIT
    return ErrorCategory.SERVER
