"""The library of recorded voices: one folder a voice, with `voice.yaml`, the reference audio and caches beside it."""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import yaml
from numpy.typing import NDArray

from pipecat_glm_tts.wording import nearest, tr
from tts_service.engine import SpeechError, UnknownVoice, Voice
from tts_service.files import cannot_write, file_sha256, make_folder

if TYPE_CHECKING:
    from tts_service.speech.synthesizer import Synthesizer

MAX_BYTES = 64 << 20
"""Of a reference recording; half a minute of uncompressed studio sound has 17 MB."""
AUDIO, FURTHER, CARD = "reference.wav", "reference-{}.wav", "voice.yaml"
_NAME = re.compile(r"\w[\w.-]{0,63}")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def safe_name(name: str) -> str:
    """A name that is a plain file name on every system, in Unicode's composed form.

    Raises:
        SpeechError: It is not; the message says what a name may hold.
    """
    composed = unicodedata.normalize("NFC", name)
    if not _NAME.fullmatch(composed) or composed.endswith(".") or len(composed.encode()) > 180:
        raise SpeechError(
            tr(
                "{name!r} cannot be a name: use 1 to 64 letters, hanzi, digits, '-', '_' or '.', beginning with a "
                "letter or digit",
                name=name[:80],
            )
        )
    if _DEVICES.fullmatch(composed):
        raise SpeechError(tr("{name!r} cannot be a name: Windows keeps it for a device", name=name))
    return composed


@dataclass(frozen=True, slots=True)
class Card:
    """What `voice.yaml` says."""

    name: str
    language: str
    """`zh` or `en`."""
    transcript: str
    """What is said in the recording, word for word."""
    consent: str
    """Who allowed the voice to be cloned, how and for what."""
    licence: str
    created: str
    """ISO 8601."""
    sha256: str
    """Of the recording."""


class Library:
    """A folder of voices. Nothing outside it is ever touched.

    Args:
        folder: None: `$GLM_TTS_VOICES`, else `voices` in the user's data directory. Made when the first voice is added.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is None:
            from platformdirs import user_data_path

            chosen = os.environ.get("GLM_TTS_VOICES")
            folder = Path(chosen) if chosen else user_data_path("glm-tts", appauthor=False) / "voices"
        self.folder = folder

    def names(self) -> list[str]:
        """Of all voices, in order, intact or not."""
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if self._is_voice(path))

    def card(self, name: str) -> Card:
        """What is known about a voice.

        Raises:
            UnknownVoice: There is none of that name.
            SpeechError: Its `voice.yaml` is damaged; the message names the field.
        """
        path = self._folder_of(name) / CARD
        try:
            return _card(path, path.stat().st_mtime_ns)
        except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
            raise SpeechError(tr("{path} cannot be read: {error}", path=path, error=error)) from error

    def audio(self, name: str) -> Path:
        """The recording of a voice, verified against its card.

        Raises:
            SpeechError: It is missing or is not the one that was added.
        """
        card = self.card(name)
        path = self._folder_of(name) / AUDIO
        if _sha256(path) != card.sha256:
            raise SpeechError(tr("{path} has changed since it was added; remove the voice and add it again", path=path))
        return path

    def voice(self, name: str) -> Voice:
        """The voice as engines take it.

        Raises:
            SpeechError: As `card` and `audio`.
        """
        card, folder = self.card(name), self.audio(name).parent
        return Voice(card.name, (card.language,), f"{card.name} · 克隆 / cloned", folder)

    def recordings(self, name: str) -> list[Path]:
        """The recording of a voice, verified, and whatever further ones were added with it.

        Raises:
            SpeechError: As `audio`.
        """
        return [self.audio(name), *sorted(self._folder_of(name).glob(FURTHER.format("*")))]

    def identity(self, name: str) -> str:
        """What decides how a voice sounds: the hash of its recording, and of the embedded engine's match if it has one.

        Raises:
            SpeechError: As `card`.
        """
        return " ".join([self.card(name).sha256, *map(_sha256, sorted(self._folder_of(name).glob("kokoro-*.npz")))])

    def add(
        self,
        recording: Path,
        *,
        name: str,
        transcript: str,
        consent: str,
        language: str = "zh",
        licence: str = "",
        further: Sequence[Path] = (),
    ) -> Card:
        """Take a recording into the library. The voice appears only when it is complete.

        Args:
            recording: WAV, FLAC, OGG, MP3 or M4A; kept as 24-bit mono WAV.
            further: More of the same person, for voice matching, which profits from them.
            name: A safe file name that no voice has yet, in upper or lower case.
            transcript: What is said in it.
            consent: Who allowed the cloning, how and for what; never empty.
            language: `zh` or `en`.
            licence: Under which others may use the voice.

        Raises:
            SpeechError: Something of that is missing or wrong.
        """
        name = check_new(self, name, consent=consent, language=language)
        if not transcript.strip():
            raise SpeechError(tr("the transcript is empty; give what is said in the recording"))
        recorded = [load_recording(path) for path in (recording, *further)]
        make_folder(self.folder)
        try:
            adding = Path(tempfile.mkdtemp(prefix=".adding-", dir=self.folder))
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        try:
            for i, (samples, rate) in enumerate(recorded, 1):
                # In memory first: libsndfile does not say what a disk complains of.
                content = io.BytesIO()
                soundfile.write(content, samples, rate, format="WAV", subtype="PCM_24")
                (adding / (FURTHER.format(i) if i > 1 else AUDIO)).write_bytes(content.getbuffer())
            created = datetime.now().astimezone().isoformat(timespec="seconds")
            card = Card(
                name, language, transcript.strip(), consent.strip(), licence.strip(), created, _sha256(adding / AUDIO)
            )
            text = yaml.safe_dump(asdict(card), allow_unicode=True, sort_keys=False)
            (adding / CARD).write_text(text, encoding="utf-8")
            adding.chmod(0o755)
            adding.rename(self.folder / name)
        except OSError as error:
            raise cannot_write(self.folder / name, error) from error
        finally:
            shutil.rmtree(adding, ignore_errors=True)
        return card

    def remove(self, name: str) -> None:
        """Delete a voice with its caches.

        Raises:
            UnknownVoice: There is none of that name.
        """
        folder = self._folder_of(name)
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise cannot_write(folder, error) from error

    def _folder_of(self, name: str) -> Path:
        folder = self.folder / safe_name(name)
        if not self._is_voice(folder):
            known = self.names()
            raise UnknownVoice(
                tr("there is no voice {name!r} in {folder}", name=name, folder=self.folder)
                + nearest(name, known)
                + tr("; there are: ")
                + (", ".join(known) or tr("none yet"))
            )
        return folder

    @staticmethod
    def _is_voice(path: Path) -> bool:
        """A link is none: what it points at may lie anywhere."""
        return path.is_dir() and not path.is_symlink() and not path.name.startswith(".") and (path / CARD).is_file()


def load_recording(path: Path) -> tuple[NDArray[np.float32], int]:
    """Read a reference recording as mono.

    Returns:
        Samples [n] and the rate in Hz.

    Raises:
        SpeechError: It does not exist, is too large or is no audio.
    """
    from tts_service.audio import load_audio

    if not path.is_file():
        raise SpeechError(tr("there is no file {path}", path=path))
    if path.stat().st_size > MAX_BYTES:
        raise SpeechError(
            tr(
                "{path} has {st_size} MB; a reference may have {max_bytes}: cut out 5 to 10 s of clear speech",
                path=path,
                st_size=path.stat().st_size >> 20,
                max_bytes=MAX_BYTES >> 20,
            )
        )
    samples, rate = load_audio(path, max_seconds=60)
    return samples.mean(axis=0), rate


def check_new(library: Library, name: str, *, consent: str, language: str) -> str:
    """The name as a new voice of a library will have it.

    Raises:
        SpeechError: It cannot have that name, or language or consent will not do.
    """
    name = safe_name(name)
    if language not in ("zh", "en"):
        raise SpeechError(tr("the language is {language!r}; it must be zh or en", language=language))
    if not consent.strip():
        raise SpeechError(tr("the consent is empty; say who allowed this voice to be cloned, how and for what"))
    taken = {known.casefold() for known in library.names()}
    if name.casefold() in taken or (library.folder / name).exists():
        raise SpeechError(tr("there is a voice {name!r} already; choose another name or remove that one", name=name))
    from tts_service.kokoro.cast import packaged_voices

    if name.casefold() in {voice.name for voice in packaged_voices()}:
        raise SpeechError(tr("{name!r} comes with the embedded engine; choose another name", name=name))
    return name


def check_voice(engine: str, library: Library, name: str | None) -> None:
    """Tell before an engine is loaded of a voice that it will not have, as far as that can be known.

    Raises:
        UnknownVoice: Nobody has that name.
    """
    if engine != "kokoro" or name is None:
        return
    from tts_service.kokoro.cast import packaged_voices

    packaged, recorded = packaged_voices(), library.names()
    if name not in recorded and all(voice.name != name for voice in packaged):
        raise _nobody(name, [*(voice.name for voice in packaged if voice.listed), *recorded])


def _nobody(name: str, known: Iterable[str]) -> UnknownVoice:
    known = list(dict.fromkeys(known))
    return UnknownVoice(
        tr("there is no voice {name!r}", name=name) + nearest(name, known) + tr("; available: ") + ", ".join(known)
    )


def can_clone(synthesizer: Synthesizer) -> bool:
    """Whether its engine speaks with any recorded voice; the embedded one needs to have been matched to it first."""
    return synthesizer.engine.name != "kokoro"


def speaker(synthesizer: Synthesizer, library: Library, name: str | None) -> Voice:
    """Who of that name can speak with this engine: one of its own voices or one of the library.

    Raises:
        UnknownVoice: Nobody has that name, or only a recorded voice has it and this engine cannot clone.
    """
    own = synthesizer.voices()
    if name is None and not own:
        raise UnknownVoice(
            tr("there is no voice in {folder} yet; add one with `glm-tts voices add`", folder=library.folder)
        )
    if name is None or any(voice.name == name for voice in synthesizer.engine.voices()):
        return synthesizer.voice(name)
    recorded = library.names()
    if name not in recorded:
        raise _nobody(name, [*(voice.name for voice in own), *recorded])
    if not can_clone(synthesizer):
        raise UnknownVoice(
            tr(
                "{name!r} is a recorded voice, and the embedded engine cannot clone: it speaks as {own}. Match it "
                "with `glm-tts voices match {name}`, or use --engine glm for {name!r}",
                name=name,
                own=", ".join(voice.name for voice in own),
            )
        )
    return library.voice(name)


def _sha256(path: Path) -> str:
    try:
        status = path.stat()
        return _digest(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise SpeechError(
            tr("{path} is missing; remove the voice and add it again ({reason})", path=path, reason=error.strerror)
        ) from error


@lru_cache(maxsize=1024)
def _digest(path: Path, _written: int, _size: int) -> str:
    """Worked out anew only when the file has changed, like `_card`."""
    return file_sha256(path)


@lru_cache(maxsize=1024)
def _card(path: Path, _written: int) -> Card:
    """Read anew only when the file has: every utterance asks for the voices."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    expected = [field.name for field in fields(Card)]
    if not isinstance(document, dict):
        raise SpeechError(tr("{path} must hold the fields {expected}", path=path, expected=", ".join(expected)))
    for field in expected:
        if not isinstance(document.get(field), str):
            raise SpeechError(
                tr("{path}: the field {field!r} is missing or is no text; put quotes around it", path=path, field=field)
            )
    # The folder's name has been checked; the card's is whatever somebody wrote.
    return Card(**{field: document[field] for field in expected} | {"name": path.parent.name})
