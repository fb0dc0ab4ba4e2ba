"""Task files for batches: JSON Lines, one text with its voice a line, every line checked before any is spoken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, BinaryIO

from tts_service.engine import SpeechError
from tts_service.presets import presets
from tts_service.voices import MAX_BYTES, safe_name
from tts_service.wording import tr

MAX_LINE = 256 << 10
"""Bytes; some 80,000 hanzi."""
_FIELDS = {
    "input_text": str,
    "prompt_audio": str,
    "prompt_text": str,
    "output_name": str,
    "voice": str,
    "seed": int,
    "preset": str,
}


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
    prompt_audio: Path | None = None
    """Recording whose voice is cloned; exists and lies inside the root."""
    prompt_text: str | None = None
    """What is said in it."""
    voice: str | None = None
    seed: int | None = None
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
        where = tr(f"第 {self.line} 行", f"line {self.line}")
        return f"{where}, {self.field}: {'; '.join(filter(None, (self.problem, self.fix)))}"


class _Wrong(Exception):
    """Field, problem, fix."""


def read_tasks(path: Path, root: Path | None = None) -> Iterator[Task | Flaw]:
    """Read a task file line by line; only one line is in memory at a time.

    Args:
        path: JSON Lines in UTF-8, with or without BOM, any line ends; empty lines are skipped.
        root: Folder that `prompt_audio` is relative to and must lie in; None: the task file's.

    Raises:
        SpeechError: The file cannot be read.
    """
    root = root or path.resolve().parent
    try:
        with path.open("rb") as file:
            number = 0
            for line, raw in enumerate(_lines(file), start=1):
                if raw is not None and not raw.strip():
                    continue
                number += 1
                try:
                    yield _task(raw, number, line, root)
                except _Wrong as wrong:
                    yield Flaw(number, line, *wrong.args)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SpeechError(
            tr(f"无法读取任务文件 {path}：{reason}", f"the task file {path} cannot be read: {reason}")
        ) from error


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    """Lines without their ends; None for one that is too long."""
    if file.read(3) != b"\xef\xbb\xbf":
        file.seek(0)
    while raw := file.readline(MAX_LINE + 1):
        if len(raw) <= MAX_LINE:
            yield raw
            continue
        while raw and not raw.endswith(b"\n"):
            raw = file.readline(MAX_LINE)
        yield None


def _task(raw: bytes | None, number: int, line: int, root: Path) -> Task:
    fields = _fields(raw)
    text = fields.get("input_text", "")
    if not text.strip():
        raise _Wrong(
            "input_text", tr("缺失或为空", "is missing or empty"), tr("写上要说的话", "give the text to speak")
        )
    name = fields.get("output_name") or f"output_{number:03d}"
    try:
        name = safe_name(name.removesuffix(".wav"))
    except SpeechError as error:
        raise _Wrong("output_name", str(error), tr("换一个普通的文件名", "choose a plain file name")) from None
    if (preset := fields.get("preset")) is not None and preset not in (known := presets()):
        raise _Wrong(
            "preset",
            tr(f"没有预设 {preset!r}", f"there is no preset {preset!r}"),
            tr("可用：", "use ") + ", ".join(known),
        )
    if (seed := fields.get("seed")) is not None and not 0 <= seed < 1 << 32:
        raise _Wrong("seed", tr("超出范围", "is out of range"), tr("用 0 到 4294967295 的整数", "use 0 to 4294967295"))
    audio = fields.get("prompt_audio")
    if audio is not None and fields.get("voice") is not None:
        raise _Wrong(
            "voice", tr("与 prompt_audio 同时给出", "stands beside prompt_audio"), tr("只留一个", "keep one of the two")
        )
    return Task(
        number,
        line,
        text,
        name,
        _inside(root, audio) if audio is not None else None,
        fields.get("prompt_text"),
        fields.get("voice"),
        seed,
        preset,
    )


def _fields(raw: bytes | None) -> dict[str, Any]:
    """The object on a line, every field of a known name and the right type."""
    whole = tr("整行", "the line")
    if raw is None:
        raise _Wrong(
            whole,
            tr(f"超过 {MAX_LINE >> 10} KB", f"is longer than {MAX_LINE >> 10} KB"),
            tr("拆成几个任务", "split it up"),
        )
    try:
        document = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        problem = tr(f"第 {error.start + 1} 字节不是 UTF-8", f"is not UTF-8 at byte {error.start + 1}")
        raise _Wrong(whole, problem, tr("把文件另存为 UTF-8", "save the file as UTF-8")) from None
    except (ValueError, RecursionError) as error:
        problem = tr("不是 JSON", "is not JSON") + f" ({error})"
        raise _Wrong(whole, problem, tr('写成 {"input_text": "..."}', 'write it as {"input_text": "..."}')) from None
    if not isinstance(document, dict):
        raise _Wrong(
            whole,
            tr("不是 JSON 对象", "is no JSON object"),
            tr('写成 {"input_text": "..."}', 'write it as {"input_text": "..."}'),
        )
    known = tr("可用字段：", "known: ") + ", ".join(_FIELDS)
    for field, value in document.items():
        kind = _FIELDS.get(field)
        if kind is None:
            raise _Wrong(field[:80], tr("没有这个字段", "is no field"), known)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            expected = tr("文字", "a text") if kind is str else tr("整数", "a whole number")
            raise _Wrong(field, tr("类型不对", "has the wrong type"), tr(f"应为{expected}", f"it must be {expected}"))
        if isinstance(value, str) and not _is_text(value):
            raise _Wrong(
                field, tr("含有残缺的字符", "holds half a character"), tr("删去代理码位", "remove lone surrogates")
            )
    return document


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
            tr(f"{shown!r} 指向任务文件夹之外", f"{shown!r} leads out of the folder of tasks"),
            tr("用相对路径，不含 ..（或用 --root）", "use a relative path without '..' (see --root)"),
        )
    try:
        path = root.joinpath(*parts.parts).resolve()
        size = path.stat().st_size if path.is_file() else None
    except OSError:  # a name that is too long, a loop of links
        path, size = root, None
    if not path.is_relative_to(root.resolve()):
        raise _Wrong(
            field,
            tr(f"{shown!r} 是指向任务文件夹之外的链接", f"{shown!r} is a link that leads out of the folder of tasks"),
            tr("把文件复制进来", "copy the file into it"),
        )
    if size is None:
        raise _Wrong(
            field,
            tr(f"找不到 {shown}", f"{shown} not found"),
            tr(f"放到 {root} 里", f"put it into {root}"),
        )
    if size > MAX_BYTES:
        raise _Wrong(
            field,
            tr(f"{shown} 有 {size >> 20} MB", f"{shown} has {size >> 20} MB"),
            tr(f"参考录音最多 {MAX_BYTES >> 20} MB", f"a reference may have {MAX_BYTES >> 20} MB"),
        )
    return path
