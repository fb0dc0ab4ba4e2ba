"""One client of the Realtime API: its events become frames of the pipeline, and what the pipeline does, events."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, cast

from loguru import logger
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import (
    AggregatedTextFrame,
    ErrorFrame,
    Frame,
    FunctionCallResultProperties,
    FunctionCallsStartedFrame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMConfigureOutputFrame,
    LLMContextAssistantTurnFrame,
    LLMContextUserTurnFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMRunFrame,
    LLMUpdateSettingsFrame,
    MetricsFrame,
    TTSTextFrame,
    TTSUpdateSettingsFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADParamsUpdateFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import LLMUsageMetricsData
from pipecat.processors.aggregators.llm_context import NOT_GIVEN
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.settings import LLMSettings
from pipecat.transports.base_input import BaseInputTransport
from pydantic import ValidationError

from agent.brain.llm import INSTRUCTIONS, TOOLS
from agent.pipeline import Conversation, Models
from agent.realtime.answer import Answer, Event, event
from agent.realtime.asked import (
    EVENTS,
    UNSUPPORTED,
    BufferAppend,
    Choice,
    Format,
    ItemCreate,
    ItemNamed,
    ItemTruncate,
    Part,
    Refusal,
    ResponseAsked,
    ResponseCancel,
    ResponseCreate,
    SessionAsked,
    SessionUpdate,
    Tool,
)
from agent.realtime.hearing import IN_RATE, ClientsSound, milliseconds
from agent.realtime.items import WAITING, Item, Items, written
from agent.realtime.wire import Decoder, Encoder
from agent.settings import Settings
from tts_service.engine import SpeechError
from tts_service.service import GLMTTSSettings
from tts_service.serving.asked import chosen
from tts_service.voices.library import Library

try:
    from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
except ImportError:  # Pipecat 1.13
    from pipecat.adapters.schemas.function_schema import FunctionSchema

OUT_RATE = 24000
"""Hz that the voice gives."""

Say = Callable[[str], Awaitable[None]]


class Session(FrameSerializer):
    """What is between the client's messages and the pipeline.

    Args:
        models: The voice and the ears.
        settings: The agent's.
        model: Name that the client asked for; shown again.
        say: Sends a text message to the client.
    """

    def __init__(self, models: Models, settings: Settings, model: str, say: Say) -> None:
        super().__init__()
        self._models = models
        self._settings = settings
        self._model = model
        self._say = say
        self._sending = asyncio.Lock()
        self._session_id = f"sess_{uuid.uuid4().hex[:21]}"
        self._conversation_id = f"conv_{uuid.uuid4().hex[:21]}"
        self._now = SessionAsked()
        self._decoder = Decoder(Format(), IN_RATE)
        self._encoder = Encoder(Format(), OUT_RATE)
        self._clients_sound = ClientsSound()
        self._user: Item | None = None
        """What the user is saying."""
        self._answered_ahead = False
        """Whether the answer to it began on a likely end, ahead of the frame with its words."""
        self._spoke_at = self._silent_at = 0
        """Where in the sound the user began to speak, and fell silent, last."""
        self._answer: Answer | None = None
        self._cancelled: Answer | None = None
        """What the client has asked to end."""
        self._clients_functions: set[str] = set()

    def attach(self, conversation: Conversation) -> None:
        """Take a conversation, before it begins."""
        self._conversation = conversation
        self._input = cast(BaseInputTransport, conversation.transport.input())
        self._context = conversation.context
        self._items = Items(self._context)
        conversation.worker.add_event_handler("on_pipeline_error", self._on_error)
        conversation.worker.add_reached_downstream_filter((InterruptionFrame,))
        conversation.worker.add_event_handler("on_frame_reached_downstream", self._on_interrupted)

    async def greet(self) -> None:
        """Tell the client that it may begin."""
        await self._tell(event("session.created", session=self._shown()))

    # What the client wants

    async def deserialize(self, data: str | bytes) -> Frame | None:
        """Do what a message asks; sound and everything else is pushed from here."""
        asked_by: str | None = None
        try:
            if isinstance(data, bytes):
                raise Refusal("messages are JSON objects in text, audio in base64", "invalid_json")
            try:
                message = json.loads(data)
            except (ValueError, RecursionError):
                raise Refusal("the message is not JSON", "invalid_json") from None
            if not isinstance(message, dict) or not isinstance(message.get("type"), str):
                raise Refusal("a message is a JSON object with a 'type'", "invalid_json", "type")
            if isinstance(message.get("event_id"), str):
                asked_by = message["event_id"][:512]
            await self._do(message["type"], message)
        except Refusal as refusal:
            await self._refuse(str(refusal), refusal.code, refusal.param, asked_by)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            await self._refuse(f"{field}: {first['msg']}", "invalid_value", field, asked_by)
        except SpeechError as error:
            await self._refuse(str(error), "invalid_value", None, asked_by)
        except Exception:
            logger.exception("a Realtime event could not be done")
            await self._refuse("the server failed; its log says how", None, None, asked_by, "server_error")
        return None

    async def serialize(self, frame: Frame) -> str | bytes | None:
        """Nothing: what goes out is told by `saw` and `sound`."""
        return None

    async def _do(self, type: str, message: dict[str, Any]) -> None:
        if type in UNSUPPORTED:
            raise Refusal(f"{type!r} is not supported: {UNSUPPORTED[type]}", "unsupported_event", "type")
        if type not in EVENTS:
            known = ", ".join(EVENTS)
            raise Refusal(f"there is no event {type[:64]!r}; known: {known}", "unknown_event", "type")
        asked = EVENTS[type].model_validate(message)
        match type, asked:
            case _, SessionUpdate():
                await self._update(asked)
            case _, BufferAppend():
                await self._append(asked)
            case "input_audio_buffer.commit", _:
                await self._commit()
            case "input_audio_buffer.clear", _:
                self._clients_sound.clear()
                await self._tell(event("input_audio_buffer.cleared"))
            case _, ItemCreate():
                await self._create(asked)
            case "conversation.item.retrieve", ItemNamed():
                await self._tell(event("conversation.item.retrieved", item=self._items.find(asked.item_id).shown()))
            case "conversation.item.delete", ItemNamed():
                self._items.delete(self._items.find(asked.item_id))
                await self._tell(event("conversation.item.deleted", item_id=asked.item_id))
            case _, ItemTruncate():
                self._items.truncate(self._items.find(asked.item_id), asked.audio_end_ms)
                of = {"item_id": asked.item_id, "content_index": asked.content_index}
                await self._tell(event("conversation.item.truncated", **of, audio_end_ms=asked.audio_end_ms))
            case _, ResponseCreate():
                await self._respond(asked.response)
            case _, ResponseCancel():
                await self._cancel(asked)

    async def _update(self, asked: SessionUpdate) -> None:
        before, now = self._now, self._now.updated(asked.session)
        voice = await self._voice(now) if now.audio.output != before.audio.output else None
        self._now = now
        if voice is not None:
            await self._input.push_frame(TTSUpdateSettingsFrame(delta=voice))
        if now.audio.input.format != before.audio.input.format:
            self._decoder = Decoder(now.audio.input.format, IN_RATE)
        if now.audio.output.format != before.audio.output.format:
            self._encoder = Encoder(now.audio.output.format, OUT_RATE)
        turns = now.audio.input.turn_detection
        if turns is not None and turns != before.audio.input.turn_detection:
            await self._input.push_frame(
                VADParamsUpdateFrame(params=self._vad(turns.threshold, turns.silence_duration_ms))
            )
        if (now.tools, now.tool_choice) != (before.tools, before.tool_choice):
            self._offer(now.tools, now.tool_choice)
        if (now.instructions, now.max_output_tokens, now.output_modalities) != (
            before.instructions,
            before.max_output_tokens,
            before.output_modalities,
        ):
            await self._instruct(ResponseAsked())
        await self._tell(event("session.updated", session=self._shown()))

    async def _voice(self, wanted: SessionAsked) -> GLMTTSSettings:
        """What the voice has to know.

        Raises:
            UnknownVoice: There is no such voice.
        """
        output, synthesizer = wanted.audio.output, self._models.synthesizer
        who = await asyncio.to_thread(chosen, synthesizer, Library(), output.voice, self._settings.api.voices)
        return GLMTTSSettings(voice=synthesizer.voice(who.name).name, speed=output.speed)

    def _vad(self, threshold: float | None, silence_ms: int | None) -> VADParams:
        turns = self._settings.turns
        return VADParams(
            confidence=turns.confidence if threshold is None else threshold,
            start_secs=turns.start_seconds,
            stop_secs=turns.stop_seconds if silence_ms is None else silence_ms / 1000,
            min_volume=turns.min_volume,
        )

    def _offer(self, tools: list[Tool], choice: Choice) -> None:
        """Give the brain the client's functions; the agent's own, while there are none."""
        self._clients_functions = {tool.name for tool in tools}
        functions: Any = [self._function(tool) for tool in tools] or [*TOOLS]
        self._context.set_tools(functions)
        forced = {"type": "function", "function": {"name": choice.name}} if not isinstance(choice, str) else choice
        self._context.set_tool_choice(NOT_GIVEN if choice == "auto" else forced)  # type: ignore[arg-type]

    def _function(self, tool: Tool) -> FunctionSchema:
        properties, required = tool.parameters.get("properties"), tool.parameters.get("required")
        return FunctionSchema(
            name=tool.name,
            description=tool.description,
            properties=properties if isinstance(properties, dict) else {},
            required=required if isinstance(required, list) else [],
            handler=self._leave_to_the_client,
        )

    async def _leave_to_the_client(self, params: FunctionCallParams) -> None:
        """Answer the brain at once, so that it waits for nothing: the result comes as an item of the conversation."""

        async def settled() -> None:
            if (answer := self._answer) is not None:
                answer.unsettled.discard(params.tool_call_id)
                await self._finish_if_over()

        properties = FunctionCallResultProperties(run_llm=False, on_context_updated=settled)
        await params.result_callback(WAITING, properties=properties)

    async def _instruct(self, asked: ResponseAsked) -> None:
        """Tell the brain how to answer from now on."""
        instructions = self._now.instructions if asked.instructions is None else asked.instructions
        tokens = asked.max_output_tokens or self._now.max_output_tokens
        delta = LLMSettings(
            system_instruction=instructions or self._settings.brain.instructions or INSTRUCTIONS,
            max_tokens=tokens if isinstance(tokens, int) else None,
        )
        await self._input.push_frame(LLMUpdateSettingsFrame(delta=delta))
        modality = (asked.output_modalities or self._now.output_modalities)[0]
        await self._input.push_frame(LLMConfigureOutputFrame(skip_tts=modality == "text"))

    # What the client says

    async def _append(self, asked: BufferAppend) -> None:
        pcm = self._decoder.decode(asked.audio)
        if self._now.audio.input.turn_detection is None:
            await self._clients_sound.keep(pcm)
        else:
            await self._clients_sound.pass_on(pcm, self._input.push_audio_frame)

    async def _commit(self) -> None:
        if self._now.audio.input.turn_detection is not None:
            raise Refusal(
                "the server commits by itself while turn_detection is on; set it to null to commit yourself",
                "input_audio_buffer_commit_empty",
            )
        pcm = self._clients_sound.taken()
        heard = await self._models.recogniser.hear(pcm, IN_RATE)
        item = Item("message", "user", "input_audio", heard.text)
        self._items.insert(item, None)
        await self._tell(*self._placed(item), self._transcribed(item, len(pcm)))

    async def _create(self, asked: ItemCreate) -> None:
        parts = [await self._text_of(part) for part in asked.item.content]
        item = written(asked.item, "".join(parts))
        self._items.insert(item, asked.previous_item_id)
        shown = {"previous_item_id": self._items.last(item), "item": item.shown()}
        await self._tell(event("conversation.item.added", **shown), event("conversation.item.done", **shown))

    async def _text_of(self, part: Part) -> str:
        if part.type != "input_audio":
            return part.text or part.transcript or ""
        if part.transcript:
            return part.transcript
        pcm = Decoder(self._now.audio.input.format, IN_RATE).decode(part.audio or "")
        return (await self._models.recogniser.hear(pcm, IN_RATE)).text

    # When to answer

    async def _respond(self, asked: ResponseAsked) -> None:
        if self._answer is not None:
            raise Refusal(
                "a response is being given; wait for 'response.done', or send 'response.cancel' first",
                "conversation_already_has_active_response",
            )
        self._answer = answer = Answer(self._items, self._conversation_id, self._now, asked)
        if asked.tools is not None or asked.tool_choice is not None:
            self._offer(
                self._now.tools if asked.tools is None else asked.tools, asked.tool_choice or self._now.tool_choice
            )
        if _differs(asked):
            await self._instruct(asked)
        await self._tell(*answer.created())
        await self._input.push_frame(LLMRunFrame())

    async def _cancel(self, asked: ResponseCancel) -> None:
        answer = self._answer
        if answer is None or asked.response_id not in (None, answer.id):
            raise Refusal("no such response is being given", "response_cancel_not_active")
        self._cancelled = answer
        await self._input.broadcast_interruption()

    async def _finish_if_over(self) -> None:
        """A response ends when the brain has ended, and remembers the calls whose results the client will send."""
        if self._answer is not None and self._answer.ended and not self._answer.unsettled:
            await self._finish()

    async def _finish(self, reason: Any = None) -> None:
        """The response is over; what was different in it holds no more."""
        answer, self._answer = self._answer, None
        if answer is None:
            return
        await self._tell(*answer.done(reason))
        if answer.asked.tools is not None or answer.asked.tool_choice is not None:
            self._offer(self._now.tools, self._now.tool_choice)
        if _differs(answer.asked):
            await self._instruct(ResponseAsked())

    # What the pipeline does

    async def sound(self, pcm: bytes) -> None:
        """A piece of the answer goes out now."""
        if self._answer is not None and self._answer.started:
            await self._tell(*self._answer.sound(self._encoder.encode(pcm), len(pcm) / 2 / OUT_RATE * 1000))

    async def saw(self, frame: Frame) -> None:
        """A frame has come out of the pipeline, at its place in the sound."""
        answer = self._answer
        match frame:
            case InputAudioRawFrame():
                self._clients_sound.heard(frame)
            case UserStartedSpeakingFrame():
                self._user = Item("message", "user", "input_audio", status="in_progress")
                self._spoke_at = max(
                    0, self._clients_sound.listened - round(self._settings.turns.start_seconds * IN_RATE) * 2
                )
                start = milliseconds(self._spoke_at)
                await self._tell(
                    event("input_audio_buffer.speech_started", audio_start_ms=start, item_id=self._user.id)
                )
            case VADUserStoppedSpeakingFrame():
                self._silent_at = self._clients_sound.listened - round(frame.stop_secs * IN_RATE) * 2
            case UserStoppedSpeakingFrame():
                await self._user_stopped()
            case LLMContextUserTurnFrame():
                if self._user is not None or not self._answered_ahead:
                    await self._user_said(frame.text)
                self._answered_ahead = False
            case InterruptionFrame() if answer is not None:
                answer.started = False
            case LLMFullResponseStartFrame():
                if self._user is not None and self._user.status == "incomplete" and (text := self._items.last_said()):
                    # The brain began on a likely end: the frame with the words comes behind the whole answer.
                    self._answered_ahead = True
                    await self._user_said(text)
                if answer is None:
                    answer = self._answer = Answer(self._items, self._conversation_id, self._now, ResponseAsked())
                    await self._tell(*answer.created())
                answer.started, answer.continues = True, False
            case TTSTextFrame() if answer is not None and answer.started:
                await self._tell(*answer.words(frame.text))
            case AggregatedTextFrame() if answer is not None and answer.started and frame.skip_tts:
                await self._tell(*answer.sentence(frame.text))
            case FunctionCallsStartedFrame() if answer is not None:
                theirs = [call for call in frame.function_calls if call.function_name in self._clients_functions]
                answer.continues = len(theirs) < len(frame.function_calls)
                answer.unsettled.update(call.tool_call_id for call in theirs)
                await self._tell(*answer.calls(theirs))
            case MetricsFrame() if answer is not None:
                for data in frame.data:
                    if isinstance(data, LLMUsageMetricsData):
                        answer.count(data.value)
            case LLMFullResponseEndFrame() if answer is not None and answer.started:
                answer.ended = not answer.continues
                await self._tell(*answer.pause())
                await self._finish_if_over()
            case LLMContextAssistantTurnFrame():
                if (spoken := self._items.awaiting(frame.text)) is not None:
                    self._items.remembered(spoken, frame.text)

    async def _user_stopped(self) -> None:
        if self._user is not None and self._user.status == "in_progress":
            self._user.status = "incomplete"
            end = milliseconds(max(self._silent_at, self._spoke_at))
            await self._tell(event("input_audio_buffer.speech_stopped", audio_end_ms=end, item_id=self._user.id))

    async def _user_said(self, text: str) -> None:
        """The user's turn is over, and these were its words."""
        await self._user_stopped()
        item, self._user = self._user or Item("message", "user", "input_audio"), None
        item.text, item.status = text, "completed"
        self._items.append(item)
        self._items.remembered(item, text)
        length = max(0, self._silent_at - self._spoke_at)
        await self._tell(*self._placed(item), self._transcribed(item, length))

    def _placed(self, item: Item) -> list[Event]:
        before, shown = self._items.last(item), item.shown()
        return [
            event("input_audio_buffer.committed", previous_item_id=before, item_id=item.id),
            event("conversation.item.added", previous_item_id=before, item=shown),
            event("conversation.item.done", previous_item_id=before, item=shown),
        ]

    def _transcribed(self, item: Item, length: int) -> Event:
        """The words of `length` bytes of sound."""
        return event(
            "conversation.item.input_audio_transcription.completed",
            item_id=item.id,
            content_index=0,
            transcript=item.text,
            usage={"type": "duration", "seconds": length / 2 / IN_RATE},
        )

    async def _on_interrupted(self, *_: Any) -> None:
        """The whole pipeline has fallen silent, and the brain remembers how far the answer came."""
        await self._finish("client_cancelled" if self._answer is self._cancelled else "turn_detected")

    async def _on_error(self, _: Any, frame: ErrorFrame) -> None:
        await self._refuse(frame.error, None, None, None, "server_error")

    # What the client is told

    async def _refuse(
        self,
        message: str,
        code: str | None,
        param: str | None,
        asked_by: str | None,
        kind: str = "invalid_request_error",
    ) -> None:
        error = {"type": kind, "code": code, "message": message, "param": param, "event_id": asked_by}
        await self._tell(event("error", error=error))

    async def _tell(self, *events: Event) -> None:
        """Send events that belong together: none comes between them, and who asks first is first."""
        async with self._sending:
            for one in events:
                await self._say(json.dumps(one, ensure_ascii=False))

    def _shown(self) -> dict[str, Any]:
        now = self._now.model_dump()
        now["instructions"] = now["instructions"] or self._settings.brain.instructions or INSTRUCTIONS
        return {"object": "realtime.session", "id": self._session_id, "model": self._model, **now}


def _differs(asked: ResponseAsked) -> bool:
    """Whether the brain has to be told of a response's wishes."""
    return any(wish is not None for wish in (asked.instructions, asked.max_output_tokens, asked.output_modalities))
