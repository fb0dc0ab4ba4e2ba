"""The agent's ears: Pipecat's door to the recogniser that all conversations share."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from loguru import logger
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601
from pipecat.utils.tracing.service_decorators import traced_stt

from agent.turns.interjections import asks, is_nod, sounds_like_nod
from agent.turns.lull import LONG_LULL, LULL, Lull
from agent.turns.reaction import ReactionFrame, Reactions
from agent.turns.stop import NothingHeardFrame, last_said
from tts_service.voices.recogniser import Listener, Transcript

NEXT_GLIMPSE = 0.08
"""Seconds between two looks at a voice, the first of which is due when it is known to be one."""
SOON = 0.5
"""Seconds of voice after which nothing needs haste, and seconds between two looks from then on."""
LATER_GLIMPSE = 0.16
FIRST_WORDS = 0.28
"""Seconds of voice in which a recogniser may find a word, where its states are not known."""
ANSWERED_AHEAD = 0.8
"""Seconds before the agent is silent in which a nod is understood that answers its last question."""
BEFORE_VOICE = 0.3
"""Seconds of sound before the voice that are looked at with it."""


@dataclass(slots=True)
class Stretch:
    """Voice between two pauses, whose words are awaited."""

    hearing: asyncio.Task[Transcript] | None
    """Its recognition, if that has begun."""
    onset: int | None
    """Where in its sound the voice begins, in bytes, if the agent was speaking."""
    interrupted: bool = False
    """Whether it has begun a turn during the agent's speech."""
    let_by: bool = False
    """Whether a later voice has begun a turn, and this one had not."""


class WhisperSTT(SegmentedSTTService):
    """Pipecat's door to the shared recogniser: one transcript for every stretch of speech that the VAD marks.

    Recognition begins at the first lull, before the VAD is certain, and is thrown away when the voice goes on. While
    the agent speaks, the sound of what the user begins to say tells a nod from an interruption, or interim transcripts
    where the recogniser has no states that are known. However long recognition takes, how the whole of it sounds is
    told before its words, and no interruption drops the words. A nod that is understood only after the interruption
    that followed it is not told: its words would be taken for those of the interruption. Nor are the words of a nod
    that was taken for an interruption by its sound: the agent stopped for nothing, unless it had just asked something.
    A nod that went by at the end of a question is told again when the agent is silent: it is the answer.

    Args:
        recogniser: That all conversations share.
        glimpses: Whether a nod is told from an interruption while it is said.
        context: Where the agent's questions stand, to which a nod is an answer; None: it asks nothing.
        kwargs: Pipecat's own.
    """

    def __init__(
        self, recogniser: Listener, *, glimpses: bool = True, context: LLMContext | None = None, **kwargs: Any
    ) -> None:
        super().__init__(
            settings=STTSettings(model="whisper", language=None),
            trailing_silence_secs=0,  # the recogniser pads by itself
            ttfs_p99_latency=1.5,
            **kwargs,
        )
        self._recogniser = recogniser
        self._context = context
        self._reactions = Reactions.packaged() if glimpses else None
        self._bot_speaks = False
        self._language: str | None = None
        """Of what was said last."""
        self._lull = Lull(LULL)
        self._early: asyncio.Task[Transcript] | None = None
        self._onset: int | None = None
        self._interrupted = False
        self._stretches: deque[Stretch] = deque()
        self._glimpses: asyncio.Task[None] | None = None
        self._nodded = False
        """Whether the turn of now was begun by a nod, and nothing else has been said in it."""
        self._nod: tuple[float, TranscriptionFrame] | None = None
        """The latest that went by, and when."""

    @property
    def wants_wav_segments(self) -> bool:
        """Raw PCM, please."""
        return False

    def can_generate_metrics(self) -> bool:
        """Processing time and time to the transcript are reported."""
        return True

    async def cleanup(self) -> None:
        """End what runs, also what began behind the frame that ends it all: a caller may hang up at once."""
        await super().cleanup()
        await self._cancel_segment_task()
        await self._drop_early()
        while self._stretches:
            if hearing := self._stretches.popleft().hearing:
                await self.cancel_task(hearing)
        await self._stop_glimpses()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Know whether the agent speaks, and whose turn it is."""
        if isinstance(frame, BotStartedSpeakingFrame):
            self._bot_speaks = True
        elif isinstance(frame, BotStoppedSpeakingFrame):
            self._bot_speaks = False
        elif isinstance(frame, UserStartedSpeakingFrame) and self._user_speaking:
            self._interrupted = self._onset is not None
            for stretch in self._stretches:
                stretch.let_by = True
        elif isinstance(frame, UserStartedSpeakingFrame) and self._stretches:
            self._stretches[-1].interrupted = self._stretches[-1].onset is not None
        elif isinstance(frame, UserStoppedSpeakingFrame):
            self._nodded = False
        await super().process_frame(frame, direction)
        if isinstance(frame, BotStoppedSpeakingFrame):
            await self._tell_answer()

    async def _tell_answer(self) -> None:
        """Tell a nod again that turns out to be an answer."""
        nod, self._nod = self._nod, None
        if nod and asyncio.get_running_loop().time() - nod[0] < ANSWERED_AHEAD and asks(last_said(self._context)):
            await self.push_frame(nod[1])

    async def process_audio_frame(self, frame: InputAudioRawFrame, direction: FrameDirection) -> None:
        """Buffer the sound, and begin to recognise where it pauses."""
        await super().process_audio_frame(frame, direction)
        if not self._user_speaking:
            return
        if not self._lull.is_lull(frame.audio, self.sample_rate):
            await self._drop_early()
        elif not self._early:
            self._early = self.create_task(self._hear(bytes(self._audio_buffer), self._onset), "early recognition")

    async def _handle_user_started_speaking(self, frame: VADUserStartedSpeakingFrame) -> None:
        await super()._handle_user_started_speaking(frame)
        self._lull = Lull(LONG_LULL if self._bot_speaks else LULL)
        await self._stop_glimpses()
        self._onset, self._interrupted = None, False
        if self._bot_speaks and self._reactions:
            before = int((frame.start_secs + BEFORE_VOICE) * self.sample_rate) * 2
            self._onset = max(0, len(self._audio_buffer) - before)
            self._glimpses = self.create_task(self._glimpse(self._onset, self._reactions), "glimpses")

    async def _handle_user_stopped_speaking(self, frame: VADUserStoppedSpeakingFrame) -> None:
        await self._stop_glimpses()
        if self.is_usable and self._audio_buffer:
            early, self._early = self._early, None
            self._stretches.append(Stretch(early, self._onset, self._interrupted))
        await self._drop_early()
        await super()._handle_user_stopped_speaking(frame)

    async def _glimpse(self, onset: int, reactions: Reactions) -> None:
        """Tell what the user seems to be about, until they stop."""
        wanted = 0.0
        while self._bot_speaks:
            have = (len(self._audio_buffer) - onset) / 2 / self.sample_rate
            if have < wanted:
                await asyncio.sleep(max(0.01, wanted - have))
                continue
            pcm = bytes(self._audio_buffer[onset:])
            if await self._tell_reaction(pcm, reactions):
                wanted = have + (NEXT_GLIMPSE if have < BEFORE_VOICE + SOON else LATER_GLIMPSE)
            elif have < BEFORE_VOICE + FIRST_WORDS:
                wanted = BEFORE_VOICE + FIRST_WORDS
            else:
                await self._tell_interim_words(pcm)
                wanted = have + LATER_GLIMPSE

    async def _tell_reaction(self, pcm: bytes, reactions: Reactions, *, whole: bool = False) -> bool:
        """Say how a voice sounds, if this recogniser can tell."""
        states = await self._recogniser.attend(pcm, self.sample_rate)
        if states is None:
            return False
        await self.push_frame(ReactionFrame(reactions.meant(states), whole))
        return True

    async def _tell_interim_words(self, pcm: bytes) -> None:
        transcript = await self._recogniser.glimpse(pcm, self.sample_rate, self._language)
        if transcript.text:
            language = Language(transcript.language)
            now = time_now_iso8601()
            await self.push_frame(InterimTranscriptionFrame(transcript.text, self._user_id, now, language))

    async def _hear(self, pcm: bytes, onset: int | None) -> Transcript:
        """Recognise a stretch; one that began during the agent's speech is listened to as a whole first."""
        if onset is not None and self._reactions:
            await self._tell_reaction(pcm[onset:], self._reactions, whole=True)
        return await self._recogniser.hear(pcm, self.sample_rate, self._language)

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame, None]:
        """Transcribe one stretch of speech (16-bit mono PCM at the pipeline's rate)."""
        await self.start_processing_metrics()
        stretch = self._stretches[0]
        try:
            transcript = await (stretch.hearing or self._hear(audio, stretch.onset))
        finally:
            self._stretches.popleft()
        await self.stop_processing_metrics()
        nod = is_nod(transcript.text)
        if stretch.let_by and (nod or not transcript.text):
            return
        interrupted = stretch.interrupted or self._nodded
        self._nodded = interrupted and sounds_like_nod(transcript.text) and not asks(last_said(self._context))
        if self._nodded:  # the agent goes on where it was
            yield NothingHeardFrame()
            return
        if not transcript.text:
            logger.debug(f"heard nothing in {len(audio) / 2 / self.sample_rate:.1f} s: {transcript}")
            yield NothingHeardFrame()
            return
        if not nod:  # 嗯 is no language
            self._language = transcript.language
        language = Language(transcript.language)
        await self._handle_transcription(transcript.text, True, language)
        words = TranscriptionFrame(transcript.text, self._user_id, time_now_iso8601(), language)
        words.interruptible = False  # the turn that they belong to may interrupt while they wait to be looked at
        went_by = nod and self._bot_speaks and stretch.onset is not None and not stretch.interrupted
        self._nod = (asyncio.get_running_loop().time(), words) if went_by else None
        yield words

    @traced_stt
    async def _handle_transcription(self, transcript: str, is_final: bool, language: Language | None = None) -> None:
        """Exists for the tracing decorator, which reports its arguments."""

    async def _drop_early(self) -> None:
        early, self._early = self._early, None
        if early:
            await self.cancel_task(early)

    async def _stop_glimpses(self) -> None:
        task, self._glimpses = self._glimpses, None
        if task:
            await self.cancel_task(task)
