"""The voice in somebody's pipeline: no agent, no key.

Usage: python examples/pipeline.py "你好，世界。Hello, world." hello.wav
"""

import asyncio
import sys

import soundfile
from pipecat.frames.frames import EndFrame, Frame, TTSAudioRawFrame, TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from pipecat_glm_tts import GLMTTSService, load


class Recorder(FrameProcessor):
    """Writes the speech that arrives to a file; a real pipeline has `transport.output()` here."""

    def __init__(self, file: soundfile.SoundFile) -> None:
        super().__init__()
        self._file = file

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Keep the audio, pass everything on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            self._file.buffer_write(frame.audio, dtype="int16")
        await self.push_frame(frame, direction)


async def main(text: str = "你好，世界。Hello, world.", path: str = "hello.wav") -> None:
    """Speak a text into a WAV file."""
    with load("kokoro") as voice, soundfile.SoundFile(path, "w", voice.sample_rate, 1, "PCM_16") as file:
        tts = GLMTTSService(synthesizer=voice, settings=GLMTTSService.Settings(voice="lian", speed=1.0))
        worker = PipelineWorker(
            Pipeline([tts, Recorder(file)]), params=PipelineParams(audio_out_sample_rate=voice.sample_rate)
        )
        runner = WorkerRunner()
        await runner.add_workers(worker)
        await worker.queue_frames([TTSSpeakFrame(text), EndFrame()])
        await runner.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
