"""What clients of OpenAI's speech API ask for: fields, models and voices, by all the names they know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from loguru import logger
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tts_service.engine import SPEEDS, Voice
from tts_service.speech.synthesizer import Synthesizer
from tts_service.voices.library import Library, speaker
from tts_service.workshop.audio_file import Format

MAX_CHARACTERS = 20_000
"""Of one text."""
MAX_LEAD = 5.0
"""Seconds of speech made ahead of a client that reads slowly."""
MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
"""OpenAI's names. They, their dated forms and every engine's name mean whichever engine is loaded."""
_FAMILIES = ("tts-1", "gpt-4o-mini-tts", "kokoro", "glm", "remote")
OFFICIAL_VOICES = {
    **dict.fromkeys(("alloy", "fable", "marin", "sage"), ""),
    **dict.fromkeys(("coral", "nova", "shimmer"), "tao"),
    **dict.fromkeys(("ash", "ballad", "echo", "verse"), "bai"),
    **dict.fromkeys(("cedar", "onyx"), "feng"),
}
"""OpenAI's names of voices, which many clients send whatever the server has, and ours; blank: the engine's default."""
_LANGUAGES = {"z": "zh", "zh": "zh", "cmn": "zh", "a": "en", "b": "en", "en": "en"}
"""By Kokoro's letter or the first part of a language tag."""


class SpeechRequest(BaseModel):
    """The body of `POST /v1/audio/speech`. What is null counts as left out; what is not known is ignored."""

    model_config = ConfigDict(extra="ignore")

    model: str = ""
    """Blank: whichever engine is loaded."""
    input: str = Field(min_length=1, max_length=MAX_CHARACTERS)
    voice: str | dict[Literal["id"], str] = ""
    """Name; blank: the engine's default."""
    response_format: Format = "mp3"
    speed: float = Field(1.0, ge=SPEEDS[0], le=SPEEDS[1])
    language: Literal["zh", "en"] | None = None
    """How numbers are read where the text does not tell; None: Mandarin unless there are English words. Ours, not
    OpenAI's; `lang_code` (Kokoro-FastAPI's) is read as well."""
    instructions: str = ""
    """How to say it. No engine here can be told in words, so it is ignored, as OpenAI's older models do."""
    stream: bool = True
    """False: the answer comes whole, with its length in every header."""
    stream_format: Literal["audio", "sse"] = "audio"
    timestamps: bool = False
    """With `sse`: when each character is heard, as events between those of the audio. Ours, not OpenAI's."""

    @model_validator(mode="before")
    @classmethod
    def _as_clients_write(cls, body: Any) -> Any:
        if not isinstance(body, Mapping):
            return body
        known = {name: value for name, value in body.items() if value is not None}
        for name in ("response_format", "stream_format", "language"):
            if isinstance(known.get(name), str):
                known[name] = known[name].strip().lower()
        if known.get("response_format") == "ogg":
            known["response_format"] = "opus"
        tag = known.pop("lang_code", None) or known.get("language")
        if isinstance(tag, str) and (language := _LANGUAGES.get(tag.lower().replace("_", "-").split("-")[0])):
            known["language"] = language
        if ignored := sorted(set(known) - set(cls.model_fields)):
            logger.info(f"a speech request has fields that nothing here reads: {', '.join(ignored)[:200]}")
        return known

    @field_validator("voice", mode="after")
    @classmethod
    def _one_name(cls, voice: str | dict[Literal["id"], str]) -> str:
        return (voice if isinstance(voice, str) else voice.get("id", "")).strip()


def model_known(name: str, engine: str) -> bool:
    """Whether a client that asks for this model means the engine."""
    plain = name.strip().lower()
    return plain in ("", engine.lower()) or plain.startswith(_FAMILIES)


def chosen(synthesizer: Synthesizer, library: Library, name: str, renamed: Mapping[str, str] | None = None) -> Voice:
    """Who is meant by a name in a request.

    A voice of exactly that name comes first, then one that differs in upper and lower case, then `renamed`, then
    OpenAI's names. Of these, one that stands for a voice which this engine lacks means its default.

    Args:
        synthesizer: Has the engine's own voices.
        library: Recorded ones.
        name: As the client wrote it; blank: the engine's default.
        renamed: Further names, in small letters -> ours.

    Raises:
        UnknownVoice: Nobody is meant.
    """
    if not name:
        return speaker(synthesizer, library, None)
    known = [*(voice.name for voice in synthesizer.engine.voices()), *library.names()]
    same = name if name in known else next((one for one in known if one.casefold() == name.casefold()), None)
    if same is not None:
        return speaker(synthesizer, library, same)
    mapped = {**OFFICIAL_VOICES, **(renamed or {})}.get(name.lower())
    if mapped is None:
        return speaker(synthesizer, library, name)  # refuses it in words
    return speaker(synthesizer, library, mapped if mapped in known else None)
