"""Fetching the published checkpoint: listed, resumed, checked against the size and hash that its hub gives.

Speaks the protocols of Hugging Face (and its mirrors, `HF_ENDPOINT`) and of ModelScope (`MODELSCOPE_ENDPOINT`). Nothing
that is fetched is run, but for one file: the 32 kHz vocoder is published as a program only (`checkpoint.VOCODER_32K`).
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from loguru import logger
from platformdirs import user_data_path

from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError
from tts_service.files import cannot_write

MODEL = {"huggingface": "zai-org/GLM-TTS", "modelscope": "ZhipuAI/GLM-TTS"}
SPEAKER = {"huggingface": "FunAudioLLM/CosyVoice2-0.5B", "modelscope": "iic/CosyVoice2-0.5B"}
"""Where the CAM++ speaker encoder is fetched from if the model's own repository does not carry it."""
SPEAKER_FILE = "frontend/campplus.onnx"
_FOLDERS = ("llm/", "flow/", "hift/", "vocos2d/", "speech_tokenizer/", "vq32k-phoneme-tokenizer/", "frontend/")
_ENDPOINTS = {
    "huggingface": ("HF_ENDPOINT", "https://huggingface.co"),
    "modelscope": ("MODELSCOPE_ENDPOINT", "https://modelscope.cn"),
}
_ATTEMPTS = 5
_TIMEOUT = 30.0
_BLOCK = 1 << 20

Progress = Callable[[str, int, int], None]
"""Told the file, the bytes of the whole checkpoint that are there, and the bytes there will be."""


def checkpoint_folder() -> Path:
    """Where the checkpoint is kept: `$GLM_TTS_CHECKPOINT`, else in the user's data directory."""
    chosen = os.environ.get("GLM_TTS_CHECKPOINT")
    return Path(chosen) if chosen else user_data_path("glm-tts", appauthor=False) / "checkpoint"


class DownloadError(SpeechError):
    """The checkpoint could not be fetched; the message says what to do."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the hub lists it."""

    path: str
    """Where it belongs below the checkpoint folder."""
    url: str
    size: int
    sha256: str | None
    git_sha1: str | None
    """Of the git blob, for small files that the hub keeps in git itself."""


def download(target: Path, source: str = "huggingface", progress: Progress = lambda name, done, total: None) -> int:
    """Fetch the checkpoint into a folder; files that are there and intact are kept, broken-off ones are continued.

    Args:
        target: The folder; made if need be.
        source: `huggingface` or `modelscope`.
        progress: Called every megabyte.

    Returns:
        Bytes of the checkpoint.

    Raises:
        DownloadError: The hub cannot be reached, lists no such model, or sends something else than it lists; or the
            disk is full.
    """
    if source not in MODEL:
        raise DownloadError(tr("there is no source {source!r}; use {model}", source=source, model=" or ".join(MODEL)))
    files = [file for file in listing(source, MODEL[source]) if _wanted(file.path)]
    if not files:
        raise DownloadError(
            tr(
                "{model} on {source} lists none of the expected folders ({folders})",
                model=MODEL[source],
                source=source,
                folders=", ".join(_FOLDERS),
            )
        )
    if not any(file.path == SPEAKER_FILE for file in files):
        files += [_moved(file) for file in listing(source, SPEAKER[source]) if file.path == "campplus.onnx"]
    total = sum(file.size for file in files)
    try:
        target.mkdir(parents=True, exist_ok=True)
        present = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        if (free := shutil.disk_usage(target).free) < total - present:
            raise DownloadError(
                tr(
                    "{target} has {free} MB free; the checkpoint needs {total} MB more",
                    target=target,
                    free=free >> 20,
                    total=total - present >> 20,
                )
            )
        done = 0
        for file in files:
            _fetch(file, target, partial(_report, progress, file.path, done, total))
            done += file.size
    except OSError as error:
        raise DownloadError(str(cannot_write(target, error))) from error
    return total


def _report(progress: Progress, name: str, before: int, total: int, fresh: int) -> None:
    progress(name, before + fresh, total)


def listing(source: str, repository: str) -> list[RemoteFile]:
    """All files of a repository, as its hub lists them."""
    variable, default = _ENDPOINTS[source]
    endpoint = os.environ.get(variable, default).rstrip("/")
    quoted = urllib.parse.quote(repository)
    if source == "huggingface":
        entries = _json(f"{endpoint}/api/models/{quoted}/tree/main?recursive=true", variable)
        base = f"{endpoint}/{quoted}/resolve/main/"
    else:
        answer = _json(f"{endpoint}/api/v1/models/{quoted}/repo/files?Revision=master&Recursive=true", variable)
        entries = (answer.get("Data") or {}).get("Files") if isinstance(answer, dict) else None
        base = f"{endpoint}/models/{quoted}/resolve/master/"
    if not isinstance(entries, list):
        raise DownloadError(
            tr(
                "{endpoint} does not list {repository} the way {source} does; check {variable}",
                endpoint=endpoint,
                repository=repository,
                source=source,
                variable=variable,
            )
        )
    return [file for entry in entries if (file := _remote_file(entry, base)) is not None]


def _remote_file(entry: Any, base: str) -> RemoteFile | None:
    """One entry of either hub's listing; None for folders."""
    fields = {str(name).lower(): value for name, value in entry.items()} if isinstance(entry, dict) else {}
    if fields.get("type") in ("directory", "tree"):
        return None
    path, size, lfs = fields.get("path"), fields.get("size"), fields.get("lfs")
    if not isinstance(path, str) or not isinstance(size, int) or size < 0:
        raise DownloadError(tr("the hub lists a file without path and size: {entry}", entry=str(entry)[:120]))
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or "\\" in path or ":" in path:
        raise DownloadError(tr("the hub lists a file outside its repository: {path!r}", path=path))
    sha256 = lfs.get("oid") if isinstance(lfs, dict) else fields.get("sha256")
    git = None if isinstance(lfs, dict) else fields.get("oid")
    return RemoteFile(path, base + urllib.parse.quote(path), size, sha256 or None, git or None)


def _wanted(path: str) -> bool:
    return path.startswith(_FOLDERS) and not path.endswith((".py", ".md"))


def _moved(file: RemoteFile) -> RemoteFile:
    return RemoteFile(SPEAKER_FILE, file.url, file.size, file.sha256, file.git_sha1)


def _json(url: str, variable: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise DownloadError(
            tr(
                "{url} answered {code} {reason}; check {variable} and the name of the model",
                url=url,
                code=error.code,
                reason=error.reason,
                variable=variable,
            )
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(
            tr(
                "{netloc} cannot be reached ({reason}). Check the connection, set {variable} to a mirror, choose the "
                "other source (huggingface, modelscope), or copy a checkpoint folder from another machine",
                netloc=urllib.parse.urlsplit(url).netloc,
                reason=reason,
                variable=variable,
            )
        ) from error
    except ValueError as error:
        raise DownloadError(
            tr("{url} did not answer with JSON; check {variable}", url=url, variable=variable)
        ) from error


class _Digest:
    """Size and hash of what has arrived."""

    def __init__(self, file: RemoteFile) -> None:
        self.size = 0
        self._expected = file
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)

    def update(self, block: bytes) -> None:
        self.size += len(block)
        self._sha256.update(block)
        self._git.update(block)

    def read(self, path: Path) -> None:
        with path.open("rb") as stored:
            while block := stored.read(_BLOCK):
                self.update(block)

    @property
    def matches(self) -> bool:
        file = self._expected
        if self.size != file.size:
            return False
        if file.sha256 is not None:
            return self._sha256.hexdigest() == file.sha256
        return file.git_sha1 is None or self._git.hexdigest() == file.git_sha1


def _fetch(file: RemoteFile, target: Path, progress: Callable[[int], None]) -> None:
    path = target / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.stat().st_size == file.size:
        stored = _Digest(file)
        stored.read(path)
        if stored.matches:
            progress(file.size)
            return
        logger.warning(f"{path} is damaged and is fetched again")
    growing = path.with_name(path.name + ".incomplete")
    problem: object = None
    for _ in range(_ATTEMPTS):
        try:
            digest = _continue(file, growing, progress)
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            problem = getattr(error, "reason", None) or error
            continue
        if digest.matches:
            growing.replace(path)
            return
        if digest.size >= file.size:
            growing.unlink()
            problem = tr("size or hash differ from what the hub lists")
        else:
            problem = tr("the connection broke off after {size} of {whole} bytes", size=digest.size, whole=file.size)
    raise DownloadError(
        tr(
            "{path} could not be fetched after {attempts} attempts: {problem}. Run the command again; it goes on "
            "where it stopped",
            path=file.path,
            attempts=_ATTEMPTS,
            problem=problem,
        )
    )


def _continue(file: RemoteFile, growing: Path, progress: Callable[[int], None]) -> _Digest:
    """Append to what is there, if that is shorter than the file, until the server has no more or sends too much."""
    digest = _Digest(file)
    if growing.is_file():
        digest.read(growing)
    if digest.size >= file.size:
        return digest
    request = urllib.request.Request(file.url, headers={"Range": f"bytes={digest.size}-"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        if answer.status != http.client.PARTIAL_CONTENT:
            digest = _Digest(file)  # the server begins anew
        with growing.open("ab" if digest.size else "wb") as stored:
            while digest.size <= file.size and (block := answer.read(_BLOCK)):
                stored.write(block)
                digest.update(block)
                progress(min(digest.size, file.size))
    return digest
