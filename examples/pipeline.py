"""The voice in somebody's pipeline: six lines, no agent, no key.

    python examples/pipeline.py "你好，世界。Hello, world." hello.wav
"""

import asyncio
import sys
import wave

from pipecat.frames.frames import EndFrame, TTSAudioRawFrame, TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.workers.runner import WorkerRunner

import tts_service
from tts_service.service import GLMTTSService


class Recorder(FrameProcessor):
    """Writes the speech that arrives to a WAV file; a real pipeline has `transport.output()` here."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._file = wave.open(path, "wb")
        self._file.setnchannels(1)
        self._file.setsampwidth(2)

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            if not self._file.getnframes():
                self._file.setframerate(frame.sample_rate)
            self._file.writeframes(frame.audio)
        elif isinstance(frame, EndFrame):
            self._file.close()
        await self.push_frame(frame, direction)


async def main(text: str, path: str) -> None:
    voice = tts_service.load("kokoro")
    tts = GLMTTSService(synthesizer=voice, settings=GLMTTSService.Settings(voice="lan", speed=1.0))
    worker = PipelineWorker(Pipeline([tts, Recorder(path)]))
    runner = WorkerRunner()
    await runner.add_workers(worker)
    await worker.queue_frames([TTSSpeakFrame(text), EndFrame()])
    await runner.run()
    voice.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]) if len(sys.argv) == 3 else main("你好，世界。Hello, world.", "hello.wav"))
