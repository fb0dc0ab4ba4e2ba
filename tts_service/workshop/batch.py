"""Many texts to many files: nothing is done twice, nothing is overwritten, nothing stops the rest."""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import soundfile
from loguru import logger

from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError
from tts_service.files import cannot_write, file_sha256, make_folder, published
from tts_service.workshop.audio_file import read_label
from tts_service.workshop.label import content_id
from tts_service.workshop.maker import Job, Maker
from tts_service.workshop.presets import honoured, preset
from tts_service.workshop.tasks import Flaw, Task, file_name, read_tasks

FORMATS = ("wav", "flac", "mp3", "opus")
"""Those that carry the label by which a finished task is recognised."""
REPORT = "report.jsonl"
ABANDONED_SECONDS = 3600
"""After which an unfinished file that nobody has written to is not going to be finished."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one task; a line of the report."""

    task: int
    line: int
    name: str | None
    status: str
    """`done`, `kept` (an earlier run had done it) or `failed`."""
    file: str | None = None
    seconds: float | None = None
    """Of speech."""
    rtf: float | None = None
    """Engine time per second of speech."""
    error: str | None = None
    sha256: str | None = None
    """Of the file."""
    key: str | None = None
    asked: str | None = None
    """The name in the task, where it could not be the name of a file."""


@dataclass
class Batch:
    """One task file on its way to a folder of audio."""

    tasks: Path
    output: Path
    maker: Maker
    root: Path | None = None
    """Folder of the `prompt_audio`; None: the task file's."""
    jobs: int = 1
    """Tasks at one time."""
    format: str = "wav"
    options: dict[str, Any] = field(default_factory=dict)
    """Fields of `SynthesisOptions` for tasks that do not say otherwise."""
    engine: str = "kokoro"
    subtitles: str | None = None
    """`srt` or `vtt`: written beside every file; those of an earlier run that lack them are made again."""
    files: list[str] = field(default_factory=list)
    """Names of the files that exist after `run`."""
    notes: dict[str, None] = field(default_factory=dict)
    """What was guessed about the task file, each once; complete after `check`."""

    def check(self) -> Iterator[Task | Flaw]:
        """Every line, as the task that it is or with what is wrong with it; nothing is spoken."""
        for item in read_tasks(self.tasks, self.root, lambda note: self.notes.update({note: None})):
            problem = self.maker.check(item) if isinstance(item, Task) else None
            yield Flaw(item.number, item.line, "voice", problem) if problem else item

    def run(self) -> Generator[Outcome, None, None]:
        """Speak every task that is not finished yet; outcomes come as they are known.

        A file appears under its name when it is complete; its label carries the hash of its task, so that any later run
        knows it as finished. A name that is taken by something else gets a suffix.

        Raises:
            SpeechError: The task file or the output folder cannot be used at all.
        """
        make_folder(self.output)
        try:
            _discard_abandoned(self.output)
            report = _Report(self.output / REPORT)
        except OSError as error:
            raise cannot_write(self.output / REPORT, error) from error
        claimed: dict[str, int] = {}
        running: set[Future[Outcome]] = set()
        with report, ThreadPoolExecutor(self.jobs, thread_name_prefix="batch") as pool:
            try:
                for item in self.check():
                    if isinstance(item, Flaw):
                        why = f"{item.field}: {item.problem}"
                        yield report.add(Outcome(item.number, item.line, None, "failed", error=why))
                        continue
                    try:
                        running.add(pool.submit(self._finish, *self._place(item, claimed)))
                    except (SpeechError, OSError) as problem:  # its recording has just gone
                        yield report.add(Outcome(item.number, item.line, None, "failed", error=str(problem)))
                        continue
                    if len(running) >= self.jobs:
                        ended, running = wait(running, return_when=FIRST_COMPLETED)
                        yield from (report.add(self._noted(future.result())) for future in ended)
                yield from (report.add(self._noted(future.result())) for future in wait(running).done)
            except BaseException:
                self.maker.stop()
                raise

    def archive(self) -> Path:
        """Pack the files and the report; the archive appears under its name when it is complete.

        An older one of the day is replaced if everything in it is in the new one too, else it is left alone.
        """
        name = f"batch_output_{date.today():%Y%m%d}"
        target, suffix = self.output / f"{name}.zip", 1
        members = {*self.files, REPORT}
        while target.exists() and not _members(target) <= members:
            suffix += 1
            target = self.output / f"{name}_{suffix}.zip"
        with published(target) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for member in sorted(members):
                archive.write(self.output / member, member)
        return target

    def _job(self, task: Task) -> Job:
        options = {**self.options, **(preset(task.preset).options if task.preset else {})}
        own = {"seed": task.seed, "speed": task.speed}
        options.update({name: value for name, value in own.items() if value is not None})
        options, _ = honoured(self.engine, options)
        decisive = [*self.maker.identity(task), task.input_text, sorted(options.items()), self.format]
        key = hashlib.sha256(json.dumps(decisive, ensure_ascii=False).encode()).hexdigest()
        return Job(task, options, key, self.subtitles)

    def _place(self, task: Task, claimed: dict[str, int]) -> tuple[Job, Path]:
        """The first name that is free, or that holds this very job's result.

        Args:
            task: To be spoken.
            claimed: Names, in lower case, that this run has given away, with the last number that was tried after each:
                ten thousand tasks of one name do not try ten thousand numbers each.
        """
        job, suffix = self._job(task), claimed.get(task.output_name.casefold(), 0)
        while True:
            suffix += 1
            tail = f".{self.format}" if suffix == 1 else f"_{suffix}.{self.format}"
            path = self.output / file_name(task.output_name, tail)
            taken = suffix > 1 and path.stem.casefold() in claimed
            if not taken and (not path.exists() or content_id(read_label(path)) == job.key):
                claimed[task.output_name.casefold()] = suffix
                claimed.setdefault(path.stem.casefold(), 1)
                return job, path

    def _finish(self, job: Job, path: Path) -> Outcome:
        task = job.task
        try:
            beside = path.with_suffix(f".{self.subtitles}") if self.subtitles else path
            if kept := path.exists() and beside.exists():
                seconds, rtf = soundfile.info(path).duration, None
            else:
                seconds, rtf = self.maker.make(job, path)
        except Exception as error:  # whatever one task dies of, the others go on
            if not isinstance(error, SpeechError):
                logger.exception(f"task {task.number} failed")
            return Outcome(
                task.number, task.line, path.stem, "failed", error=str(error), key=job.key, asked=task.asked_name
            )
        status = "kept" if kept else "done"
        rtf = None if rtf is None else round(rtf, 3)
        return Outcome(
            task.number,
            task.line,
            path.stem,
            status,
            path.name,
            round(seconds, 3),
            rtf,
            None,
            file_sha256(path),
            job.key,
            task.asked_name,
        )

    def _noted(self, outcome: Outcome) -> Outcome:
        if outcome.file:
            self.files.append(outcome.file)
            if self.subtitles:
                self.files.append(Path(outcome.file).with_suffix(f".{self.subtitles}").name)
        return outcome


class _Report:
    """`report.jsonl`: a line for every attempt; the last one of a task counts. Survives being cut off anywhere."""

    def __init__(self, path: Path) -> None:
        self._finished: set[str] = set()
        self._file = path.open("a+b")
        self._file.seek(0)
        whole = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break  # the process was killed in the middle of it
            whole += len(line)
            try:
                entry = json.loads(line)
                if entry["status"] != "failed":
                    self._finished.add(entry["key"])
            except (ValueError, KeyError, TypeError) as error:
                raise SpeechError(
                    tr("{path} is no report of a batch; move it away or choose another --output", path=path)
                ) from error
        self._file.truncate(whole)

    def __enter__(self) -> _Report:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # told when the line was added
            self._file.close()

    def add(self, outcome: Outcome) -> Outcome:
        """Append it, unless it tells of a task whose end is written down already."""
        if outcome.key not in self._finished:
            try:
                self._file.write(json.dumps(asdict(outcome), ensure_ascii=False).encode() + b"\n")
                self._file.flush()
            except OSError as error:
                raise cannot_write(Path(self._file.name), error) from error
        return outcome


def _discard_abandoned(output: Path) -> None:
    """Remove what a run that was killed left unfinished; what has just been written to, another run may be making."""
    oldest = time.time() - ABANDONED_SECONDS
    for partial in output.glob(".*.part"):
        with suppress(FileNotFoundError):  # it was being made, and is done
            if partial.stat().st_mtime < oldest:
                partial.unlink()


def _members(archive: Path) -> set[str]:
    try:
        with zipfile.ZipFile(archive) as file:
            return set(file.namelist())
    except (OSError, zipfile.BadZipFile):
        return {archive.name}  # not ours to replace
