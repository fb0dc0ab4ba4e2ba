"""A pipeline in miniature: LLM frames, the voice, a loudspeaker in real time, and the memory of what was said."""

import asyncio
from contextlib import asynccontextmanager

import numpy as np
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    StartFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner

from tests.tts_service.tone_engine import TOKEN_SECONDS, ToneEngine
from tts_service import Synthesizer
from tts_service.service import GLMTTSService


class Loudspeaker(BaseOutputTransport):
    """Plays in real time, like a sound card, and keeps what it played."""

    def __init__(self):
        super().__init__(TransportParams(audio_out_enabled=True, audio_out_10ms_chunks=2, audio_out_end_silence_secs=0))
        self.pcm = bytearray()
        self.heard = asyncio.Event()
        self._more = asyncio.Condition()
        self._free_at = 0.0

    async def start(self, frame: StartFrame):
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + len(frame.audio) / 2 / frame.sample_rate
        await asyncio.sleep(self._free_at - now)
        self.pcm += frame.audio
        if any(frame.audio):
            self.heard.set()
        async with self._more:
            self._more.notify_all()
        return True

    async def played(self, seconds: float) -> None:
        """Wait until so much has sounded."""
        async with self._more:
            await self._more.wait_for(lambda: self.seconds >= seconds)

    def pitch(self, start: float, end: float) -> float:
        """Hz of what sounded between two moments, counted from the first sound."""
        pcm = np.frombuffer(bytes(self.pcm), "<i2").astype(float)
        first = np.flatnonzero(pcm)[0]
        piece = pcm[first + int(start * self.sample_rate) : first + int(end * self.sample_rate)]
        spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece)), 1 << 16))
        return float(np.argmax(spectrum) * self.sample_rate / (1 << 16))

    @property
    def seconds(self) -> float:
        # before it has started it knows no rate
        return np.count_nonzero(np.frombuffer(bytes(self.pcm), "<i2")) / self.sample_rate if self.pcm else 0.0


class Witness(FrameProcessor):
    """Keeps every frame that passes and lets a test wait for one."""

    def __init__(self):
        super().__init__()
        self.frames = []
        self._changed = asyncio.Condition()

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        async with self._changed:
            self.frames.append(frame)
            self._changed.notify_all()
        await self.push_frame(frame, direction)

    async def saw(self, kind, count=1):
        async with self._changed:
            await self._changed.wait_for(lambda: sum(isinstance(f, kind) for f in self.frames) >= count)
        return [f for f in self.frames if isinstance(f, kind)]


class Stage:
    """A pipeline with a voice, a loudspeaker and the memory of what was said."""

    def __init__(self, max_lead=10.0, token_seconds=TOKEN_SECONDS, before=(), service=None, wrap=None, **settings):
        self.synthesizer = Synthesizer(ToneEngine(token_seconds))
        self.tts = GLMTTSService(
            synthesizer=self.synthesizer,
            settings=GLMTTSService.Settings(**settings),
            max_lead=max_lead,
            **(service or {}),
        )
        self.context = LLMContext()
        self.loudspeaker = Loudspeaker()
        self.upstream, self.downstream = Witness(), Witness()
        voice = wrap(self.tts) if wrap else self.tts
        assistant = LLMContextAggregatorPair(self.context).assistant()
        self.worker = PipelineWorker(
            Pipeline([self.upstream, *before, voice, self.loudspeaker, self.downstream, assistant]),
            params=PipelineParams(enable_metrics=True, audio_out_sample_rate=24000),
            enable_rtvi=False,
        )

    async def write(self, *deltas):
        """An answer begins, and goes on for ever."""
        await self.worker.queue_frames([LLMFullResponseStartFrame(), *map(LLMTextFrame, deltas)])

    async def say(self, *deltas):
        await self.write(*deltas)
        await self.worker.queue_frame(LLMFullResponseEndFrame())

    async def interrupt(self):
        await self.worker.queue_frame(InterruptionFrame())
        await self.downstream.saw(InterruptionFrame)

    async def end(self):
        await self.worker.queue_frame(EndFrame())
        await self.downstream.saw(EndFrame)

    @property
    def messages(self):
        return [m["content"] for m in self.context.get_messages() if m["role"] == "assistant"]

    @property
    def remembered(self):
        return "".join(self.messages)

    @property
    def errors(self):
        return [frame.error for frame in self.upstream.frames if isinstance(frame, ErrorFrame)]


@asynccontextmanager
async def stage(**settings):
    it = Stage(**settings)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(it.worker)
    running = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(40):
            yield it
    finally:
        await it.worker.cancel()
        await running
        it.synthesizer.close()
