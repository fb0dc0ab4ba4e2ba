"""What the tabs of the studio share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from g2p import Lexicon
from tts_service.engine import SpeechError
from tts_service.maker import References
from tts_service.presets import OPTIONS, honoured
from tts_service.studio.live import Station
from tts_service.synthesizer import Synthesizer
from tts_service.voices import Library

NO_CLONING = (
    "内置引擎不能克隆，只能在“声音”页学像一段录音（声音匹配）；克隆需要 GLM-TTS 引擎。 / "
    "The embedded engine cannot clone; on the tab Voices it can be brought near a recording (voice matching). "
    "Cloning needs the GLM-TTS engine."
)


@dataclass
class Desk:
    """The engine, the library and the places that all tabs work with."""

    synthesizer: Callable[[], Synthesizer | None]
    """None while it is loading."""
    engine: str
    library: Library
    transcribe: Callable[[NDArray[np.float32], int], str]
    """Samples [n] and their rate in Hz -> what is said."""
    dictionary: Path
    path: str
    """Where the studio is mounted."""
    station: Station = field(default_factory=Station)
    references: References = field(init=False)
    """Recordings to speak with that are in no library."""

    def __post_init__(self) -> None:
        self._place = TemporaryDirectory(prefix="glm-tts-studio-", ignore_cleanup_errors=True)
        self.references = References(self.folder / "references", "stated in the studio", self.transcribe)

    @property
    def folder(self) -> Path:
        """For results until the page has its copy, and for the references until the studio closes."""
        return Path(self._place.name)

    def close(self) -> None:
        """Delete what people have left here: their voices among it."""
        self._place.cleanup()

    @property
    def clones(self) -> bool:
        """Whether the engine speaks with recorded voices."""
        return self.engine != "kokoro"

    @property
    def absent(self) -> list[str]:
        """Options that the engine does not have."""
        return honoured(self.engine, dict.fromkeys(OPTIONS))[1]

    def ready(self) -> Synthesizer:
        """The synthesizer, or words for whoever came too early."""
        if (synthesizer := self.synthesizer()) is None:
            raise gr.Error("声音还在加载，请稍候 / The voice is still loading, a moment please", print_exception=False)
        return synthesizer

    def lexicon(self) -> Lexicon | None:
        """What the synthesizer reads by; None: the default dictionary."""
        synthesizer = self.synthesizer()
        return synthesizer.lexicon if synthesizer else None

    def voices(self) -> list[tuple[str, str]]:
        """Description and name of everybody who can speak."""
        synthesizer = self.synthesizer()
        own = [(voice.description or voice.name, voice.name) for voice in synthesizer.voices()] if synthesizer else []
        recorded = [(f"{name} · 克隆 / cloned", name) for name in self.library.names()] if self.clones else []
        return own + recorded


@contextmanager
def told() -> Iterator[None]:
    """Show errors that say what to do as they are."""
    try:
        yield
    except SpeechError as error:
        raise gr.Error(escape(str(error)), print_exception=False) from error
