"""When the user has finished: a Pipecat turn strategy that weighs sound, words and question at every pause.

It needs nothing else of this agent:

    context = LLMContext()
    LLMUserAggregatorParams(
        vad_analyzer=SileroVADAnalyzer(),
        user_turn_strategies=UserTurnStrategies(stop=[EndOfTurnStop(context=context)]),
    )
"""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass, field

import numpy as np
import soxr
from loguru import logger
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.frames.frames import (
    DataFrame,
    EagerEndOfTurnCancelFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    MetricsFrame,
    STTMetadataFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import TurnMetricsData
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.turns.types import ProcessFrameResult, UserTurnSpeculation
from pipecat.turns.user_stop import BaseUserTurnStopStrategy, NormalizedMatch

from agent.turns.ending import Patience, Pause
from agent.turns.lull import LONG_LULL, Lull

MODEL_RATE = 16000
"""Hz that Smart Turn hears at."""
ASKED_AFTER = 0.25
"""Seconds of silence that the audio detector is shown, though it is asked earlier."""
BEFORE_VOICE = 0.7
"""Seconds of sound before the voice was noticed that the audio detector is given."""


@dataclass
class NothingHeardFrame(DataFrame):
    """Speech-like sound ended and no word was recognised in it. A recogniser that says so spares the wait for words."""

    interruptible: bool = field(default=False, init=False)


class SoundOfAnEnd:
    """Smart Turn v3, asked how much the last eight seconds sound like the end of a turn."""

    SECONDS = 8

    def __init__(self) -> None:
        self._model = _smart_turn()
        self._heard = bytearray()
        self._rate = MODEL_RATE

    def set_rate(self, rate: int) -> None:
        """Hz of what will be heard."""
        self._rate = rate

    def hear(self, pcm: bytes) -> None:
        """Add 16-bit mono samples."""
        self._heard += pcm
        if len(self._heard) > 4 * self.SECONDS * self._rate:  # rarely, and then half of it
            del self._heard[: -2 * self.SECONDS * self._rate]

    def forget(self, but: float) -> None:
        """Keep only the last seconds: a turn begins."""
        del self._heard[: -2 * int(but * self._rate)]

    async def probability(self, quiet: float = 0.0) -> float:
        """That the turn is over, off the event loop (60 ms of one core).

        Args:
            quiet: Seconds of silence that are put behind what was heard.
        """
        window = 2 * self.SECONDS * self._rate
        heard = bytes(self._heard[-window:]) + bytes(2 * int(quiet * self._rate))
        return await asyncio.to_thread(self._ask, heard[-window:])

    def _ask(self, pcm: bytes) -> float:
        samples = np.frombuffer(pcm, np.int16).astype(np.float32) / 32768
        if self._rate != MODEL_RATE:
            samples = soxr.resample(samples, self._rate, MODEL_RATE)
        return float(self._model._predict_endpoint(samples)["probability"])


@functools.cache
def _smart_turn() -> LocalSmartTurnAnalyzerV3:
    """The model for all conversations: it remembers nothing from one question to the next, and takes 27 MB."""
    return LocalSmartTurnAnalyzerV3()


class EndOfTurnStop(BaseUserTurnStopStrategy):
    """Ends the user's turn after a silence that is the longer, the less the turn seems over.

    A pause is weighed when the voice activity detector reports it, by its sound and the words before it, and again when
    its own words arrive. The turn is never ended before the words of every stretch of voice are known or given up.

    Args:
        context: Where the agent's last question stands; None: questions are not considered.
        longest: Seconds of silence that end any turn.
        speculate: Let the brain begin on a likely end. Pipecat holds its answer until the end is certain, and drops it
            when the user goes on.
        likely: Probability of an end from which on speculation begins.
        patience: How evidence becomes a wait; None: as fitted.
    """

    def __init__(
        self,
        *,
        context: LLMContext | None = None,
        longest: float = 2.5,
        speculate: bool = True,
        likely: float = 0.3,
        patience: Patience | None = None,
    ) -> None:
        super().__init__()
        self._context = context
        self._longest = longest
        self._speculate = speculate
        self._likely = likely
        self._patience = patience or Patience.packaged()
        self._sound = SoundOfAnEnd()
        self._match = NormalizedMatch()
        self._in_turn = False
        self._speaking = False
        self._words_take = 1.0
        self._timer: asyncio.Task[None] | None = None
        self._lull = Lull(LONG_LULL)
        self._early: asyncio.Task[float] | None = None
        """What the audio detector makes of a lull that has not become a pause yet."""
        self._listening: asyncio.Task[None] | None = None
        self._speculation: UserTurnSpeculation | None = None
        self._begin()

    def _begin(self) -> None:
        self._stretches: list[str] = []
        self._interim = ""
        self._awaited = 0
        """Stretches of voice whose words have not arrived."""
        self._silent_since: float | None = None
        self._probability: float | None = None
        self._refused = ""
        """What the brain could not answer ahead of time."""

    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]  # as Pipecat's own do
        """Learn the sample rate."""
        await super().setup(setup)
        self._sound.set_rate(setup.audio_in_sample_rate)

    async def cleanup(self) -> None:
        """End what runs."""
        await super().cleanup()
        await self._drop_early()
        await self._stop_waiting()

    async def handle_user_turn_started(self) -> None:
        """A new turn: nothing is known of it yet."""
        self._in_turn = True
        await self._stop_waiting()
        await self._withdraw()
        silent_since = self._silent_since
        self._begin()
        if self._speaking:
            self._sound.forget(but=BEFORE_VOICE)
            self._awaited = 1
        else:  # begun by words that came after the voice
            self._silent_since = silent_since

    async def handle_user_turn_stopped(self) -> None:
        """The turn is over, whoever ended it."""
        self._in_turn = False
        await self._stop_waiting()
        await self._withdraw()
        self._begin()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Look at one frame."""
        if isinstance(frame, InputAudioRawFrame):
            await self._hear(frame.audio, frame.sample_rate)
        elif isinstance(frame, VADUserStartedSpeakingFrame):
            await self._voice()
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            await self._silence(frame)
        elif isinstance(frame, TranscriptionFrame):
            await self._words(frame.text)
        elif isinstance(frame, InterimTranscriptionFrame):
            self._interim = frame.text
        elif isinstance(frame, NothingHeardFrame):
            await self._words("")
        elif isinstance(frame, STTMetadataFrame):
            self._words_take = frame.ttfs_p99_latency
        elif isinstance(frame, EagerEndOfTurnCancelFrame) and self._speculation:
            self._refused, self._speculation = self._speculation.text, None  # by the brain: it wants to call a function
        return ProcessFrameResult.CONTINUE

    async def _hear(self, pcm: bytes, rate: int) -> None:
        """Ask the audio detector at the first lull; when the pause is one, the answer is there."""
        self._sound.hear(pcm)
        if not self._speaking:
            return
        if not self._lull.is_lull(pcm, rate):
            await self._drop_early()
        elif not self._early:
            asking = self._sound.probability(quiet=max(0.0, ASKED_AFTER - self._lull.seconds))
            self._early = self.task_manager.create_task(asking, f"{self}::early")

    async def _voice(self) -> None:
        self._speaking, self._silent_since, self._probability = True, None, None
        self._lull = Lull(LONG_LULL)
        await self._drop_early()
        self._awaited += 1
        await self._stop_waiting()
        await self._withdraw()

    async def _silence(self, frame: VADUserStoppedSpeakingFrame) -> None:
        self._speaking = False
        self._silent_since = asyncio.get_running_loop().time() - frame.stop_secs
        self._awaited = max(self._awaited, 1)
        if self._listening:
            await self.task_manager.cancel_task(self._listening)
        early, self._early = self._early, None
        asked = early or self.task_manager.create_task(self._sound.probability(), f"{self}::ask")
        self._listening = self.task_manager.create_task(self._listen(asked), f"{self}::listen")

    async def _listen(self, asked: asyncio.Task[float]) -> None:
        began = asyncio.get_running_loop().time()
        try:
            probability = await asked
        finally:
            self._listening = None
        if self._silent_since is None:  # the voice went on meanwhile
            return
        self._probability = probability
        took = asyncio.get_running_loop().time() - began
        data = TurnMetricsData(
            processor=str(self),
            is_complete=probability > 0.5,
            probability=probability,
            e2e_processing_time_ms=took * 1000,
        )
        await self.push_frame(MetricsFrame(data=[data]))
        await self._weigh()

    async def _words(self, text: str) -> None:
        self._awaited = max(0, self._awaited - 1)
        self._interim = ""
        if text.strip():
            self._stretches.append(text)
        elif not self._stretches and not self._speaking and not self._awaited:
            await self._stop_waiting()
            await self.trigger_user_turn_finalized()  # a cough: nothing to be answered
            return
        if self._silent_since is None and not self._speaking:  # words without voice activity: the recogniser knows
            self._silent_since = asyncio.get_running_loop().time()
        await self._weigh()

    async def _weigh(self) -> None:
        """Begin the answer if the turn is likely over, and set the time at which it will be.

        The answer does not wait for the audio detector, only the end does.
        """
        if not self._in_turn or self._speaking or self._silent_since is None:
            return
        heard = not self._awaited
        words = self._stretches + ([self._interim] if self._interim else [])
        pause = Pause(self._probability, words, heard, last_said(self._context))
        probability = self._patience.probability(pause)
        wait = self._patience.seconds(probability, self._longest)
        logger.debug(f"{self}: end of turn {probability:.2f}, waiting {wait:.2f} s: {pause}")
        if self._listening:
            if heard and probability >= self._likely:
                await self._answer_ahead()
            return
        if not heard:
            wait = max(wait, self._words_take)
        await self._stop_waiting(listening=False)
        left = self._silent_since + wait - asyncio.get_running_loop().time()
        if heard and left <= 0:
            await self._over()
            return
        self._timer = self.task_manager.create_task(self._wait(left), f"{self}::wait")
        if heard and probability >= self._likely:
            await self._answer_ahead()

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._timer = None
        await self._over()

    async def _over(self) -> None:
        if not self._stretches:
            return  # a recogniser that says nothing of what it did not hear: the turn's own timeout is the last resort
        speculation, self._speculation = self._speculation, None
        if speculation and self._match.matches(speculation.text, self._text):
            await self.trigger_user_turn_finalized(confirms_speculation=True)
            return
        if speculation:
            await self.trigger_user_turn_speculation_cancelled()
        await self.trigger_user_turn_stopped()

    @property
    def _text(self) -> str:
        return " ".join(self._stretches)

    async def _answer_ahead(self) -> None:
        if not self._speculate or self._refused == self._text:
            return
        if self._speculation and self._speculation.text == self._text:
            return
        await self._withdraw()
        self._speculation = UserTurnSpeculation(text=self._text)
        await self.trigger_user_turn_inference_triggered(speculation=self._speculation)

    async def _withdraw(self) -> None:
        if self._speculation:
            self._speculation = None
            await self.trigger_user_turn_speculation_cancelled()

    async def _drop_early(self) -> None:
        early, self._early = self._early, None
        if early:
            await self.task_manager.cancel_task(early)

    async def _stop_waiting(self, *, listening: bool = True) -> None:
        timer, self._timer = self._timer, None
        if timer and timer is not asyncio.current_task():
            await self.task_manager.cancel_task(timer)
        if listening and self._listening and self._listening is not asyncio.current_task():
            task, self._listening = self._listening, None
            await self.task_manager.cancel_task(task)


def last_said(context: LLMContext | None) -> str:
    """The agent's last words."""
    for message in reversed(context.get_messages() if context else []):
        if isinstance(message, dict) and message.get("role") == "assistant" and isinstance(message.get("content"), str):
            return str(message["content"])
    return ""
