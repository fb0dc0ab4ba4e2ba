"""The voice as a Pipecat service: LLM text frames in, speech frames out.

Works alone in anybody's pipeline:

    Pipeline([transport.input(), stt, user, llm, GLMTTSService(), transport.output(), assistant])
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from loguru import logger
from pipecat.frames.frames import (
    AggregatedTextFrame,
    AggregatedTextProgressFrame,
    CancelFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    LLMAssistantPushAggregationFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
    TTSAudioRawFrame,
)
from pipecat.metrics.metrics import MetricsData
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.services.settings import NOT_GIVEN, NotGiven, TTSSettings
from pipecat.services.tts_service import TextAggregationMode, TTSService
from pipecat.transcriptions.language import Language
from pipecat.utils.errors import ErrorCategory
from pipecat.utils.text.transforms.pronunciations import PronunciationTransform
from pipecat.utils.tracing.service_decorators import traced_tts
from pipecat.utils.types import is_given

import g2p
import tts_service
from g2p.lexicon import markup
from g2p.mandarin import HANZI
from pipecat_glm_tts.wording import tr
from tts_service.engine import Busy, Closed, SpeechError, SynthesisOptions, UnknownVoice
from tts_service.rehearsal import HeldAnswerFrame, Rehearsal
from tts_service.speech.audible import SILENT, Audible
from tts_service.speech.segmenter import Segment
from tts_service.speech.spoken import End, Fault, Speech
from tts_service.speech.synthesizer import Synthesizer
from tts_service.speech.utterance import Report
from tts_service.transcript import Transcript

SILENCE_SECONDS = 0.02
"""Stands in for text with nothing to say in it (an emoji, say): Pipecat counts a context without audio as a failure."""
_HANZI_WORD = re.compile(f"[{HANZI}]+")
_LATIN = r"[A-Za-zÀ-ɏ0-9_-]"
"""What a Latin word goes on with."""
Item = TypeVar("Item")


@dataclass
class GLMTTSSettings(TTSSettings):
    """What can be changed while the service runs; takes effect with the text that comes next.

    Parameters:
        language: `zh` or `en`: how numbers and letters are read where their sentence does not tell; None: decide from
            the text.
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


_WITH_THE_SOUND = (
    AggregatedTextFrame,
    AggregatedTextProgressFrame,
    LLMFullResponseStartFrame,
    LLMFullResponseEndFrame,
    LLMAssistantPushAggregationFrame,
)
"""What the transport passes on at its place in the audio: no text is known before it is heard, none gets into another
answer's."""


class GLMTTSService(TTSService):
    """Speaks LLM text as it is written and stops within one engine step when interrupted.

    Several services, one per session, share one `Synthesizer`.

    Args:
        synthesizer: The voice, from `tts_service.load`; the caller closes it. None: the embedded voice, loaded off the
            event loop by the first session that needs it and shared by all.
        settings: Initial settings; what is not given has the engine's default.
        sample_rate: Of the audio frames in Hz; None for the pipeline's.
        max_lead: Seconds that synthesis may run ahead of playback.
        text_aggregation_mode: None: token by token, for the earliest sound; but whole sentences where text transforms
            or filters have to see them, or where every text is to have a context of its own.
        audible: The mark that people hear before the first thing that it says.
        **kwargs: Passed to Pipecat's `TTSService`.
    """

    Settings = GLMTTSSettings
    _settings: GLMTTSSettings

    def __init__(
        self,
        *,
        synthesizer: Synthesizer | None = None,
        settings: GLMTTSSettings | None = None,
        sample_rate: int | None = None,
        max_lead: float = 10.0,
        text_aggregation_mode: TextAggregationMode | None = None,
        audible: Audible = SILENT,
        **kwargs: Any,
    ) -> None:
        chosen = self.Settings(model=None, voice=None, language=None, speed=1.0, seed=0, sampling="ras", lexicon=None)
        if settings is not None:
            chosen.apply_update(settings)
        if text_aggregation_mode is None and kwargs.get("aggregate_sentences") is None:
            in_tokens = kwargs.get("reuse_context_id_within_turn", True) and not (
                kwargs.get("text_transforms") or kwargs.get("text_filters")
            )
            text_aggregation_mode = TextAggregationMode.TOKEN if in_tokens else TextAggregationMode.SENTENCE
        # Audio and words come from a task of their own, with times: how they are pushed is not for callers to choose.
        kwargs.update(push_start_frame=True, push_stop_frames=True, push_text_frames=False)
        super().__init__(
            text_aggregation_mode=text_aggregation_mode, sample_rate=sample_rate, settings=chosen, **kwargs
        )
        self._synthesizer = synthesizer
        self._audible = replace(audible, at="beginning")
        self._max_lead = max_lead
        self._speeches: dict[str, Speech] = {}
        self._rehearsal = Rehearsal()
        self._pumps: set[asyncio.Task[None]] = set()
        """Those of speeches that were interrupted, too: they end a moment later."""
        self._revision = 0
        """Of the settings."""
        self._aggregated_frame_sequencer = self._transcript = Transcript(str(self))
        self._check(self._settings)
        if synthesizer is not None:
            self._adopt(synthesizer)

    def can_generate_metrics(self) -> bool:
        """Time to first byte, usage, and `SpeechMetricsData` per utterance."""
        return True

    @property
    def supports_processing_metrics(self) -> bool:
        """False: synthesis happens after `run_tts` has returned."""
        return False

    def language_to_service_language(self, language: Language) -> str | None:
        """`zh` or `en` for any of their variants; None for the rest, which is refused."""
        base = str(language.value).split("-")[0]
        return {"cmn": "zh", "zh": "zh", "en": "en"}.get(base)

    @classmethod
    def format_pronunciation(cls, word: str, ipa: str) -> str | None:
        """The front end's inline markup for a word: hanzi in pinyin, Latin words in IPA or pinyin.

        Args:
            word: As it stands in the text.
            ipa: `lè gāo` or `le4 gao1`, one syllable for each hanzi; for Latin words also `mɛtˈfɔɹmɪn`, one after the
                other for several words. The embedded voice says IPA; GLM-TTS reads such words by itself.

        Returns:
            None if the front end cannot read it.
        """
        words, given = word.split(), ipa.strip().strip("/[]")
        if _HANZI_WORD.fullmatch(word):
            if len(given.split()) != len(word):
                return None
            marked = f"{word}[{given}]"
        else:
            parts = given.split() if len(words) > 1 else [given]
            if len(words) != len(parts):
                return None
            marked = " ".join(f"{one}[/{part}/]" for one, part in zip(words, parts, strict=True))
        return marked if len(markup(marked)) == len(words) else None

    @classmethod
    def pronunciation_transform_ipa(cls, pronunciations: Mapping[str, str]) -> PronunciationTransform:
        """Pipecat's transform, but words are found inside Chinese sentences too, which have no spaces around them."""
        said = {
            word.strip().lower(): reading
            for word, reading in pronunciations.items()
            if cls.format_pronunciation(word.strip(), reading)
        }
        plain = super().pronunciation_transform_ipa(pronunciations)  # warns of those that cannot be used
        if not said:
            return plain

        def marked(match: re.Match[str]) -> str:
            return cls.format_pronunciation(match[0], said[match[0].lower()]) or match[0]

        words = "|".join(re.escape(word) for word in sorted(said, key=len, reverse=True))
        return PronunciationTransform(re.compile(f"(?<!{_LATIN})(?:{words})(?!{_LATIN})", re.IGNORECASE), marked)

    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]
        """Load the embedded voice, unless another one was given."""
        await super().setup(setup)
        if self._synthesizer is None:
            self._adopt(await asyncio.to_thread(tts_service.embedded))

    def _adopt(self, synthesizer: Synthesizer) -> None:
        self._synthesizer = synthesizer
        self._settings.model = synthesizer.engine.name
        self._settings.voice = synthesizer.voice(_given(self._settings.voice)).name
        self._sync_model_name_to_metrics()

    # Text in

    @traced_tts
    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Feed text to the context's speech; its audio arrives through the context as it is made."""
        await self._say(context_id, self._transcript.unfed(context_id))
        if context_id != self._turn_context_id:  # text outside of a turn: nothing will end it
            await self.flush_audio(context_id)
        yield None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Note what the LLM writes, before an aggregator takes the spaces from it, and what it holds back."""
        if isinstance(frame, LLMTextFrame):
            if not (frame.skip_tts or self._is_streaming_tokens):
                self._transcript.note(frame.text)
            await asyncio.sleep(0)  # a queue full of tokens never waits by itself, and others want their turn
        elif isinstance(frame, HeldAnswerFrame) and self._is_streaming_tokens:
            self._rehearsal.get_ready(frame, self._revision, self._held_speech)
        elif isinstance(frame, InterruptionFrame):
            self._rehearsal.drop()
        await super().process_frame(frame, direction)

    async def flush_audio(self, context_id: str | None = None) -> None:
        """The context's text is complete."""
        if context_id and self._rehearsal.is_asked_by(context_id):
            await self._say(context_id, "", whole=True)
        speech = self._speeches.get(context_id) if context_id else None
        if speech is not None:
            speech.end()

    async def _say(self, context_id: str, text: str, *, whole: bool = False) -> None:
        """Feed text to a context's speech, which may be the one that was got ready for it."""
        speech = self._speeches.get(context_id)
        if speech is None:
            ready = self._rehearsal.take(context_id, text, self._revision, whole=whole)
            if ready is None:
                return
            speech, text = ready
            speech = speech or Speech(context_id, self.sample_rate)
            self._begin(speech, context_id)
        try:
            self._cast(speech)
        except SpeechError as error:
            speech.failed, speech.faulty = True, not isinstance(error, Busy)
            frame = ErrorFrame(error=str(error), exception=error, category=_category(error))
            await self.append_to_audio_context(context_id, frame)
        if not speech.failed:
            self._audible = SILENT
        speech.feed(text)

    def _begin(self, speech: Speech, context_id: str) -> None:
        """Play a speech into an audio context."""
        speech.context_id = context_id
        speech.play(self._max_lead)
        self._speeches[context_id] = speech
        pump = self.create_task(self._pump(speech), name=f"speech {context_id}")
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)

    async def stop(self, frame: EndFrame) -> None:
        """Say what has been written of an answer that the end of the pipeline cuts off."""
        if self._turn_context_id:
            await self.process_frame(LLMFullResponseEndFrame(), FrameDirection.DOWNSTREAM)
        await super().stop(frame)

    async def _update_settings(self, delta: GLMTTSSettings) -> dict[str, Any]:  # type: ignore[override]
        """Apply a change, unless it cannot be spoken with; then say why and keep what was."""
        wanted = self._settings.copy()
        wanted.apply_update(delta)
        if is_given(delta.language) and isinstance(delta.language, str):
            wanted.language = self._service_language(delta.language)
        try:
            self._check(wanted)
        except SpeechError as error:
            await self.push_error(tr("the voice settings were not changed: {error}", error=error), exception=error)
            return {}
        if is_given(delta.model) and delta.model != self._settings.model:
            self._warn_unhandled_updated_settings({"model"})
            delta.model = NOT_GIVEN
        self._revision += 1
        return await super()._update_settings(delta)

    def _check(self, settings: GLMTTSSettings) -> SynthesisOptions:
        """The engine's options for these settings.

        Raises:
            SpeechError: They name a voice that does not exist or a value out of range.
        """
        if self._synthesizer is not None:
            self._synthesizer.voice(_given(settings.voice))
        language = _given(settings.language)
        try:
            return SynthesisOptions(
                speed=_given(settings.speed),
                seed=_given(settings.seed),
                sampling=_given(settings.sampling),
                language=str(language) if language else None,
            )
        except TypeError as error:
            raise SpeechError(tr("a setting is of the wrong type: {error}", error=error)) from error

    def _cast(self, speech: Speech) -> None:
        """Let the present voice say what comes next.

        Raises:
            SpeechError: The synthesizer refuses.
        """
        if speech.failed or speech.revision == self._revision:
            return
        self._open(speech, max_lead=self._max_lead)

    def _held_speech(self) -> Speech:
        """A speech whose first sound is made and kept.

        Raises:
            SpeechError: The synthesizer refuses.
        """
        speech = Speech("", self.sample_rate)
        self._open(speech, max_lead=0.0, real_time=False)
        return speech

    def _open(self, speech: Speech, **how_far: Any) -> None:
        assert self._synthesizer is not None
        speech.revision = self._revision
        speech.open_passage(
            functools.partial(
                self._synthesizer.open,
                voice=_given(self._settings.voice),
                options=self._check(self._settings),
                lexicon=_given(self._settings.lexicon),
                audible=self._audible,
                **how_far,
            )
        )

    # Sound and words out

    async def _pump(self, speech: Speech) -> None:
        """Carry the audio from the engine thread into the audio context, passage by passage, and end the context."""
        context_id = speech.context_id
        while (passage := await self._item(speech, speech.passages)) is not None:
            speech.begin_passage()
            while not isinstance(item := await self._item(speech, passage.items), End):
                if isinstance(item, Segment):
                    start = passage.start + item.start
                    if frame := self._transcript.announce(context_id, start, start + len(item.text)):
                        await self.append_to_audio_context(context_id, frame)
                elif isinstance(item, Fault):
                    self._transcript.lose(context_id, *speech.lose(passage.start + item.end))
                    await self.append_to_audio_context(context_id, _error_frame(item.error))
                else:
                    if not speech.seconds:
                        await self.stop_ttfb_metrics()
                    for pcm, word in speech.pieces(passage, item):
                        await self._append_audio(context_id, pcm)
                        await self._append_word(context_id, word)
            for word in speech.rest():
                await self._append_word(context_id, word)
            await self._report(passage.utterance.report)
            if item.error is not None:
                speech.failed = speech.faulty = True
                await self.append_to_audio_context(context_id, _error_frame(item.error))
        if self._speeches.get(context_id) is speech and self.audio_context_available(context_id):
            await self._close(speech)

    async def _item(self, speech: Speech, queue: asyncio.Queue[Item]) -> Item:
        """The next item; while audio is owed or still playing, Pipecat does not take the wait for the end."""
        patience = min(1.0, self._stop_frame_timeout_s / 2)
        while True:
            try:
                async with asyncio.timeout(patience):
                    return await queue.get()
            except TimeoutError:
                if speech.unfinished:
                    self._refresh_audio_context(speech.context_id)

    async def _close(self, speech: Speech) -> None:
        """End a context whose text is complete and whose audio has all been made."""
        context_id = speech.context_id
        if not speech.failed:
            self._transcript.settle(context_id)
        if not speech.seconds and not speech.faulty:
            await self._append_audio(context_id, bytes(2 * int(SILENCE_SECONDS * self.sample_rate)))
        await self.remove_audio_context(context_id)

    async def _append_audio(self, context_id: str, pcm: bytes) -> None:
        if pcm:
            frame = TTSAudioRawFrame(pcm, self.sample_rate, 1, context_id=context_id)
            await self.append_to_audio_context(context_id, frame)

    async def _append_word(self, context_id: str, word: str) -> None:
        if word:
            await self.add_word_timestamps([(word, 0.0)], context_id, includes_inter_frame_spaces=True)

    async def _report(self, report: Report) -> None:
        assert self._synthesizer is not None
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

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        """Send the text with the sound: a frame without a time is passed on when all audio before it has gone out.

        Pipecat's clock of words does not wait for speech that is still playing, nor for audio that comes late.
        """
        if direction is FrameDirection.DOWNSTREAM and isinstance(frame, _WITH_THE_SOUND):
            frame.pts = 0
        await super().push_frame(frame, direction)

    # Ends

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

    def _abandon(self, context_id: str) -> None:
        """Cancel a context's work without waiting for it."""
        if speech := self._speeches.pop(context_id, None):
            speech.cancel()

    async def _abandon_all(self) -> None:
        self._rehearsal.drop()
        for context_id in list(self._speeches):
            self._abandon(context_id)
        for pump in list(self._pumps):
            await self.cancel_task(pump)


def _given(value: Any) -> Any:
    return value if is_given(value) else None


def _error_frame(error: Exception) -> ErrorFrame:
    return ErrorFrame(error=f"speech failed: {error}", exception=error, category=_category(error))


def _category(error: Exception) -> ErrorCategory:
    """The category counts: only the permanent ones make a switcher turn to another service at once."""
    if isinstance(error, UnknownVoice | Closed):
        return ErrorCategory.INVALID_REQUEST
    if isinstance(error, Busy):
        return ErrorCategory.RATE_LIMIT
    return ErrorCategory.SERVER
