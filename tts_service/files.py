"""The way out: results go into what is there, or are written whole or not at all; and files known by their content."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import RawIOBase
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO, cast

from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError

STDOUT = Path("/dev/stdout")
"""The standard output, by this name on every system."""
_DESCRIPTOR = re.compile(r"/dev/(?:(stdout)|(stderr)|fd/(\d+))|/proc/(?:self|\d+)/fd/(\d+)")
_NOT_REPLACED = (errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM)


@contextmanager
def published(target: Path) -> Iterator[BinaryIO]:
    """A file to write to, whose content is at `target` when the block succeeds.

    A plain file appears whole, by an atomic rename: no reader ever sees half of it, and of several writers the last one
    to finish stays. One that was there keeps its mode, and whoever may read new files of this account may read a new
    one. Links are followed. Pipes, sockets, terminals and other character devices are written to as the block goes on;
    nothing is ever put in their place. Disks are refused.

    Raises:
        SpeechError: The place cannot be written.
        BrokenPipeError: Whoever read from it has left.
    """
    try:
        with _opened(target) as file:
            yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_write(target, error) from error


def cannot_write(target: Path, error: OSError) -> SpeechError:
    """What kept a place from being written, with what can be done about it."""
    reason = error.strerror or str(error)
    return SpeechError(tr("{target} cannot be written ({reason}); ", target=target, reason=reason) + _fix(error))


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        SpeechError: That cannot be done.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def _fix(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return tr("make room or choose another folder")
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return tr("choose a place that you may write to")
        case errno.ENAMETOOLONG:
            return tr("give it a shorter name (255 bytes at most)")
        case errno.EISDIR:
            return tr("it is a folder: name a file in it")
        case errno.ENOENT | errno.ENOTDIR | errno.ELOOP:
            return tr("check its path or choose another folder")
        case errno.ENOTBLK:
            return tr("it is a disk: name a file")
    return tr("choose another folder")


def check_writable(target: Path) -> None:
    """Tell now what would keep `published` from working, as far as it can be known without writing.

    Raises:
        SpeechError: The place cannot be written.
    """
    if _DESCRIPTOR.fullmatch(target.as_posix()):
        return
    try:
        kind = _kind(target)
        if kind is not None:
            if not os.access(target, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        folder = Path(os.path.realpath(target)).parent
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise cannot_write(target, error) from error


def _kind(target: Path) -> int | None:
    """What is there, links followed, as `stat.S_IFMT` has it; None: nothing yet."""
    try:
        kind = stat.S_IFMT(target.stat().st_mode)
    except FileNotFoundError:
        return None
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if kind == stat.S_IFBLK:
        raise OSError(errno.ENOTBLK, tr("a block device"))
    return kind


@contextmanager
def _opened(target: Path) -> Iterator[BinaryIO]:
    if found := _DESCRIPTOR.fullmatch(target.as_posix()):
        with _descriptor(found) as file:
            yield cast(BinaryIO, Through(file))
        return
    kind = _kind(target)
    if kind in (None, stat.S_IFREG):
        with _replacing(Path(os.path.realpath(target)), exists=kind is not None) as file:
            yield file
    elif kind == stat.S_IFSOCK:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(target))
            with connection.makefile("wb") as file:
                yield cast(BinaryIO, Through(file))
    else:
        with os.fdopen(os.open(target, os.O_WRONLY), "wb") as file:
            yield cast(BinaryIO, Through(file))


def _descriptor(found: re.Match[str]) -> BinaryIO:
    out, err, *numbers = found.groups()
    number = 1 if out else 2 if err else int(next(filter(None, numbers)))
    copy = os.dup(number)
    if os.name == "posix":
        os.set_blocking(copy, True)
    return os.fdopen(copy, "wb")


@contextmanager
def _replacing(target: Path, *, exists: bool) -> Iterator[BinaryIO]:
    if exists and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    # Its name tells what it was to become, and is never longer than file systems take.
    begun = target.name.encode(errors="surrogateescape")[:200].decode(errors="ignore")
    partial = target.with_name(f".{begun}.{token_hex(8)}.part")
    try:
        try:
            file = partial.open("xb")
        except PermissionError:
            if not exists:
                raise
            # The file may be written where its folder may not.
            partial = Path(tempfile.gettempdir()) / partial.name
            file = partial.open("xb")
        with file:
            if exists and os.name == "posix":
                _dress(file.fileno(), target.stat())
            yield file
            file.flush()
            os.fsync(file.fileno())
        try:
            os.replace(partial, target)
        except OSError as error:
            if not exists or error.errno not in _NOT_REPLACED:
                raise
            # A single file that is mounted into a container can be rewritten, not replaced.
            shutil.copyfile(partial, target)
    finally:
        with suppress(OSError):
            partial.unlink()


def _dress(file: int, before: os.stat_result) -> None:
    """Give the new file the owner and the mode of the one whose place it takes."""
    if os.geteuid() == 0:
        with suppress(OSError):
            os.fchown(file, before.st_uid, before.st_gid)
    os.fchmod(file, stat.S_IMODE(before.st_mode))


class Through(RawIOBase):
    """A pipe or a device: every write is delivered at once, and nothing is gone back to.

    A plain file that the shell has opened for us can be gone back in if it is ours from its beginning.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._whole = _is_whole(file)

    def write(self, data: Any) -> int:
        """All of it."""
        written = self._file.write(data)
        self._file.flush()
        return written

    def seekable(self) -> bool:
        """Whether lengths can be written into a header afterwards."""
        return self._whole

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As any file's, where `seekable`."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As any file's, where `seekable`."""
        return self._file.tell()


def _is_whole(file: BinaryIO) -> bool:
    if os.name != "posix" or not file.seekable() or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return False
    import fcntl

    return file.tell() == 0 and not fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & os.O_APPEND


def file_sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
