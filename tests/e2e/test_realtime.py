"""Spoken conversations over OpenAI's Realtime API, with the real ears and the real voice."""

import asyncio
import base64

import numpy as np
import pytest
import soxr
from pipecat.frames.frames import InputAudioRawFrame, LLMRunFrame, TranscriptionFrame, TTSAudioRawFrame, TTSTextFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.openai.realtime.events import SessionProperties
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.workers.runner import WorkerRunner

from tests.agent.endpoint import Endpoint
from tests.agent.speech import SAMPLE_RATE, error_rate, pcm, say, silence
from tests.realtime import client, serving

pytestmark = pytest.mark.e2e

STORY = "好，这个故事很长。从前，海边有一座灯塔，守塔的老人姓周，大家都叫他周伯。周伯有一只橘色的猫，名叫豆包。"


@pytest.fixture
async def brain():
    endpoint = Endpoint()
    async with endpoint.running() as endpoint.url:
        yield endpoint


@pytest.fixture
async def url(models, brain):
    async with serving(models, f"brain.base_url={brain.url}", "brain.model=fake") as url:
        yield url


def spoken(models, text):
    """What a microphone would send: 24 kHz, with silence around."""
    sound = np.concatenate([silence(0.3), say(models.synthesizer, text), silence(1.2)])
    return pcm(soxr.resample(sound, SAMPLE_RATE, 24000))


async def test_a_conversation_in_chinese_with_a_barge_in(models, brain, url):
    question, interruption = (spoken(models, text) for text in ("请给我讲一个故事。", "等一下，你叫什么名字？"))
    async with client(url) as talking:
        brain.text = STORY
        await talking.say(question)
        started = await talking.until("input_audio_buffer.speech_started")
        stopped = await talking.until("input_audio_buffer.speech_stopped", item_id=started.item_id)
        assert 0 <= started.audio_start_ms < 800 < stopped.audio_end_ms < len(question) / 48
        heard = await talking.until("conversation.item.input_audio_transcription.completed", item_id=started.item_id)
        assert error_rate(heard.transcript, "请给我讲一个故事") < 0.3
        await talking.until("response.created")
        while "".join(e.delta for e in talking.told("response.output_audio_transcript.delta")).count("，") < 2:
            await talking.until("response.output_audio_transcript.delta")

        brain.text = "我叫周伯。"
        await talking.say(interruption)
        await talking.until("input_audio_buffer.speech_started")
        sent = talking.told("response.output_audio.delta")
        item = sent[-1].item_id
        played = round(sum(len(base64.b64decode(e.delta)) for e in sent) / 48) - 300  # the loudspeaker is behind
        await talking.connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=played)
        await talking.until("conversation.item.truncated", item_id=item, audio_end_ms=played)
        done = [*talking.told("response.done"), None][0] or await talking.until("response.done")
        assert (done.response.status, done.response.status_details.reason) == ("cancelled", "turn_detected")
        whole = done.response.output[0].content[0].transcript
        while len(talking.told("response.done")) < 2:
            await talking.until("response.done")
        answer = talking.told("response.done")[1].response
        assert (answer.status, answer.output[0].content[0].transcript) == ("completed", "我叫周伯。")

    roles = [message["role"] for message in brain.requests[-1]["messages"][1:]]
    first, remembered, second = (message["content"] for message in brain.requests[-1]["messages"][1:])
    assert roles == ["user", "assistant", "user"]
    assert first == heard.transcript
    assert remembered
    assert STORY.startswith(remembered)
    assert len(remembered) <= len(whole) < len(STORY)
    assert error_rate(second, "等一下，你叫什么名字") < 0.3
    assert not talking.told("error")


async def test_turns_that_the_client_decides(models, brain, url):
    async with client(url) as talking:
        connection = talking.connection
        audio = {"input": {"turn_detection": None}}
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"], "audio": audio})
        await talking.say(spoken(models, "这句不算。"))
        await connection.input_audio_buffer.clear()
        await talking.until("input_audio_buffer.cleared")
        await connection.input_audio_buffer.commit()
        assert (await talking.until("error")).error.code == "input_audio_buffer_commit_empty"
        await talking.say(spoken(models, "今天天气怎么样？"))
        await connection.input_audio_buffer.commit()
        heard = await talking.until("conversation.item.input_audio_transcription.completed")
        assert error_rate(heard.transcript, "今天天气怎么样") < 0.3
        assert not talking.told("input_audio_buffer.speech_started", "response.created")
        await connection.response.create()
        assert (await talking.until("response.done")).response.output[0].content[0].text == brain.text
        assert brain.requests[-1]["messages"][-1]["content"] == heard.transcript


class Notebook(FrameProcessor):
    """Keeps what passes, both ways."""

    def __init__(self):
        super().__init__()
        self.frames, self.come = [], asyncio.Condition()

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        async with self.come:
            self.frames.append(frame)
            self.come.notify_all()
        await self.push_frame(frame, direction)

    def text(self, kind):
        return "".join(frame.text for frame in self.frames if isinstance(frame, kind))


async def test_pipecats_own_realtime_client(models, brain, url):
    """`OpenAIRealtimeLLMService` speaks with this server when its `base_url` does."""
    brain.text = "你好，我在听。"
    llm = OpenAIRealtimeLLMService(
        api_key="none",
        base_url=f"{url.replace('http', 'ws')}/v1/realtime",
        settings=OpenAIRealtimeLLMService.Settings(session_properties=SessionProperties(instructions="简短。")),
    )
    user, assistant = LLMContextAggregatorPair(LLMContext([{"role": "user", "content": "你好"}]))
    heard, said = Notebook(), Notebook()
    worker = PipelineWorker(
        Pipeline([user, heard, llm, said, assistant]),
        params=PipelineParams(audio_in_sample_rate=24000, audio_out_sample_rate=24000),
        enable_rtvi=False,
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())

    async def until(notebook, condition):
        async with asyncio.timeout(40), notebook.come:
            await notebook.come.wait_for(condition)

    try:
        await worker.queue_frame(LLMRunFrame())
        await until(said, lambda: brain.text in said.text(TTSTextFrame))
        assert any(isinstance(frame, TTSAudioRawFrame) for frame in said.frames)
        question = spoken(models, "今天天气怎么样？")
        for start in range(0, len(question), 960):
            await worker.queue_frame(InputAudioRawFrame(question[start : start + 960], 24000, 1))
        await until(heard, lambda: any(isinstance(frame, TranscriptionFrame) for frame in heard.frames))
        assert error_rate(heard.text(TranscriptionFrame), "今天天气怎么样") < 0.4
        await until(said, lambda: said.text(TTSTextFrame).count(brain.text) == 2)
    finally:
        await worker.cancel()
        await running
    contents = [message["content"] for message in brain.requests[-1]["messages"]]
    assert contents[:3] == ["简短。", "你好", brain.text]
