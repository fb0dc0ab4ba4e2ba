"""Who turns the tasks of a batch into files: here, one engine that all of them share."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from g2p.lexicon import Lexicon, default_lexicon
from pipecat_glm_tts.wording import tr
from tts_service.engine import AudioChunk, SpeechError, Voice
from tts_service.files import file_sha256
from tts_service.speech.synthesizer import Synthesizer
from tts_service.speech.utterance import Report
from tts_service.voices.library import Library, can_clone, load_recording, speaker
from tts_service.voices.reference import measure
from tts_service.workshop.audio_file import save
from tts_service.workshop.label import Label
from tts_service.workshop.presets import native_rate
from tts_service.workshop.subtitles import Subtitles
from tts_service.workshop.tasks import Task

REFERENCES = ".references"
"""Folder in the output for recordings made ready for cloning."""

Transcribe = Callable[[NDArray[np.float32], int], str]
"""Samples [n] and their rate in Hz -> what is said."""


@dataclass(frozen=True, slots=True)
class Job:
    """A task with everything that decides how it sounds."""

    task: Task
    options: dict[str, Any]
    key: str
    """Hash of all that: jobs with one key make the same audio."""
    subtitles: str | None = None
    """One of `subtitles.FORMS`: written beside the audio."""


class Maker(Protocol):
    """Who turns jobs into files: this process or a cluster."""

    def identity(self, task: Task) -> list[str]:
        """What besides text and options decides how a task sounds: engine, voice, dictionary."""
        ...

    def check(self, task: Task) -> str | None:
        """Why a task cannot be spoken here; None if it can."""
        ...

    def make(self, job: Job, path: Path) -> tuple[float, float | None]:
        """Write a job's file, whole or not at all, and its subtitles; seconds of speech and real-time factor."""
        ...

    def stop(self) -> None:
        """Let running jobs end soon, without their files."""
        ...


class LocalMaker:
    """Speaks with one engine that all jobs share.

    Args:
        synthesizer: The engine.
        library: Recorded voices that tasks may name.
        references: Where recordings of `prompt_audio` are kept ready.
        voice: Speaks every task that names no voice, also those with `prompt_audio`; None: clone those.
        lexicon: Custom dictionary file.
        transcribe: For recordings without `prompt_text`.
    """

    def __init__(
        self,
        synthesizer: Synthesizer,
        library: Library,
        references: Path,
        *,
        voice: str | None = None,
        lexicon: Path | None = None,
        transcribe: Transcribe | None = None,
    ) -> None:
        self._synthesizer = synthesizer
        self._library = library
        self._references = References(references, "stated by whoever wrote the task file", transcribe)
        self._voice = voice
        self._lexicon = Lexicon(path=lexicon, base=default_lexicon()) if lexicon else None
        self._dictionary = file_sha256(lexicon) if lexicon else ""
        self._stopping = threading.Event()

    def identity(self, task: Task) -> list[str]:
        """Engine, dictionary, and the voice by name or by the content of its recording."""
        who = task.voice or self._voice
        if who is None and task.prompt_audio:
            voice = [file_sha256(task.prompt_audio), task.prompt_text or ""]
        else:
            found = speaker(self._synthesizer, self._library, who)
            voice = [found.name, self._library.identity(found.name) if found.folder else ""]
        audible = self._synthesizer.audible
        label = [] if audible.kind == "off" else [audible.kind, audible.at]
        return [self._synthesizer.engine.name, self._dictionary, *voice, *label]

    def check(self, task: Task) -> str | None:
        """Whether its voice exists and can be spoken with by this engine."""
        try:
            if task.prompt_audio and not (task.voice or self._voice):
                if not can_clone(self._synthesizer):
                    own = self._synthesizer.voice().name
                    return tr(
                        "the embedded engine cannot clone prompt_audio; use GLM-TTS (--engine glm), or choose a voice "
                        "of its own (--voice {own})",
                        own=own,
                    )
            else:
                speaker(self._synthesizer, self._library, task.voice or self._voice)
        except SpeechError as error:
            return str(error)
        return None

    def make(self, job: Job, path: Path) -> tuple[float, float | None]:
        """Speak; see `Maker.make`."""
        who, options = self._speaker(job.task), dict(job.options)
        rate = options.pop("sample_rate", None) or self._synthesizer.sample_rate
        bitrate = options.pop("bitrate", None)
        options |= native_rate(self._synthesizer.engine.name, rate)
        reports: list[Report] = []
        text = job.task.input_text
        chunks: Iterator[AudioChunk] = self._synthesizer.stream(
            text, who, lexicon=self._lexicon, on_report=reports.append, **options
        )
        titles = Subtitles(text)
        if job.subtitles:
            chunks = titles.hearing(chunks)
        label = Label(self._synthesizer.engine.name, who.name, job.key)
        seconds = save(path, self._unless_stopped(chunks), rate, label, bitrate=bitrate)
        if job.subtitles:
            titles.save(path, job.subtitles)
        return seconds, reports[0].real_time_factor

    def stop(self) -> None:
        """See `Maker.stop`."""
        self._stopping.set()

    def _unless_stopped(self, chunks: Iterator[AudioChunk]) -> Iterator[AudioChunk]:
        for chunk in chunks:
            if self._stopping.is_set():
                raise SpeechError(tr("interrupted"))
            yield chunk

    def _speaker(self, task: Task) -> Voice:
        if task.prompt_audio is None or task.voice or self._voice:
            return speaker(self._synthesizer, self._library, task.voice or self._voice)
        return self._references.voice(task.prompt_audio, task.prompt_text)


class References:
    """Recordings to be cloned, each made a voice once: the name is the hash of its content.

    Args:
        folder: Where they are kept ready.
        consent: As for `Library.add`.
        transcribe: For recordings without a transcript.
    """

    def __init__(self, folder: Path, consent: str, transcribe: Transcribe | None = None) -> None:
        self._library = Library(folder)
        self._consent = consent
        self._transcribe = transcribe
        self._adding = threading.Lock()

    def voice(self, recording: Path, transcript: str | None) -> Voice:
        """The voice of a recording.

        Raises:
            SpeechError: No voice can be made of it, or nobody knows what is said in it.
        """
        digest = hashlib.sha256(f"{file_sha256(recording)} {transcript or ''}".encode())
        name = f"ref-{digest.hexdigest()[:24]}"
        with self._adding:
            if name not in self._library.names():
                self._add(recording, transcript, name)
        return self._library.voice(name)

    def _add(self, recording: Path, transcript: str | None, name: str) -> None:
        samples, rate = load_recording(recording)
        if unusable := measure(samples, rate).unusable:
            raise SpeechError(f"{recording.name}: {'; '.join(unusable)}")
        transcript = transcript or (self._transcribe(samples, rate) if self._transcribe else "")
        if not transcript:
            raise SpeechError(
                tr("nothing understood in {name}; write what is said in it (prompt_text)", name=recording.name)
            )
        self._library.add(recording, name=name, transcript=transcript, consent=self._consent)
