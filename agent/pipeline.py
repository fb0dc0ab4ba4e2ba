"""Where ears, brain, voice and turn-taking become one conversation, whatever the transport.

What a client that speaks RTVI (the talk page, over its data channel) sends and gets, besides Pipecat's own messages:

Client to agent:
    `client-ready`                                      starts the conversation: `bot-ready` comes back, then the greeting
    `send-text` {content, options: {run_immediately, audio_response}}
                                                        typed instead of said; interrupts
    `client-message` {t: "voice", d: {name?, speed?, language?}}
                                                        how to speak from the next sentence on; language null: decide from the text.
                                                        Answered by `server-response` {t: "voice", d: {name, speed, language}} with
                                                        all that now holds, or by `error-response` saying what is wrong
    `client-message` {t: "voices", d: {}}               answered by `server-response` {t: "voices", d: {voices: [{name, description,
                                                        languages}], ...what `voice` answers}}

Agent to client (Pipecat's, the ones the page needs):
    `user-started-speaking`, `user-stopped-speaking`, `user-transcription` {text, final}
    `bot-llm-started`, `bot-llm-text` {text}, `bot-llm-stopped`       the answer as it is written
    `bot-tts-text` {text}                                             the answer as it is heard, character by character
    `bot-started-speaking`, `bot-stopped-speaking`, `bot-interrupted`
    `metrics`, `error` {error, fatal}

`server-message` {data: {type: ...}}, ours:
    `agent` {brain: "demo" | model name, demo: bool}    after `client-ready`
    `latency` {seconds, parts: {name: seconds}}         when the agent begins to answer speech; the parts add up to the whole, in the
                                                        order `endpointing_wait`, `transcription`, `turn_detection`, `llm_inference`,
                                                        `speech_synthesis`, `output_transport`, `pipeline` (those that took time)
    `answer` {text, interrupted}                        what was heard of an answer, when it is over
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from loguru import logger
from pipecat.frames.frames import ErrorFrame, TTSSpeakFrame, TTSUpdateSettingsFrame
from pipecat.observers.user_bot_latency_observer import LatencyBreakdown, MeasuredFrom, UserBotLatencyObserver
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import AssistantTurnStoppedMessage, LLMContextAggregatorPair
from pipecat.processors.frameworks.rtvi import RTVIProcessor
from pipecat.processors.frameworks.rtvi.models import ClientMessage
from pipecat.services.llm_service import LLMService
from pipecat.transports.base_transport import BaseTransport
from pipecat.workers.runner import WorkerRunner

import tts_service
from agent import demo_brain
from agent.llm import TOOLS, EndpointLLM
from agent.settings import Settings, VoiceSettings
from agent.stt import Recogniser, WhisperSTT
from agent.turns import turn_taking
from tts_service.service import GLMTTSService

GREETING = "你好！有什么可以帮你的吗？"

Progress = Callable[[str], None]
"""Told, in a few words, what is being loaded."""
Event = Callable[[str, dict[str, Any]], None]
"""Told what happens in a conversation: `started` {}, `heard` {text}, `latency` {seconds, parts}, `answer` {text, interrupted},
`error` {message}, `finished` {}."""

OUTPUT_CHUNKS = 2
"""Transports: `audio_out_10ms_chunks`. Audio is handed over 20 ms at a time, so that an interruption finds little to take back."""


class Models:
    """What is loaded once per process and shared by all conversations: the voice and the ears."""

    def __init__(self, synthesizer: tts_service.Synthesizer, recogniser: Recogniser) -> None:
        self.synthesizer = synthesizer
        self.recogniser = recogniser

    @classmethod
    async def load(cls, settings: Settings, progress: Progress = logger.info) -> Models:
        """Load both off the event loop.

        Raises:
            SpeechError: The voice cannot be loaded, or the cache folder cannot be written.
            SettingsError: The recogniser cannot be loaded, or a voice or language does not exist.
        """
        progress(f"loading the voice ({settings.voice.engine})")
        chosen: dict[str, Any] = {"model": settings.voice.model} if settings.voice.model else {}
        synthesizer = await asyncio.to_thread(tts_service.load, settings.voice.engine, **chosen)
        try:
            synthesizer.voice(settings.voice.name)
            progress("loading speech recognition (Whisper)")
            recogniser = await asyncio.to_thread(Recogniser, settings.ears)
        except BaseException:
            synthesizer.close()
            raise
        return cls(synthesizer, recogniser)

    def close(self) -> None:
        """Free memory and threads."""
        self.recogniser.close()
        self.synthesizer.close()


async def converse(
    transport: BaseTransport,
    models: Models,
    settings: Settings,
    *,
    rtvi: bool = True,
    audio_in_sample_rate: int = 16000,
    audio_out_sample_rate: int = 24000,
    on_event: Event | None = None,
) -> None:
    """Hold one conversation: from the greeting until the client leaves or this task is cancelled.

    Args:
        transport: Connected or about to be; its `on_client_connected` begins the conversation, its `on_client_disconnected` ends it.
        models: Shared by all conversations.
        settings: Of this conversation.
        rtvi: Whether the client speaks RTVI: it is then greeted when it says `client-ready`, not when it connects.
        audio_in_sample_rate: Hz that the recogniser gets from the transport; 8000 for telephones.
        audio_out_sample_rate: Hz that the transport gets from the voice.
        on_event: Told what happens; see `Event`.
    """
    tell = on_event or (lambda name, data: None)
    brain, greeting = make_brain(settings)
    voice = make_voice(models, settings.voice)
    context = LLMContext(tools=TOOLS)
    user, assistant = LLMContextAggregatorPair(
        context, user_params=await asyncio.to_thread(turn_taking, settings.turns)
    )
    latency = UserBotLatencyObserver()
    worker = PipelineWorker(
        Pipeline(
            [
                transport.input(),
                WhisperSTT(models.recogniser),
                user,
                brain,
                voice,
                transport.output(),
                assistant,
            ]
        ),
        params=PipelineParams(
            audio_in_sample_rate=audio_in_sample_rate,
            audio_out_sample_rate=audio_out_sample_rate,
            enable_metrics=True,
            enable_usage_metrics=True,
        ),
        enable_rtvi=rtvi,
        observers=[latency],
        idle_timeout_secs=settings.turns.idle_timeout,
        cancel_timeout_secs=1.0,
    )
    greeted = False

    async def greet() -> None:
        nonlocal greeted
        if greeted:
            return
        greeted = True
        tell("started", {})
        if greeting:
            await worker.queue_frame(TTSSpeakFrame(greeting, append_to_context=True))

    async def send(kind: str, data: dict[str, Any]) -> None:
        if rtvi:
            await worker.rtvi.send_server_message({"type": kind, **data})

    @latency.event_handler("on_latency_breakdown")
    async def on_latency(_: UserBotLatencyObserver, breakdown: LatencyBreakdown) -> None:
        if breakdown.measured_from is not MeasuredFrom.USER_SILENCE:
            return
        parts: dict[str, float] = {}
        for part in breakdown.contributions:
            parts[part.key] = round(parts.get(part.key, 0.0) + part.duration_secs, 4)
        measured = {"seconds": round(breakdown.total_secs, 4), "parts": parts}
        tell("latency", measured)
        await send("latency", measured)

    @user.event_handler("on_user_turn_message_added")
    async def on_heard(_: Any, message: Any) -> None:
        tell("heard", {"text": message.content})

    @assistant.event_handler("on_assistant_turn_stopped")
    async def on_answer(_: Any, message: AssistantTurnStoppedMessage) -> None:
        data = {"text": message.content, "interrupted": message.interrupted}
        tell("answer", data)
        await send("answer", data)

    @worker.event_handler("on_pipeline_error")
    async def on_error(_: PipelineWorker, frame: ErrorFrame) -> None:
        tell("error", {"message": frame.error})

    @transport.event_handler("on_client_connected")
    async def on_connected(*_: Any) -> None:
        if not rtvi:
            await greet()

    @transport.event_handler("on_client_disconnected")
    async def on_disconnected(*_: Any) -> None:
        await worker.cancel(reason="the client left")

    if rtvi:

        @worker.rtvi.event_handler("on_client_ready")
        async def on_ready(_: RTVIProcessor) -> None:
            await send("agent", {"brain": settings.brain.model or "demo", "demo": settings.brain.is_demo})
            await greet()

        @worker.rtvi.event_handler("on_client_message")
        async def on_message(processor: RTVIProcessor, message: ClientMessage) -> None:
            await answer_client(processor, message, worker, voice, models)

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    try:
        await runner.run()
    finally:
        tell("finished", {})
    task = asyncio.current_task()
    if task is not None and task.cancelling():  # the runner winds down on cancellation, but keeps it to itself
        raise asyncio.CancelledError


def make_brain(settings: Settings) -> tuple[LLMService, str]:
    """The brain for one conversation and the greeting it opens with."""
    if settings.brain.is_demo:
        brain: LLMService = demo_brain.DemoBrain()
        greeting = demo_brain.GREETING
    else:
        brain = EndpointLLM(settings.brain)
        greeting = GREETING
    return brain, greeting if settings.brain.greeting is None else settings.brain.greeting


def make_voice(models: Models, settings: VoiceSettings) -> GLMTTSService:
    """The voice for one conversation."""
    return GLMTTSService(
        synthesizer=models.synthesizer,
        settings=GLMTTSService.Settings(
            voice=models.synthesizer.voice(settings.name).name,
            speed=settings.speed,
            language=settings.language,
            seed=settings.seed,
        ),
    )


async def answer_client(
    rtvi: RTVIProcessor, message: ClientMessage, worker: PipelineWorker, voice: GLMTTSService, models: Models
) -> None:
    """Do what a `client-message` asks for and answer it."""
    now = {"name": voice._settings.voice, "speed": voice._settings.speed, "language": voice._settings.language}
    if message.type == "voices":
        voices = [
            {"name": v.name, "description": v.description, "languages": list(v.languages)}
            for v in models.synthesizer.voices()
        ]
        await rtvi.send_server_response(message, {"voices": voices, **now})
    elif message.type == "voice":
        try:
            wanted = VoiceSettings.model_validate({**now, **(message.data or {})})
            models.synthesizer.voice(wanted.name)
        except (ValueError, TypeError, tts_service.SpeechError) as error:
            await rtvi.send_error_response(message, str(error))
            return
        new = {"name": wanted.name, "speed": wanted.speed, "language": wanted.language}
        delta = GLMTTSService.Settings(voice=wanted.name, speed=wanted.speed, language=wanted.language)
        await worker.queue_frame(TTSUpdateSettingsFrame(delta=delta))
        await rtvi.send_server_response(message, new)
    else:
        await rtvi.send_error_response(message, f"there is no client message {message.type!r}; known: voice, voices")
