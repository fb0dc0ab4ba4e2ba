"""What a client of the Realtime API may send: the session that it wants, and its events."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tts_service.engine import SPEEDS

MAX_TEXT = 20_000
"""Characters of one text: instructions, a message, the result of a function."""
UNSUPPORTED = {
    "output_audio_buffer.clear": "it belongs to WebRTC; over a websocket send 'response.cancel', and "
    "'conversation.item.truncate' with what was heard",
    "transcription_session.update": "sessions that only transcribe are not offered; "
    "POST /v1/audio/transcriptions hears",
}
"""Events of the published API that are answered by an error, and what to do instead."""


class Refusal(Exception):
    """A request that is not done. The message says why and what to do instead."""

    def __init__(self, message: str, code: str = "invalid_value", param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class Asked(BaseModel):
    """Something in a client's message; what is not known is ignored."""

    model_config = ConfigDict(extra="ignore")


class Format(Asked):
    """How audio is written."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"] = "audio/pcm"
    rate: int | None = None

    @model_validator(mode="after")
    def _as_published(self) -> Format:
        rate = 24000 if self.type == "audio/pcm" else 8000
        if self.rate not in (None, rate):
            raise ValueError(f"{self.type} has {rate} samples a second")
        self.rate = rate
        return self


class TurnDetection(Asked):
    """When the user's turn begins and ends.

    Both types mean the agent's own ears: voice activity, then a model that hears whether a sentence is finished.
    """

    type: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: float | None = Field(None, ge=0.1, le=1)
    """Speech probability from which a frame counts as voice; None: the profile's `turns.confidence`."""
    silence_duration_ms: int | None = Field(None, ge=100, le=10_000)
    """Silence after which the model is asked; None: the profile's `turns.stop_seconds`."""
    create_response: Literal[True] = True
    interrupt_response: Literal[True] = True

    @field_validator("create_response", "interrupt_response", mode="before")
    @classmethod
    def _always(cls, value: Any) -> Any:
        if value is False:
            raise ValueError("only true is offered; to decide by yourself, set turn_detection to null")
        return True if value is None else value


class Transcription(Asked):
    """The embedded recogniser always transcribes, whatever is asked."""

    model: str = "whisper-base"
    language: str | None = None


class Input(Asked):
    """What the client sends."""

    format: Format = Format()
    transcription: Transcription | None = Transcription()
    turn_detection: TurnDetection | None = TurnDetection()


class Output(Asked):
    """What the client gets."""

    format: Format = Format()
    voice: str = Field("alloy", max_length=200)
    speed: float = Field(1.0, ge=SPEEDS[0], le=SPEEDS[1])

    @field_validator("voice", mode="before")
    @classmethod
    def _one_name(cls, voice: Any) -> Any:
        return voice.get("id") if isinstance(voice, dict) else voice


class Audio(Asked):
    """Both directions."""

    input: Input = Input()
    output: Output = Output()


class Tool(Asked):
    """A function of the client's."""

    type: Literal["function"]
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str = Field("", max_length=MAX_TEXT)
    parameters: dict[str, Any] = {}


class Forced(Asked):
    """The function that has to be called."""

    type: Literal["function"]
    name: str


Modalities = Annotated[list[Literal["audio", "text"]], Field(min_length=1, max_length=1)]
Choice = Literal["auto", "none", "required"] | Forced
Tools = Annotated[list[Tool], Field(max_length=128)]


class SessionAsked(Asked):
    """The session as the client wants it."""

    type: Literal["realtime"] = "realtime"
    output_modalities: Modalities = ["audio"]
    instructions: str | None = Field(None, max_length=MAX_TEXT)
    audio: Audio = Audio()
    tools: Tools = []
    tool_choice: Choice = "auto"
    max_output_tokens: int | Literal["inf"] = "inf"

    def updated(self, given: dict[str, Any]) -> SessionAsked:
        """With what a `session.update` gives; what it leaves out, or has as null, stays.

        Raises:
            ValidationError: A field is wrong; nothing has been changed then.
        """
        return SessionAsked.model_validate(_merged(self.model_dump(), given))


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for name, value in new.items():
        if name == "turn_detection":  # as a whole, and null turns it off
            merged[name] = value
        elif isinstance(value, dict) and isinstance(old.get(name), dict) and name not in ("format", "tool_choice"):
            merged[name] = _merged(old[name], value)
        elif value is not None:
            merged[name] = value
    return merged


class Part(Asked):
    """Part of a message."""

    type: Literal["input_text", "input_audio", "output_text", "output_audio", "text"]
    text: str | None = Field(None, max_length=MAX_TEXT)
    audio: str | None = None
    """Base64, in the session's format."""
    transcript: str | None = Field(None, max_length=MAX_TEXT)


class ItemAsked(Asked):
    """An item that the client puts into the conversation."""

    id: str | None = Field(None, max_length=64)
    type: Literal["message", "function_call", "function_call_output"]
    role: Literal["user", "assistant", "system"] | None = None
    content: list[Part] = Field([], max_length=32)
    call_id: str | None = Field(None, max_length=200)
    name: str | None = Field(None, max_length=64)
    arguments: str = Field("{}", max_length=MAX_TEXT)
    output: str | None = Field(None, max_length=MAX_TEXT)

    @model_validator(mode="after")
    def _complete(self) -> ItemAsked:
        needed = {
            "message": ("role",),
            "function_call": ("call_id", "name"),
            "function_call_output": ("call_id", "output"),
        }
        if missing := [name for name in needed[self.type] if getattr(self, name) is None]:
            raise ValueError(f"an item of type {self.type} needs {' and '.join(missing)}")
        return self


class ResponseAsked(Asked):
    """What is different in one response."""

    output_modalities: Modalities | None = None
    instructions: str | None = Field(None, max_length=MAX_TEXT)
    tools: Tools | None = None
    tool_choice: Choice | None = None
    max_output_tokens: int | Literal["inf"] | None = None
    metadata: dict[str, str] | None = Field(None, max_length=16)
    conversation: Literal["auto"] = "auto"
    input: None = None

    @field_validator("conversation", mode="before")
    @classmethod
    def _in_the_conversation(cls, value: Any) -> Any:
        if value == "none":
            raise ValueError("responses outside the conversation are not offered; leave it out")
        return value or "auto"

    @field_validator("input", mode="before")
    @classmethod
    def _of_the_conversation(cls, value: Any) -> Any:
        if value is not None:
            raise ValueError("a response's own input is not offered; use 'conversation.item.create'")
        return value


class SessionUpdate(Asked):
    """Change the session."""

    session: dict[str, Any]


class BufferAppend(Asked):
    """Sound from the microphone."""

    audio: str


class Bare(Asked):
    """An event that needs no words."""


class ItemCreate(Asked):
    """Put something into the conversation."""

    item: ItemAsked
    previous_item_id: str | None = None
    """None: at the end; `root`: at the beginning."""


class ItemNamed(Asked):
    """Delete or show an item."""

    item_id: str


class ItemTruncate(Asked):
    """Forget what was not heard."""

    item_id: str
    content_index: int = 0
    audio_end_ms: int = Field(ge=0)


class ResponseCreate(Asked):
    """Answer now."""

    response: ResponseAsked = ResponseAsked()

    @field_validator("response", mode="before")
    @classmethod
    def _nothing_special(cls, value: Any) -> Any:
        return {} if value is None else value


class ResponseCancel(Asked):
    """Be quiet."""

    response_id: str | None = None


EVENTS: dict[str, type[Asked]] = {
    "session.update": SessionUpdate,
    "input_audio_buffer.append": BufferAppend,
    "input_audio_buffer.commit": Bare,
    "input_audio_buffer.clear": Bare,
    "conversation.item.create": ItemCreate,
    "conversation.item.retrieve": ItemNamed,
    "conversation.item.delete": ItemNamed,
    "conversation.item.truncate": ItemTruncate,
    "response.create": ResponseCreate,
    "response.cancel": ResponseCancel,
}
"""The events that are understood."""
