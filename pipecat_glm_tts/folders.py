"""Where a user's own files of settings are looked for: the dictionary, presets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from platformdirs import user_config_path


def own_folders() -> Iterator[Path]:
    """Folders that belong to this run: `$GLM_TTS_CONFIGS` before `./configs`."""
    if chosen := os.environ.get("GLM_TTS_CONFIGS"):
        yield Path(chosen)
    yield Path("configs")


@lru_cache(maxsize=1)
def user_folder() -> Path:
    """The user's folder for settings, which comes after those."""
    return user_config_path("glm-tts", appauthor=False)
