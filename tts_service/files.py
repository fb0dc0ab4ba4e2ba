"""Files: written whole or not at all, and known by their content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from tts_service.engine import SpeechError


@contextmanager
def published(target: Path) -> Iterator[Path]:
    """A path beside `target`; what the block writes there takes the target's place when the block succeeds.

    The rename is atomic: no reader ever sees half a file, and of several writers the last one to finish stays. Whoever
    may read new files of this account may read this one.

    Raises:
        SpeechError: The place cannot be written.
    """
    partial = target.with_name(f".{target.name}.{token_hex(8)}.part")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, target)
    except OSError as error:
        reason = error.strerror or error
        raise SpeechError(f"{target} cannot be written ({reason}); make room or choose another folder") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def file_sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
