"""What the tabs of the studio share."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
import numpy as np
from gradio.i18n import I18nData
from numpy.typing import NDArray

from g2p import Lexicon
from pipecat_glm_tts.wording import side, tr
from tts_service.engine import SpeechError
from tts_service.files import cannot_write, make_folder
from tts_service.speech.synthesizer import Synthesizer
from tts_service.studio.live import TICK, Station
from tts_service.studio.words import Labels
from tts_service.voices.library import Library
from tts_service.workshop.maker import References
from tts_service.workshop.presets import OPTIONS, honoured, presets


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
    outputs: Path = Path("@outputs")
    """Where results are kept."""
    station: Station = field(default_factory=Station)
    label: Labels = field(default_factory=Labels)
    references: References = field(init=False)
    """Recordings to speak with that are in no library."""

    def __post_init__(self) -> None:
        self._taken: set[Path] = set()
        self._place = TemporaryDirectory(prefix="glm-tts-studio-", ignore_cleanup_errors=True)
        self.references = References(self.folder / "references", "stated in the studio", self.transcribe)

    @property
    def folder(self) -> Path:
        """For recordings, until the studio closes."""
        return Path(self._place.name)

    def free_name(self) -> Path:
        """A new, empty file among the outputs, named by date and time.

        Raises:
            SpeechError: Nothing can be written there.
        """
        make_folder(self.outputs)
        name = f"tts_{datetime.now():%Y%m%d_%H%M%S}"
        for number in itertools.count(1):
            path = self.outputs / (f"{name}.wav" if number == 1 else f"{name}_{number}.wav")
            try:
                path.open("xb").close()
            except FileExistsError:
                continue
            except OSError as error:
                raise cannot_write(path, error) from error
            return path
        raise AssertionError

    @contextmanager
    def alone(self, output: Path) -> Iterator[None]:
        """For one batch at a time in a folder.

        Raises:
            SpeechError: Another one is at work there.
        """
        if output in self._taken:
            raise SpeechError(tr("a batch of this name is running already; wait for it, or rename the task file"))
        self._taken.add(output)
        try:
            yield
        finally:
            self._taken.discard(output)

    def close(self) -> None:
        """Delete the recordings that people have left here. What was made of them is theirs to delete."""
        self._place.cleanup()

    @property
    def clones(self) -> bool:
        """Whether the engine speaks with recorded voices."""
        return self.engine != "kokoro"

    @property
    def absent(self) -> list[str]:
        """Options that the engine does not have."""
        return honoured(self.engine, dict.fromkeys(OPTIONS))[1]

    def ready(self, shown: dict[Any, Any] | None = None) -> Generator[Any, None, Synthesizer]:
        """Waits until the synthesizer has been loaded, and returns it: for `yield from`.

        Args:
            shown: What the page shows meanwhile; None: what it does anyway.
        """
        while (synthesizer := self.synthesizer()) is None:
            yield gr.skip() if shown is None else shown
            time.sleep(TICK)
        return synthesizer

    def lexicon(self) -> Lexicon | None:
        """What the synthesizer reads by; None: the default dictionary."""
        synthesizer = self.synthesizer()
        return synthesizer.lexicon if synthesizer else None

    def voices(self) -> list[tuple[str, str]]:
        """Description and name of everybody who can speak."""
        synthesizer = self.synthesizer()
        own = synthesizer.voices() if synthesizer else []
        recorded = [(tr("{name} · cloned", name=name), name) for name in self.library.names()] if self.clones else []
        return [(side(voice.description) or voice.name, voice.name) for voice in own] + recorded

    @staticmethod
    def presets() -> list[tuple[str, str]]:
        """Title and name of every preset."""
        return [(side(each.title), name) for name, each in presets().items()]

    @property
    def no_cloning(self) -> I18nData:
        """What the embedded engine cannot do."""
        return self.label(
            "The embedded engine cannot clone; on the tab Voices it can be brought near a recording (voice matching). "
            "Cloning needs the GLM-TTS engine."
        )
