"""`glm-tts batch`: a file of tasks to a folder and a zip of audio."""

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.markup import escape

from pipecat_glm_tts.wording import tr
from tts_service.cli.codes import EXIT_FAILED
from tts_service.cli.console import (
    BitrateOption,
    CheckpointOption,
    DictOption,
    EngineOption,
    JsonOption,
    LabelOption,
    LabelPlaceOption,
    LanguageOption,
    LibraryOption,
    arguments,
    check_engine,
    engine_settings,
    err,
    load_engine,
    load_lexicon,
    out,
    print_json,
    recognise,
    warn,
)
from tts_service.engine import SpeechError, SynthesisOptions
from tts_service.files import check_writable


def batch(
    tasks: Annotated[
        Path,
        typer.Argument(help=tr("Tasks: JSON Lines, a JSON array, CSV or TSV; - for standard input")),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help=tr("Folder for the results"))] = Path("@outputs/batch"),
    root: Annotated[
        Path | None,
        typer.Option(help=tr("Folder of the prompt_audio; default: beside the tasks")),
    ] = None,
    voice: Annotated[
        str | None,
        typer.Option(
            "--voice",
            "-v",
            help=tr("For every task that names none, instead of cloning"),
        ),
    ] = None,
    voices: LibraryOption = None,
    engine: EngineOption = "kokoro",
    checkpoint: CheckpointOption = None,
    speed: Annotated[float | None, typer.Option(help=tr("Tempo, 0.5 to 2"))] = None,
    language: LanguageOption = None,
    preset: Annotated[str, typer.Option(help=tr("Preset for tasks that name none"))] = "batch",
    sample_rate: Annotated[int | None, typer.Option(help=tr("Sample rate in Hz"))] = None,
    format: Annotated[str, typer.Option(help=tr("wav, pcm, flac, mp3 or opus"))] = "wav",
    bitrate: BitrateOption = None,
    subtitles: Annotated[
        str | None,
        typer.Option(metavar="srt|vtt", help=tr("Write subtitles too, a cue a clause")),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help=tr("Tasks at one time"))] = 1,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help=tr("Run on a Ray cluster (local: start one here)"),
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help=tr("Only check the tasks"))] = False,
    label: LabelOption = "off",
    label_at: LabelPlaceOption = "beginning",
    dict_: DictOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every line, speak the good ones, report all."""
    from rich.progress import Progress

    from tts_service.speech.audible import Audible, Kind, Place
    from tts_service.voices.library import Library, check_voice
    from tts_service.workshop.audio_file import check_format
    from tts_service.workshop.batch import FORMATS, REPORT, Batch
    from tts_service.workshop.maker import REFERENCES, LocalMaker, Maker
    from tts_service.workshop.presets import preset as preset_named
    from tts_service.workshop.subtitles import FORMS
    from tts_service.workshop.task_file import kept
    from tts_service.workshop.tasks import Flaw, read_tasks

    library = Library(voices)
    with ExitStack() as stack:
        with arguments():
            check_engine(engine)
            audible = Audible(cast(Kind, label), cast(Place, label_at))
            if ray is not None and audible.kind != "off":
                raise SpeechError(tr("--label is not known on a Ray cluster; leave out --ray"))
            options: dict[str, Any] = dict(preset_named(preset).options)
            asked = {"sample_rate": sample_rate, "speed": speed, "language": language}
            options.update({name: value for name, value in asked.items() if value is not None})
            SynthesisOptions(**options)
            if format not in FORMATS:
                raise SpeechError(tr("there is no format {format!r}; use one of ", format=format) + ", ".join(FORMATS))
            if subtitles is not None and subtitles not in FORMS:
                raise SpeechError(tr("--subtitles are one of {forms}", forms=", ".join(FORMS)))
            check_format(format, options.get("sample_rate", 24000), bitrate)
            if bitrate is not None:
                options["bitrate"] = bitrate
            if root is not None and not root.is_dir():
                raise SpeechError(tr("--root: there is no folder {root}", root=root))
            check_writable(output / REPORT)
            check_voice(engine, library, voice)
            load_lexicon(dict_)
            source = stack.enter_context(kept(tasks))
            root = root or (Path.cwd() if source != tasks else None)
            if next(read_tasks(source, root), None) is None:
                raise SpeechError(tr("there are no tasks in {tasks}", tasks=tasks))
        maker: Maker
        if ray is not None:
            from tts_service.workshop.cluster import ray_workers

            settings = engine_settings(engine, checkpoint, voices)
            maker = stack.enter_context(
                ray_workers(ray, jobs, engine, settings, library=voices, voice=voice, dictionary=dict_)
            )
        else:
            synthesizer = stack.enter_context(load_engine(engine, checkpoint, voices))
            synthesizer.audible = audible
            maker = LocalMaker(
                synthesizer, library, output / REFERENCES, voice=voice, lexicon=dict_, transcribe=recognise
            )
        work = Batch(source, output, maker, root, jobs, format, options, engine, subtitles)
        total = flawed = 0
        for item in work.check():
            total += 1
            if isinstance(item, Flaw):
                flawed += 1
                err.print(f"[yellow]![/] {escape(str(item))}")
        for note in work.notes:
            warn(note)
        err.print(tr("{total} tasks, {flawed} with problems", total=total, flawed=flawed))
        if check:
            raise typer.Exit(EXIT_FAILED if flawed else 0)
        counts = {"done": 0, "kept": 0, "failed": 0}
        with Progress(console=err, disable=not err.is_terminal) as progress:
            bar = progress.add_task(tr("Speaking"), total=total)
            for outcome in work.run():
                counts[outcome.status] += 1
                progress.advance(bar)
                if as_json:
                    print_json(asdict(outcome))
                else:
                    # Beside the bar where both are seen; else results go where results go.
                    (progress.console if err.is_terminal and out.is_terminal else out).print(_line(outcome))
        archive = work.archive() if work.files else None
    summary = tr(
        "{done} done, {kept} kept, {failed} failed",
        **counts,
    )
    err.print(summary + (f" -> {archive}" if archive else ""), markup=False)
    if counts["failed"]:
        raise typer.Exit(EXIT_FAILED)


def _line(outcome: Any) -> str:
    task = tr("task {task}", task=outcome.task)
    if outcome.status == "failed":
        return f"[red]\\[✗][/] {task}: {escape(outcome.error)} -> " + tr("skipped")
    kept = tr(" (kept)") if outcome.status == "kept" else ""
    return f"[green]\\[✓][/] {task} -> {escape(outcome.file)}{kept}"
