"""Voices of the library that have been matched for this engine: a file beside the recording holds the result."""

from __future__ import annotations

import hashlib
import io
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from loguru import logger

from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError, Voice
from tts_service.files import published
from tts_service.kokoro.cast import english_model
from tts_service.kokoro.matching.matcher import Match
from tts_service.kokoro.model import MODEL_SHA256
from tts_service.kokoro.voice import KokoroVoice, Normalisation
from tts_service.voices.library import Library

WORDING = "voice matching (embedded)"
"""What such a voice is called wherever it is offered; it is no clone."""


@dataclass(frozen=True, slots=True)
class Matched:
    """A match with what the engine needs besides, and how it was come by."""

    match: Match
    normalisation: Normalisation
    quality: str
    """`fast` or `best`."""
    sentences: int
    """That Whisper was asked to understand."""
    errors: tuple[int | None, int]
    """Syllables and words of them misheard: from the voice it started from (None: not measured), and from this one."""

    def voice(self) -> KokoroVoice:
        """As the engine speaks it."""
        found = self.match
        return KokoroVoice(found.styles, self.normalisation, found.rate, found.pause, english_model(found.base))

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        match = self.match
        arrays = self.normalisation.arrays("voice") | {
            "base": np.array(match.base),
            "delta": match.delta,
            "numbers": np.array([match.rate, match.pause, match.before, match.after]),
            "quality": np.array(self.quality),
            "counts": np.array([self.sentences, -1 if self.errors[0] is None else self.errors[0], self.errors[1]]),
        }
        with published(path) as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> Matched:
        """Read what `save` wrote.

        Raises:
            SpeechError: The file is missing or damaged.
        """
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
                rate, pause, before, after = (float(number) for number in arrays["numbers"])
                sentences, start, reached = (int(count) for count in arrays["counts"])
                match = Match(str(arrays["base"]), arrays["delta"], rate, pause, before, after)
                normalisation = Normalisation.of("voice", arrays)
                return cls(
                    match, normalisation, str(arrays["quality"]), sentences, (start if start >= 0 else None, reached)
                )
        except (OSError, EOFError, KeyError, ValueError, IndexError, BadZipFile, zlib.error) as error:
            raise SpeechError(
                tr(
                    "{path} cannot be read ({error}); match the voice again: glm-tts voices match {name}",
                    path=path,
                    error=error,
                    name=path.parent.name,
                )
            ) from error


def matched_voices(library: Library) -> list[Voice]:
    """Those voices of a library that this engine can speak with."""
    found = []
    for name in library.names():
        folder = library.folder / name
        try:
            exists = matched_file(folder, library.card(name).sha256).exists()
        except SpeechError as error:
            logger.warning(f"the voice {name!r} is left out: {error}")
            continue
        if exists:
            found.append(Voice(name, description=f"{name} · 声音匹配（内置） / {WORDING}", folder=folder))
    return found


def matched_file(folder: Path, sha256: str) -> Path:
    """Where the match for a recording of that content and for this model lies in the voice's folder."""
    key = hashlib.sha256(f"{MODEL_SHA256} {sha256}".encode()).hexdigest()[:12]
    return folder / f"kokoro-{key}.npz"


def result(library: Library, name: str) -> Matched | None:
    """What came of matching a voice; None if nobody has.

    Raises:
        SpeechError: There is no such voice, or what came of it is damaged.
    """
    path = matched_file(library.folder / name, library.card(name).sha256)
    return Matched.load(path) if path.exists() else None


def matched(voice: Voice) -> KokoroVoice:
    """A voice of the library as the engine speaks it.

    Raises:
        SpeechError: It has not been matched, or the file is damaged.
    """
    assert voice.folder is not None
    library = Library(voice.folder.parent)
    path = matched_file(voice.folder, library.card(voice.name).sha256)
    if not path.exists():
        raise SpeechError(
            tr(
                "{name!r} is a recorded voice that has not been matched for the embedded engine: glm-tts voices match "
                "{name}",
                name=voice.name,
            )
        )
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _read(path: Path, _written: int) -> KokoroVoice:
    return Matched.load(path).voice()
