"""`glm-tts detect`: whether recordings carry the mark of this voice."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipecat_glm_tts.wording import tr
from tts_service.cli.codes import EXIT_FAILED
from tts_service.cli.console import JsonOption, err, out, print_json
from tts_service.engine import SpeechError


def detect(
    files: Annotated[list[Path], typer.Argument(help=tr("Recordings: WAV, FLAC, MP3, Opus, M4A"))],
    thorough: Annotated[
        bool, typer.Option("--thorough", help=tr("Also find what plays up to 6 % faster or slower; takes longer"))
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say of each file what its samples and its metadata tell."""
    from tts_service.workshop import detector

    failed = False
    said = {
        detector.Mark.MARKED: tr("marked"),
        detector.Mark.NOT_MARKED: tr("not marked"),
        detector.Mark.UNKNOWN: tr("cannot tell"),
    }
    for file in files:
        try:
            found = detector.detect(file, thorough=thorough)
        except SpeechError as error:
            failed = True
            if as_json:
                print_json({"file": str(file), "error": str(error)})
            else:
                err.print(str(error), style="red", markup=False)
            continue
        if as_json:
            print_json({"file": str(file), **asdict(found)})
            continue
        words = tr(
            "{file}: {mark}; score {score:.1f}, by chance {chance:.0e}, from {begin:.0f} to {end:.0f} s",
            file=file,
            mark=said[found.mark],
            score=found.score,
            chance=found.chance,
            begin=found.begin,
            end=found.end,
        )
        if found.speed != 1:
            words += tr("; plays at {speed:.3f} of its tempo", speed=found.speed)
        words += tr("; its metadata say: {made}", made=_made(found.label)) if found.label else tr("; no metadata")
        out.print(words, markup=False)
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _made(label: str) -> str:
    """What a label says, short enough for a line; it may come from anybody."""
    try:
        fields = json.loads(label)
        told = f"Label {fields['Label']}, ContentProducer {fields['ContentProducer']}"
    except (ValueError, KeyError, TypeError):
        told = label
    return "".join(char if char.isprintable() else "?" for char in told[:120])
