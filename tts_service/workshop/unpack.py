"""Zip archives from strangers, unpacked without harm."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PureWindowsPath

from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError
from tts_service.files import make_folder, published

MAX_FILES = 2000
MAX_TOTAL = 1 << 30
"""Bytes of everything together, unpacked."""
MAX_FILE = 64 << 20
SUFFIXES = (".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aiff", ".aif")


def unpack_recordings(archive: Path, folder: Path) -> list[Path]:
    """Unpack the recordings of an archive; anything else in it is left out.

    What an archive says of its sizes is not believed: bytes are counted while they are written.

    Args:
        archive: A zip.
        folder: Where they go; nothing is written outside it.

    Returns:
        The files written.

    Raises:
        SpeechError: It is no zip, is damaged, is packed by a rare method, holds a path that leads out, a link or a
            password, or is too large.
    """
    written: list[Path] = []
    left = MAX_TOTAL
    try:
        with zipfile.ZipFile(archive) as file:
            members = [member for member in file.infolist() if not member.is_dir()]
            if len(members) > MAX_FILES:
                raise SpeechError(
                    tr(
                        "{name} holds {members_count} files; at most {max_files} are taken",
                        name=archive.name,
                        members_count=len(members),
                        max_files=MAX_FILES,
                    )
                )
            for member in members:
                target = folder.joinpath(*_parts(member))
                if target.suffix.lower() not in SUFFIXES:
                    continue
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise SpeechError(
                        tr("{name} is packed by a rare method; pack it anew as an ordinary zip", name=archive.name)
                    )
                make_folder(target.parent)
                left -= _copy(file, member, target, min(MAX_FILE, left))
                written.append(target)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError, OSError) as error:
        raise SpeechError(tr("{name} cannot be unpacked: {error}", name=archive.name, error=error)) from error
    return written


def _parts(member: zipfile.ZipInfo) -> tuple[str, ...]:
    path = PureWindowsPath(member.filename)
    if path.anchor or ".." in path.parts or not path.parts:
        raise SpeechError(
            tr("the archive holds {filename!r}, which leads out of its folder", filename=member.filename[:100])
        )
    if stat.S_ISLNK(member.external_attr >> 16):
        raise SpeechError(tr("the archive holds {filename!r}, which is a link", filename=member.filename[:100]))
    return path.parts


def _copy(file: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, limit: int) -> int:
    with file.open(member) as source, published(target) as sink:
        size = 0
        while piece := source.read(1 << 16):
            size += len(piece)
            if size > limit:
                raise SpeechError(
                    tr(
                        "{filename!r} in the archive unpacks to more than {limit} MB",
                        filename=member.filename[:100],
                        limit=limit >> 20,
                    )
                )
            sink.write(piece)
    return size
