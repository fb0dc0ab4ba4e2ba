"""Agents without a brain, to talk to a transport: one repeats what it hears, one sings until it is interrupted."""

import asyncio

import numpy as np
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    TTSAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner


class Echo(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection):
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            await self.push_frame(OutputAudioRawFrame(frame.audio, frame.sample_rate, 1))
        else:
            await self.push_frame(frame, direction)


class Listener(FrameProcessor):
    """Keeps what comes in; `keys` are the pressed keys, `audio` everything heard."""

    def __init__(self):
        super().__init__()
        self.keys = []
        self.audio = bytearray()
        self.pressed = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection):
        await super().process_frame(frame, direction)
        if isinstance(frame, InputDTMFFrame):
            self.keys.append(frame.button.value)
            self.pressed.set()
        elif isinstance(frame, InputAudioRawFrame):
            self.audio += frame.audio
        else:
            await self.push_frame(frame, direction)


def speech(seconds, rate=24000, hertz=400.0, level=0.2):
    """A long steady tone as one frame, the way a voice faster than real time delivers it."""
    samples = level * 32767 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)
    return TTSAudioRawFrame(samples.astype(np.int16).tobytes(), rate, 1)


async def run(transport, *processors, in_rate=16000, out_rate=24000, on_worker=None, say=None, observers=()):
    """Hold one 'conversation'. `say` is queued when the caller is connected."""
    worker = PipelineWorker(
        Pipeline([transport.input(), *processors, transport.output()]),
        params=PipelineParams(audio_in_sample_rate=in_rate, audio_out_sample_rate=out_rate),
        cancel_on_idle_timeout=False,
        enable_rtvi=False,
        observers=list(observers),
    )

    @transport.event_handler("on_client_connected")
    async def connected(*_):
        if on_worker:
            on_worker(worker)
        if say:
            await worker.queue_frame(say)

    @transport.event_handler("on_client_disconnected")
    async def disconnected(*_):
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


__all__ = ["Echo", "InterruptionFrame", "Listener", "run", "speech"]
