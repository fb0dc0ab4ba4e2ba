"""The notice that a piece of audio was made by a machine, in the form that China's labelling rules give it.

GB 45438-2025 asks for a field named `AIGC` in a file's metadata that holds a JSON object with seven text fields. The
practice guide for audio files puts it into a RIFF chunk of that name (WAV), a Vorbis comment (FLAC, Opus) or an ID3v2
`TXXX` frame (MP3).
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version

PRODUCER_VARIABLE = "GLM_TTS_PRODUCER"
"""Environment variable with the name or registered code of whoever publishes the speech."""
FIELD = "AIGC"
NOTICE = "人工智能生成 / AI-generated speech"


def _producer() -> str:
    return os.environ.get(PRODUCER_VARIABLE) or "pipecat-glm-tts"


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Label:
    """Who made a piece of audio, with what, when."""

    engine: str
    voice: str
    content_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Identifies the content at its producer; batches put the hash of the task here."""
    producer: str = field(default_factory=_producer)
    made: str = field(default_factory=_now)
    """ISO 8601 with the offset from UTC."""

    @property
    def generator(self) -> str:
        """The program and the engine."""
        return f"pipecat-glm-tts {version('pipecat-glm-tts')} ({self.engine})"

    def aigc(self) -> str:
        """The value of the `AIGC` field. Label 1 says: certainly generated (2: perhaps, 3: suspected)."""
        return json.dumps(
            {
                "Label": "1",
                "ContentProducer": self.producer,
                "ProduceID": self.content_id,
                "ReservedCode1": "",
                "ContentPropagator": "",
                "PropagateID": "",
                "ReservedCode2": "",
            },
            ensure_ascii=False,
        )

    def tags(self) -> dict[str, str]:
        """Every notice by its name in Vorbis comments and ID3."""
        return {
            FIELD: self.aigc(),
            "comment": NOTICE,
            "generator": self.generator,
            "artist": self.voice,
            "date": self.made,
        }


def content_id(aigc: str | None) -> str | None:
    """The `ProduceID` in the value of an `AIGC` field; None if that is no such value."""
    try:
        fields = json.loads(aigc or "")
    except ValueError:
        return None
    return str(fields["ProduceID"]) if isinstance(fields, Mapping) and "ProduceID" in fields else None
