"""Zip archives from strangers, unpacked without harm."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PureWindowsPath

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
                raise SpeechError(f"{archive.name} holds {len(members)} files; at most {MAX_FILES} are taken")
            for member in members:
                target = folder.joinpath(*_parts(member))
                if target.suffix.lower() not in SUFFIXES:
                    continue
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise SpeechError(f"{archive.name} is packed by a rare method; pack it anew as an ordinary zip")
                make_folder(target.parent)
                left -= _copy(file, member, target, min(MAX_FILE, left))
                written.append(target)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError, OSError) as error:
        raise SpeechError(f"{archive.name} cannot be unpacked: {error}") from error
    return written


def _parts(member: zipfile.ZipInfo) -> tuple[str, ...]:
    path = PureWindowsPath(member.filename)
    if path.anchor or ".." in path.parts or not path.parts:
        raise SpeechError(f"the archive holds {member.filename[:100]!r}, which leads out of its folder")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise SpeechError(f"the archive holds {member.filename[:100]!r}, which is a link")
    return path.parts


def _copy(file: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, limit: int) -> int:
    with file.open(member) as source, published(target) as sink:
        size = 0
        while piece := source.read(1 << 16):
            size += len(piece)
            if size > limit:
                raise SpeechError(f"{member.filename[:100]!r} in the archive unpacks to more than {limit >> 20} MB")
            sink.write(piece)
    return size
