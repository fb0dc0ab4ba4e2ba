"""Files that hold a list of objects as people have them: JSON Lines, a JSON array, CSV or TSV, in any encoding."""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError

MAX_LINE = 256 << 10
"""Characters of one object."""
MAX_STREAM = 256 << 20
"""Bytes taken from a pipe."""
_PIECE = 1 << 16
_ROUND_QUOTES = re.compile("[“”＂：，]")


@dataclass(frozen=True, slots=True)
class Broken:
    """Why there is no object at some place, and what to do about it."""

    problem: str
    fix: str


Row = tuple[int, dict[str, Any] | Broken]
"""Line, from 1, and what begins on it."""


@contextmanager
def kept(path: Path) -> Iterator[Path]:
    """The path of a file that can be read more than once: a copy of what comes through a pipe (`-`: standard input).

    Raises:
        SpeechError: It cannot be read, or never ends.
    """
    if str(path) != "-" and not (path.exists() and not path.is_file()):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="glm-tts-") as folder:
        copy = Path(folder) / "tasks"
        try:
            if str(path) == "-":
                if sys.stdin is None:
                    raise SpeechError(tr("the standard input is closed"))
                _spool(sys.stdin.buffer, copy)
            else:
                with path.open("rb") as file:
                    _spool(file, copy)
        except OSError as error:
            raise unreadable(path, error) from error
        yield copy


def _spool(source: BinaryIO, copy: Path) -> None:
    with copy.open("wb") as file:
        while piece := source.read(_PIECE):
            if file.tell() > MAX_STREAM:
                raise SpeechError(tr("the tasks have more than {max_stream} MB", max_stream=MAX_STREAM >> 20))
            file.write(piece)


def unreadable(path: Path, error: OSError) -> SpeechError:
    """Told with the system's reason."""
    reason = error.strerror or str(error)
    return SpeechError(tr("the task file {path} cannot be read: {reason}", path=path, reason=reason))


def rows(path: Path, columns: dict[str, type], note: Callable[[str], None] = lambda _: None) -> Iterator[Row]:
    """Read a file object by object; no more than one is in memory at a time.

    Args:
        path: UTF-8 with or without BOM, UTF-16, or GBK; any line ends. One JSON object a line, one JSON array of
            objects, or a table whose first line names the columns, separated by commas, semicolons or tabs.
        columns: The known fields and their types, which the cells of a table are turned into.
        note: Told what was guessed.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        encoding = _encoding(file)
        if encoding == "gb18030":
            note(tr("the file is not in UTF-8 and is read as GBK"))
        file.seek(0)
        errors = "replace" if encoding.startswith("utf-16") else "surrogateescape"
        text = io.TextIOWrapper(file, encoding, errors, newline=None)
        before, first = 0, ""
        while (first := text.readline(MAX_LINE + 1)).isspace():
            before += 1
        start = first.lstrip()[:1]
        if start == "[":
            yield from _array(text, first, before + 1)
        elif start != "{" and (delimiter := _delimiter(first, columns)):
            yield from _table(text, first, before + 1, delimiter, columns, note)
        else:
            yield from _lines(text, first, before + 1, encoding)


def _encoding(file: BinaryIO) -> str:
    head = file.read(4)
    if head.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if len(head) > 1 and (head[0] == 0) != (head[1] == 0):
        return "utf-16-be" if head[0] == 0 else "utf-16-le"
    file.seek(0)
    unicode = chinese = neither = 0
    while raw := file.readline(_PIECE):
        if raw.isascii():
            continue
        if _decodes(raw, "utf-8"):
            unicode += 1
        elif _decodes(raw, "gb18030"):
            chinese += 1
        else:
            neither += 1
    return "gb18030" if chinese > unicode and not neither else "utf-8"


def _decodes(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _lines(text: TextIO, line: str, number: int, encoding: str) -> Iterator[Row]:
    while line:
        if len(line) > MAX_LINE:
            yield number, _too_long()
            while line and not line.endswith("\n"):
                line = text.readline(MAX_LINE)
        elif not line.isspace():
            yield number, _object(line, encoding)
        line, number = text.readline(MAX_LINE + 1), number + 1


def _object(line: str, encoding: str) -> dict[str, Any] | Broken:
    if re.search("[\udc80-\udcff]", line):
        try:
            line.encode("utf-8", "surrogateescape").decode("utf-8")
            at = 0
        except UnicodeDecodeError as error:
            at = error.start
        name = "GBK" if encoding == "gb18030" else "UTF-8"
        return Broken(
            tr("is not {name} at byte {at}", name=name, at=at + 1),
            tr("save the file as UTF-8"),
        )
    try:
        return _checked(json.loads(line.strip().removesuffix(",")))
    except (ValueError, RecursionError) as error:
        return _no_json(line, error)


def _array(text: TextIO, buffer: str, line: int) -> Iterator[Row]:
    decoder, opened = json.JSONDecoder(), False
    while True:
        rest = buffer.lstrip(" \t\n," if opened else " \t\n")
        line += buffer[: len(buffer) - len(rest)].count("\n")
        buffer = rest
        if not buffer:
            if not (buffer := text.read(_PIECE)):
                return
        elif not opened:
            buffer, opened = buffer[1:], True
        elif buffer[0] == "]":
            if (buffer[1:] + text.read(_PIECE)).strip():
                yield (
                    line,
                    Broken(
                        tr("goes on after the end of its array"),
                        tr("write one array only, or one object a line"),
                    ),
                )
            return
        else:
            try:
                value, end = decoder.raw_decode(buffer)
            except (ValueError, RecursionError) as error:
                if len(buffer) <= MAX_LINE and (piece := text.read(_PIECE)):
                    buffer += piece
                    continue
                bad, _, buffer = buffer.partition("\n")
                yield line, _no_json(bad, error)
                line += 1
            else:
                yield line, _checked(value)
                line += buffer[:end].count("\n")
                buffer = buffer[end:]


def _checked(value: Any) -> dict[str, Any] | Broken:
    if isinstance(value, dict):
        return value
    return Broken(tr("is no JSON object"), _example())


def _example() -> str:
    return tr('write it as {{"input_text": "..."}}')


def _too_long() -> Broken:
    return Broken(tr("is longer than {max_line} KB", max_line=MAX_LINE >> 10), tr("split it up"))


def _no_json(line: str, error: Exception) -> Broken:
    """With the fix for what people do write instead."""
    position = error.pos if isinstance(error, json.JSONDecodeError) else 0
    problem = tr("is not JSON at character {position}", position=position + 1)
    shown = line.strip()
    if shown.startswith(("#", "//")):
        return Broken(problem, tr("remove the comment: JSON has none"))
    if re.match(r"[\[{,\s]*'", shown):
        return Broken(problem, tr('use double quotes (") and not single ones'))
    if re.match(r"\s*[}\]]", line[position:]) and line[:position].rstrip().endswith(","):
        return Broken(problem, tr("remove the comma before the closing bracket"))
    if _ROUND_QUOTES.match(line[position : position + 1]):
        return Broken(problem, tr("use plain quotes, colons and commas"))
    return Broken(problem, _example())


def _delimiter(header: str, columns: dict[str, type]) -> str | None:
    """What separates the columns of a first line that names `input_text`."""
    if len(header) > MAX_LINE:
        return None
    return next((mark for mark in "\t,;" if "input_text" in _cells(header, mark)), None)


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _table(
    text: TextIO,
    first: str,
    before: int,
    delimiter: str,
    columns: dict[str, type],
    note: Callable[[str], None],
) -> Iterator[Row]:
    header = _cells(first, delimiter)
    # A name that is nearly right is a slip of the pen, and told for every line; others are somebody's own.
    foreign = [name for name in header if name not in columns and not difflib.get_close_matches(name, columns, 1, 0.8)]
    if any(foreign):
        note(tr("columns that are ignored: ") + ", ".join(filter(None, foreign)))
    reader = csv.reader(iter(lambda: text.readline(MAX_LINE), ""), delimiter=delimiter)
    while True:
        line = before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield line, _too_long()
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(header):
            yield (
                line,
                Broken(
                    tr(
                        "has {cells_count} cells for {header_count} columns",
                        cells_count=len(cells),
                        header_count=len(header),
                    ),
                    tr("put double quotes around texts with commas"),
                ),
            )
            continue
        named = zip(header, cells, strict=False)
        yield line, {name: _typed(cell, columns.get(name, str)) for name, cell in named if cell and name not in foreign}


def _typed(cell: str, kind: type) -> Any:
    """The number that a cell holds where one is wanted; anything else as it stands."""
    if kind is str:
        return cell
    try:
        return float(cell)
    except ValueError:
        return cell
