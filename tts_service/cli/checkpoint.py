"""`glm-tts download` and `glm-tts doctor`: the GLM-TTS checkpoint, and whether this machine can speak with it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from pipecat_glm_tts.wording import tr
from tts_service.cli.codes import EXIT_FAILED
from tts_service.cli.console import CheckpointOption, JsonOption, err, out, print_json
from tts_service.engine import SpeechError

if TYPE_CHECKING:
    from tts_service.glm.doctor import Finding


def download(
    source: Annotated[str, typer.Option("--from", help=tr("huggingface or modelscope"))] = "huggingface",
    to: CheckpointOption = None,
) -> None:
    """Fetch what is missing, continue what was broken off, check everything."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from tts_service.glm.published.download import MODEL, checkpoint_folder
    from tts_service.glm.published.download import download as fetch

    if source not in MODEL:
        raise typer.BadParameter(
            tr("there is no source {source!r}; use {known}", source=source, known=", ".join(MODEL))
        )
    folder = to or checkpoint_folder()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        bar = progress.add_task("", total=None)
        size = fetch(
            folder,
            source,
            lambda name, done, total: progress.update(bar, description=escape(name), completed=done, total=total),
        )
    out.print(f"{folder}  {size / 1e9:.2f} GB", markup=False)


def doctor(
    checkpoint: CheckpointOption = None,
    load: Annotated[bool, typer.Option("--load", help=tr("Also read and check every weight"))] = False,
    as_json: JsonOption = False,
) -> None:
    """Exit code 1 if GLM-TTS cannot speak here."""
    from tts_service.glm.doctor import examine
    from tts_service.glm.published.download import checkpoint_folder

    findings = examine(checkpoint or checkpoint_folder(), load=load)
    everything = [_embedded(), *findings]
    if as_json:
        print_json([asdict(finding) for finding in everything])
    for finding in everything if not as_json else ():
        mark = "[green]✓[/]" if finding.good else "[red]✗[/]"
        out.print(f"{mark} {escape(finding.subject)}: {escape(finding.detail)}")
    if not all(finding.good for finding in findings):
        err.print(
            tr("GLM-TTS cannot speak here yet; the embedded voice needs none of this: glm-tts say 你好"),
            markup=False,
        )
        raise typer.Exit(EXIT_FAILED)


def _embedded() -> Finding:
    """Whether the embedded voice, which needs neither checkpoint nor GPU, keeps up with speech here."""
    import tts_service
    from tts_service.glm.doctor import Finding
    from tts_service.speech.pace import measure

    subject = tr("embedded voice")
    try:
        with tts_service.load("kokoro") as voice:
            pace = measure(voice)
    except SpeechError as error:
        return Finding(subject, False, str(error))
    return Finding(subject, pace.talkers > 0, str(pace))
