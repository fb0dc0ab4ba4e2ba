"""Where files lie that are made once and used ever after: joined models, derived graphs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import platformdirs

from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError

CACHE_VARIABLE = "GLM_TTS_CACHE"


def cache_directory(chosen: Path | None = None) -> Path:
    """The folder for files made once: `chosen`, else `GLM_TTS_CACHE`, else the user's cache folder. Created if missing.

    One that has everything may be read-only, as in an image: whoever makes something calls `prepare` first.

    Raises:
        SpeechError: It cannot be created or written.
    """
    folder = chosen or Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("glm-tts", appauthor=False))
    folder = folder.expanduser()
    if not folder.is_dir():
        prepare(folder)
    return folder


def prepare(folder: Path) -> None:
    """Create a cache folder if it is missing, and see whether something can be written there.

    Raises:
        SpeechError: Nothing can.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SpeechError(
            tr(
                "the cache folder {folder} cannot be written ({reason}); make it writable or set {cache_variable} to "
                "a folder that is",
                folder=folder,
                reason=error.strerror,
                cache_variable=CACHE_VARIABLE,
            )
        ) from error
