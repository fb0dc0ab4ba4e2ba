"""What a plain install leaves out, and how whoever needs it is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipecat_glm_tts.errors import SpeechError
from pipecat_glm_tts.wording import tr


def is_ours(module: str | None) -> bool:
    """Whether a module belongs to this distribution: no command could install it."""
    return (module or "").split(".")[0] in ("pipecat_glm_tts", "agent", "g2p", "tts_service")


def missing(extra: str, package: str | None) -> str:
    """The sentence that names the extra of a missing package and the command."""
    from importlib.metadata import PackageNotFoundError, distribution  # slow to import, and seldom needed

    try:
        distribution("pipecat-glm-tts")
        command = f"pip install 'pipecat-glm-tts[{extra}]'"  # what is there already is not asked of an index
    except PackageNotFoundError:
        command = f"pip install --editable '{Path(__file__).resolve().parent.parent}[{extra}]'"
    return tr("the package {package} is missing; install it with: {command}", package=package, command=command)


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Around imports that need an extra.

    Raises:
        SpeechError: A package of that extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if is_ours(error.name):
            raise
        raise SpeechError(missing(extra, error.name)) from error
