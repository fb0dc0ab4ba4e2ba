"""Tasks for batches: one text with its voice each, all checked before any is spoken."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from pipecat_glm_tts.wording import nearest, tr
from tts_service.engine import SpeechError, SynthesisOptions
from tts_service.voices.library import MAX_BYTES
from tts_service.workshop.presets import presets
from tts_service.workshop.task_file import Broken, rows, unreadable

_FIELDS: dict[str, type] = {
    "input_text": str,
    "prompt_audio": str,
    "prompt_text": str,
    "output_name": str,
    "voice": str,
    "seed": int,
    "speed": float,
    "preset": str,
}
_UNFIT = re.compile(r'[<>:"/\\|?*]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_SUFFIX = re.compile(r"\.(wav|mp3|flac|opus|pcm)$", re.IGNORECASE)
MAX_NAME = 255
"""Bytes of a file's name, its suffix among them."""


@dataclass(frozen=True, slots=True)
class Task:
    """One text to speak."""

    number: int
    """From 1, counting tasks."""
    line: int
    """From 1, counting lines of the file."""
    input_text: str
    output_name: str
    """A safe file name without suffix."""
    asked_name: str | None = None
    """What the task called it, where that could not be the name of a file everywhere."""
    prompt_audio: Path | None = None
    """Recording whose voice is cloned; exists and lies inside the root."""
    prompt_text: str | None = None
    """What is said in it."""
    voice: str | None = None
    seed: int | None = None
    speed: float | None = None
    preset: str | None = None


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a line is no task, and what to do about it."""

    number: int
    line: int
    field: str
    problem: str
    fix: str = ""

    def __str__(self) -> str:
        where = tr("line {line}", line=self.line)
        return f"{where}, {self.field}: {'; '.join(filter(None, (self.problem, self.fix)))}"


class _Wrong(Exception):
    """Field, problem, fix."""


def read_tasks(
    path: Path, root: Path | None = None, note: Callable[[str], None] = lambda _: None
) -> Iterator[Task | Flaw]:
    """Read a task file; only one task is in memory at a time.

    Args:
        path: See `tts_service.workshop.task_file.rows`; empty lines are skipped.
        root: Folder that `prompt_audio` is relative to and must lie in; None: the task file's.
        note: Told what was guessed about the file.

    Raises:
        SpeechError: The file cannot be read.
    """
    root = root or path.resolve().parent
    try:
        for number, (line, row) in enumerate(rows(path, _FIELDS, note), start=1):
            try:
                if isinstance(row, Broken):
                    raise _Wrong(tr("the line"), row.problem, row.fix)
                yield _task(_checked(row), number, line, root)
            except _Wrong as wrong:
                yield Flaw(number, line, *wrong.args)
    except OSError as error:
        raise unreadable(path, error) from error


def file_name(name: str, tail: str = ".flac") -> str:
    """A name that every file system takes, as near as can be to the one given, with `tail` after it.

    What cannot stand in a name somewhere becomes an underscore; what is too long is cut. Empty if nothing is left.
    """
    composed = _UNFIT.sub("_", unicodedata.normalize("NFC", name))
    shown = "".join("_" if unicodedata.category(char) in ("Cc", "Cf", "Co", "Cn") else char for char in composed)
    plain = shown.strip(" .")
    if _DEVICES.fullmatch(plain):
        plain += "_"
    room = MAX_NAME - len(tail.encode())
    plain = plain.encode()[:room].decode(errors="ignore").rstrip(" .")
    return plain and plain + tail


def _task(fields: dict[str, Any], number: int, line: int, root: Path) -> Task:
    text = fields.get("input_text", "")
    if not text.strip():
        raise _Wrong("input_text", tr("is missing or empty"), tr("give the text to speak"))
    asked = _SUFFIX.sub("", fields.get("output_name", ""))
    name = file_name(asked, "") or f"output_{number:03d}"
    if (preset := fields.get("preset")) is not None and preset not in (known := presets()):
        raise _Wrong(
            "preset",
            tr("there is no preset {preset!r}", preset=preset) + nearest(preset, known),
            tr("use ") + ", ".join(known),
        )
    if (seed := fields.get("seed")) is not None and not 0 <= seed < 1 << 32:
        raise _Wrong("seed", tr("is out of range"), tr("use 0 to 4294967295"))
    if (speed := fields.get("speed")) is not None:
        try:
            SynthesisOptions(speed=speed)
        except SpeechError as error:
            raise _Wrong("speed", tr("is out of range"), str(error)) from None
    audio = fields.get("prompt_audio")
    if audio is not None and fields.get("voice") is not None:
        raise _Wrong("voice", tr("stands beside prompt_audio"), tr("keep one of the two"))
    return Task(
        number=number,
        line=line,
        input_text=text,
        output_name=name,
        asked_name=asked if asked and asked != name else None,
        prompt_audio=_inside(root, audio) if audio is not None else None,
        prompt_text=fields.get("prompt_text"),
        voice=fields.get("voice"),
        seed=seed,
        speed=speed,
        preset=preset,
    )


def _checked(row: dict[str, Any]) -> dict[str, Any]:
    """Fields of known names and the right types; one that is null or holds no text is one that is not there."""
    checked = {}
    for field, value in row.items():
        kind = _FIELDS.get(field)
        if kind is None:
            raise _Wrong(
                field[:80],
                tr("is no field") + nearest(field, _FIELDS),
                tr("known: ") + ", ".join(_FIELDS),
            )
        # Tables and data frames turn whole numbers into 42.0.
        if kind is int and isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None or value == "":
            continue
        allowed = (int, float) if kind is float else kind
        if not isinstance(value, allowed) or isinstance(value, bool):
            expected = {str: tr("a text"), int: tr("a whole number"), float: tr("a number")}
            raise _Wrong(field, tr("has the wrong type"), tr("it must be ") + expected[kind])
        if isinstance(value, str) and not _is_text(value):
            raise _Wrong(field, tr("holds half a character"), tr("remove lone surrogates"))
        checked[field] = value
    return checked


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _inside(root: Path, given: str) -> Path:
    """The file that a relative path means, if it lies in the root also when links are followed."""
    field, shown = "prompt_audio", given[:200]
    # Read as Windows does, both kinds of slash separate and drives are seen, on every system.
    parts = PureWindowsPath(given)
    if parts.anchor or ".." in parts.parts or "\0" in given:
        raise _Wrong(
            field,
            tr("{shown!r} leads out of the folder of tasks", shown=shown),
            tr("use a relative path without '..' (see --root)"),
        )
    try:
        path = root.joinpath(*parts.parts).resolve()
        size = path.stat().st_size if path.is_file() else None
    except OSError:  # a name that is too long, a loop of links
        path, size = root, None
    if not path.is_relative_to(root.resolve()):
        raise _Wrong(
            field,
            tr("{shown!r} is a link that leads out of the folder of tasks", shown=shown),
            tr("copy the file into it"),
        )
    if size is None:
        raise _Wrong(
            field,
            tr("{shown} not found", shown=shown),
            tr("put it into {root}", root=root),
        )
    if size > MAX_BYTES:
        raise _Wrong(
            field,
            tr("{shown} has {size} MB", shown=shown, size=size >> 20),
            tr("a reference may have {max_bytes} MB", max_bytes=MAX_BYTES >> 20),
        )
    return path
