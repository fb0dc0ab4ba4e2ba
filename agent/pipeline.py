"""Where ears, brain, voice and turn-taking become one conversation, whatever the transport.

What a client that speaks RTVI (the talk page, over its data channel) sends and gets, besides Pipecat's own messages:

Client to agent:
    `client-ready`
        Starts the conversation: `bot-ready` comes back, then the server message `agent`, then the greeting is spoken.
    `send-text` {content, options: {run_immediately, audio_response}}
        Typed instead of said; interrupts.
    `client-message` {t: "voice", d: {name?, speed?, language?}}
        How to speak from the next answer on; language null: decide from the text. Answered by `server-response`
        {t: "voice", d: {name, speed, language}} with all that now holds, or by `error-response` saying what is
        wrong.
    `client-message` {t: "voices", d: {}}
        Answered by `server-response` {t: "voices", d: {voices: [{name, description, languages}, ...], name, speed,
        language}}.

Agent to client, Pipecat's own that the page needs:
    `user-started-speaking`, `user-stopped-speaking`, `user-transcription` {text, final}
    `bot-llm-started`, `bot-llm-text` {text}, `bot-llm-stopped`: the answer as it is written
    `bot-tts-text` {text}: the answer as it is heard, character by character
    `bot-started-speaking`, `bot-stopped-speaking`, `bot-interrupted`
    `metrics`, `error` {error, fatal}

Agent to client, `server-message` {data: {type, ...}}, ours:
    `agent` {brain, demo, greeting}
        Once after `client-ready`: the model's name, whether it is the demo brain, what will be said first ("" for
        nothing; it is not repeated in `bot-llm-text`).
    `latency` {seconds, parts: {name: seconds}}
        When the agent begins to answer speech. The parts add up to the whole; in their order `endpointing_wait`,
        `transcription`, `turn_detection`, `llm_inference`, `speech_synthesis`, `output_transport`, `pipeline`,
        where they took time.
    `answer` {text, interrupted}
        What was heard of an answer, when it is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from loguru import logger
from pipecat.frames.frames import ErrorFrame, TTSSpeakFrame, TTSUpdateSettingsFrame
from pipecat.observers.base_observer import BaseObserver
from pipecat.observers.user_bot_latency_observer import LatencyBreakdown, MeasuredFrom, UserBotLatencyObserver
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    AssistantTurnStoppedMessage,
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
    UserTurnMessageAddedMessage,
)
from pipecat.processors.frameworks.rtvi import RTVIProcessor
from pipecat.processors.frameworks.rtvi.models import ClientMessage
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import NOT_GIVEN
from pipecat.services.stt_service import STTService
from pipecat.transports.base_transport import BaseTransport
from pipecat.workers.runner import WorkerRunner
from threadpoolctl import ThreadpoolController

import tts_service
from agent.brain import demo as demo_brain
from agent.brain.functions import named_functions
from agent.brain.greeting import opening
from agent.brain.held import tell_what_is_held
from agent.brain.keypad import Keypad
from agent.brain.llm import INSTRUCTIONS, TOOLS, EndpointLLM
from agent.brain.mother_tongue import MotherTongue
from agent.ears.sherpa import SherpaRecogniser
from agent.ears.stt import WhisperSTT
from agent.services import NamedService
from agent.settings import BrainSettings, EarsSettings, Settings, VoiceSettings
from agent.turns import turn_taking
from pipecat_glm_tts.wording import tr
from tts_service.service import GLMTTSService, GLMTTSSettings
from tts_service.speech.audible import Audible
from tts_service.voices.recogniser import Listener, Recogniser

Progress = Callable[[str], None]
"""Told, in a few words, what is being loaded."""
Event = Callable[[str, dict[str, Any]], None]
"""Told what happens in a conversation: `started` {}, `heard` {text}, `latency` {seconds, parts}, `answer` {text,
interrupted}, `error` {message}, `finished` {}."""

OUTPUT_CHUNKS = 2
"""For transports: `audio_out_10ms_chunks`. Audio goes out 20 ms at a time: an interruption finds little on its way."""


class Models:
    """What is loaded once per process and shared by all conversations: the voice and the ears."""

    def __init__(self, synthesizer: tts_service.Synthesizer, recogniser: Listener) -> None:
        self.synthesizer = synthesizer
        self.recogniser = recogniser
        own = [voice for voice in synthesizer.voices() if voice.listed and voice.native and voice.folder is None]
        self._natives = {voice.native: voice.name for voice in reversed(own)}

    @classmethod
    async def load(cls, settings: Settings, progress: Progress = logger.info) -> Models:
        """Load both off the event loop.

        Raises:
            SpeechError: Voice or recogniser cannot be loaded, a voice or language does not exist, or the cache folder
                cannot be written.
        """
        # After each product of matrices, and hearing needs many small ones, NumPy's OpenBLAS keeps a thread spinning
        # for some 25 ms, on a core that recognition and voice need.
        ThreadpoolController().select(internal_api="openblas").limit(limits=1)
        for service in (named_ears(settings.ears), named_brain(settings.brain)):
            if service:  # refuses now what it would refuse in the first conversation
                await asyncio.to_thread(service.make)
        await asyncio.to_thread(named_functions, settings.brain.functions)
        progress(tr("loading the voice ({engine})", engine=settings.voice.engine))
        place = {"glm": "checkpoint", "remote": "address"}.get(settings.voice.engine, "model")
        chosen: dict[str, Any] = {place: settings.voice.model, "watermark": settings.label.watermark}
        if settings.voice.engine == "glm":
            chosen["steps"] = settings.voice.steps
        synthesizer = await asyncio.to_thread(tts_service.load, settings.voice.engine, **chosen)
        try:
            synthesizer.voice(settings.voice.name)
            synthesizer.audible = Audible(settings.label.audible, settings.label.at)
            progress(tr("warming the voice up"))
            await asyncio.to_thread(synthesizer.warm_up, settings.voice.name)
            progress(tr("loading speech recognition ({engine})", engine=settings.ears.engine))
            recogniser = await asyncio.to_thread(load_ears, settings.ears)
        except BaseException:
            synthesizer.close()
            raise
        return cls(synthesizer, recogniser)

    def native(self, language: str, settings: VoiceSettings) -> str | None:
        """The first native speaker of `zh` or `en`; None where one has been chosen, or none grew up with it."""
        return self._natives.get(language) if settings.native and settings.name is None else None

    def close(self) -> None:
        """Free memory and threads."""
        self.recogniser.close()
        self.synthesizer.close()


class Conversation:
    """One client's conversation: the pipeline and what happens around it. Run it with `converse`.

    Attributes:
        transport: Its ends.
        context: What the brain remembers.
        worker: Runs the pipeline.
    """

    def __init__(
        self,
        transport: BaseTransport,
        models: Models,
        settings: Settings,
        ears: STTService,
        brain: LLMService[Any],
        turns: LLMUserAggregatorParams,
        context: LLMContext,
        params: PipelineParams,
        *,
        rtvi: bool,
        tell: Event,
        greet: bool = True,
        observers: Sequence[BaseObserver] = (),
    ) -> None:
        self.transport = transport
        self._models = models
        self._brain_settings = settings.brain
        self._voice_settings = settings.voice
        self._tell = tell
        self._greeting = opening(settings.brain) if greet else ""
        self.context = context
        user, assistant = LLMContextAggregatorPair(self.context, user_params=turns)
        latency = UserBotLatencyObserver()
        self.worker = PipelineWorker(
            Pipeline(
                [
                    transport.input(),
                    Keypad(),
                    ears,
                    user,
                    brain,
                    MotherTongue(self.context, lambda language: models.native(language, settings.voice)),
                    make_voice(models, settings),
                    transport.output(),
                    assistant,
                ]
            ),
            params=params,
            enable_rtvi=rtvi,
            observers=[latency, *observers],
            idle_timeout_secs=settings.turns.idle_timeout,
            cancel_timeout_secs=1.0,
        )
        self._rtvi = self.worker.rtvi if rtvi else None
        latency.add_event_handler("on_latency_breakdown", self._on_latency)
        user.add_event_handler("on_user_turn_message_added", self._on_heard)
        assistant.add_event_handler("on_assistant_turn_stopped", self._on_answer)
        self.worker.add_event_handler("on_pipeline_error", self._on_error)
        transport.add_event_handler("on_client_disconnected", self._on_disconnected)
        if self._rtvi:
            self._rtvi.add_event_handler("on_client_ready", self._on_ready)
            self._rtvi.add_event_handler("on_client_message", self._on_client_message)
        else:
            transport.add_event_handler("on_client_connected", self._on_ready)
        self._ready = False

    async def _on_ready(self, *_: Any) -> None:
        if self._ready:
            return
        self._ready = True
        self._tell("started", {})
        brain = self._brain_settings
        await self._send(
            "agent",
            {"brain": brain.model or brain.service or "demo", "demo": brain.is_demo, "greeting": self._greeting},
        )
        if self._greeting:
            await self.worker.queue_frame(TTSSpeakFrame(self._greeting, append_to_context=True))

    async def _on_disconnected(self, *_: Any) -> None:
        await self.worker.cancel(reason="the client left")

    async def _on_heard(self, _: Any, message: UserTurnMessageAddedMessage) -> None:
        self._tell("heard", {"text": message.content})

    async def _on_answer(self, _: Any, message: AssistantTurnStoppedMessage) -> None:
        if message.content or message.interrupted:  # a function call is a turn as well, but nothing to be heard
            await self._announce("answer", {"text": message.content, "interrupted": message.interrupted})

    async def _on_latency(self, _: Any, breakdown: LatencyBreakdown) -> None:
        if breakdown.measured_from is not MeasuredFrom.USER_SILENCE:
            return
        parts: dict[str, float] = {}
        for part in breakdown.contributions:
            parts[part.key] = round(parts.get(part.key, 0.0) + part.duration_secs, 4)
        await self._announce("latency", {"seconds": round(breakdown.total_secs, 4), "parts": parts})

    async def _on_error(self, _: Any, frame: ErrorFrame) -> None:
        self._tell("error", {"message": frame.error})

    async def _on_client_message(self, rtvi: RTVIProcessor, message: ClientMessage) -> None:
        try:
            answer = await self._answer_client(message)
        except (ValueError, tts_service.SpeechError) as error:
            await rtvi.send_error_response(message, str(error))
        else:
            await rtvi.send_server_response(message, answer)

    async def _answer_client(self, message: ClientMessage) -> dict[str, Any]:
        """Do what a `client-message` asks for.

        Raises:
            ValueError: It asks for something unknown or impossible.
            SpeechError: There is no such voice.
        """
        voices = self._models.synthesizer.voices()
        changeable = {"name", "speed", "language"}
        if message.type == "voices":
            known = [{"name": v.name, "description": v.description, "languages": list(v.languages)} for v in voices]
            return {"voices": known, **self._voice_settings.model_dump(include=changeable)}
        if message.type != "voice":
            raise ValueError(f"there is no client message {message.type!r}; known: voice, voices")
        if not isinstance(message.data, dict) or not message.data.keys() <= changeable:
            raise ValueError(f"the data of a voice message is an object with some of {sorted(changeable)}")
        wanted = VoiceSettings.model_validate({**self._voice_settings.model_dump(), **message.data})
        delta = voice_settings(self._models, wanted)
        if "name" not in message.data:
            delta.voice = NOT_GIVEN
        await self.worker.queue_frame(TTSUpdateSettingsFrame(delta=delta))
        self._voice_settings = wanted
        return wanted.model_dump(include=changeable)

    async def _announce(self, kind: str, data: dict[str, Any]) -> None:
        self._tell(kind, data)
        await self._send(kind, data)

    async def _send(self, kind: str, data: dict[str, Any]) -> None:
        if self._rtvi:
            await self._rtvi.send_server_message({"type": kind, **data})


async def converse(
    transport: BaseTransport,
    models: Models,
    settings: Settings,
    *,
    rtvi: bool = True,
    audio_in_sample_rate: int = 16000,
    audio_out_sample_rate: int = 24000,
    duck: Callable[[float], None] | None = None,
    greet: bool = True,
    on_begin: Callable[[Conversation], None] | None = None,
    on_event: Event | None = None,
    observers: Sequence[BaseObserver] = (),
) -> None:
    """Hold one conversation: from the greeting until the client leaves or this task is cancelled.

    Args:
        transport: Connected or about to be. Its `on_client_connected` begins the conversation (its RTVI client's
            `client-ready`, where it has one), its `on_client_disconnected` ends it.
        models: Shared by all conversations.
        settings: Of this conversation.
        rtvi: Whether the client speaks RTVI.
        audio_in_sample_rate: Hz that the recogniser gets from the transport; 8000 for telephones.
        audio_out_sample_rate: Hz that the transport gets from the voice.
        duck: Lowers what the transport plays by so many decibels, where it can.
        greet: Whether the agent speaks first.
        on_begin: Given the conversation before it begins, for clients that shape it themselves.
        on_event: Told what happens; see `Event`. Called on the event loop; it must be quick.
        observers: See every frame of the pipeline.
    """
    tell = on_event or (lambda name, data: None)
    context = LLMContext(tools=[*TOOLS, *named_functions(settings.brain.functions)])
    ears = await asyncio.to_thread(make_ears, models, settings.ears, settings.turns.interrupt == "auto", context)
    brain = await asyncio.to_thread(make_brain, settings.brain)
    give_way = (lambda doubtful: duck(settings.turns.duck if doubtful else 0)) if duck else None
    turns = await asyncio.to_thread(turn_taking, settings.turns, context, give_way)
    params = PipelineParams(
        audio_in_sample_rate=audio_in_sample_rate,
        audio_out_sample_rate=audio_out_sample_rate,
        enable_metrics=True,
        enable_usage_metrics=True,
    )
    conversation = Conversation(
        transport,
        models,
        settings,
        ears,
        brain,
        turns,
        context,
        params,
        rtvi=rtvi,
        tell=tell,
        greet=greet,
        observers=observers,
    )
    if on_begin is not None:
        on_begin(conversation)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(conversation.worker)
    try:
        await runner.run()
    finally:
        tell("finished", {})
    task = asyncio.current_task()
    if task is not None and task.cancelling():  # the runner winds down on cancellation, but keeps it to itself
        raise asyncio.CancelledError


def named_ears(settings: EarsSettings) -> NamedService[STTService] | None:
    """The service that the settings name, checked.

    Raises:
        SettingsError: It cannot be made of its arguments.
    """
    if not settings.service:
        return None
    return NamedService("ears", settings.service, settings.arguments, STTService)  # type: ignore[type-abstract]


def named_brain(settings: BrainSettings) -> NamedService[LLMService[Any]] | None:
    """As `named_ears`; its Settings get model and instructions, where the arguments have none.

    Raises:
        SettingsError: It cannot be made of its arguments.
    """
    if not settings.service:
        return None
    defaults = {"system_instruction": settings.instructions or INSTRUCTIONS}
    if settings.model:
        defaults["model"] = settings.model
    arguments = dict(settings.arguments)
    if isinstance(given := arguments.get("settings", {}), dict):
        arguments["settings"] = {**defaults, **given}
    return NamedService("brain", settings.service, arguments, LLMService)


def load_ears(settings: EarsSettings) -> Listener:
    """The recogniser that conversations share. Blocks for a second or more.

    Raises:
        SpeechError: The model is missing or is another one.
    """
    if settings.engine != "whisper":
        return SherpaRecogniser(settings.engine, settings.model, languages=settings.languages, threads=settings.threads)
    return Recogniser(**settings.model_dump(exclude={"service", "arguments", "engine"}))


def make_ears(
    models: Models, settings: EarsSettings, glimpses: bool = False, context: LLMContext | None = None
) -> STTService:
    """The ears for one conversation, with interim words during the agent's speech if they are asked for."""
    named = named_ears(settings)
    return named.make() if named else WhisperSTT(models.recogniser, glimpses=glimpses, context=context)


def make_brain(settings: BrainSettings) -> LLMService[Any]:
    """The brain for one conversation."""
    named = named_brain(settings)
    brain = named.make() if named else demo_brain.DemoBrain() if settings.is_demo else EndpointLLM(settings)
    tell_what_is_held(brain)
    return brain


def make_voice(models: Models, settings: Settings) -> GLMTTSService:
    """The voice for one conversation."""
    return GLMTTSService(
        synthesizer=models.synthesizer,
        settings=voice_settings(models, settings.voice),
        audible=Audible(settings.label.audible),
    )


def voice_settings(models: Models, settings: VoiceSettings) -> GLMTTSSettings:
    """What the voice service understands of the settings.

    Raises:
        UnknownVoice: There is no voice of that name.
    """
    return GLMTTSSettings(
        voice=models.synthesizer.voice(settings.name).name,
        speed=settings.speed,
        language=settings.language,
        seed=settings.seed,
    )
