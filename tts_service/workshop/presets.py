"""Named ways to speak, from `configs/presets.yaml` and a user's own."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from pipecat_glm_tts.folders import own_folders, user_folder
from pipecat_glm_tts.wording import nearest, tr
from tts_service.engine import SpeechError, SynthesisOptions

FILE_NAME = "presets.yaml"
_PACKAGED = Path(__file__).resolve().parents[2] / "configs" / FILE_NAME
OPTIONS = tuple(field.name for field in fields(SynthesisOptions))
_ABSENT = {"kokoro": ("seed", "sampling", "kv_cache", "whole", "max_length")}
"""Options that an engine has no use for."""


@dataclass(frozen=True, slots=True)
class Preset:
    """Options for one occasion."""

    name: str
    title: str
    """Chinese and English, ` / ` between them; so is `about`."""
    about: str
    options: dict[str, Any]
    """Fields of `SynthesisOptions`."""
    stream: bool
    """Whether sound is wanted while it is being made."""


def presets(path: Path | None = None) -> dict[str, Preset]:
    """All presets by name.

    Args:
        path: A YAML file; None: those that come along, and the first file of a user's own in `$GLM_TTS_CONFIGS`,
            `./configs` or the user's folder for settings, which adds to them and goes before them.

    Raises:
        SpeechError: A file is not as it should be; the message names preset and field.
    """
    if path is not None:
        return _read(path)
    files = (folder.absolute() / FILE_NAME for folder in (*own_folders(), user_folder()))
    own = next((file for file in files if file.is_file()), _PACKAGED)
    return _read(_PACKAGED) | ({} if own == _PACKAGED else _read(own))


def _read(path: Path) -> dict[str, Preset]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpeechError(tr("{path} cannot be read: {error}", path=path, error=error)) from error
    if not isinstance(document, dict):
        raise SpeechError(tr("{path} must hold presets by name, each with title, about, options and stream", path=path))
    return {str(name): _preset(str(name), entry, path) for name, entry in document.items()}


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        SpeechError: There is none; the message lists those that exist.
    """
    known = presets()
    if name not in known:
        raise SpeechError(
            tr("there is no preset {name!r}", name=name) + nearest(name, known) + tr("; use one of ") + ", ".join(known)
        )
    return known[name]


def honoured(engine: str, options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What an engine can make of options: those that it has, and the names of those that it has not."""
    absent = [name for name in options if name in _ABSENT.get(engine, ())]
    return {name: value for name, value in options.items() if name not in absent}, absent


def native_rate(engine: str, rate: int) -> dict[str, int]:
    """The option that lets an engine come closest to a sample rate (Hz) by itself; the rest is resampling."""
    return {"sample_rate": 32000 if rate >= 32000 else 24000} if engine == "glm" else {}


def _preset(name: str, entry: Any, path: Path) -> Preset:
    if not isinstance(entry, dict) or set(entry) != {"title", "about", "options", "stream"}:
        raise SpeechError(
            tr("{path}: preset {name!r} must have exactly title, about, options and stream", path=path, name=name)
        )
    options = entry["options"]
    if not isinstance(options, dict) or not set(options) <= set(OPTIONS):
        raise SpeechError(
            tr(
                "{path}: options of preset {name!r} may be {known}, and not {options!r}",
                path=path,
                name=name,
                known=", ".join(OPTIONS),
                options=options,
            )
        )
    try:
        SynthesisOptions(**options)
    except (SpeechError, TypeError) as error:
        raise SpeechError(tr("{path}: preset {name!r}: {error}", path=path, name=name, error=error)) from error
    return Preset(name, str(entry["title"]), str(entry["about"]), options, bool(entry["stream"]))
