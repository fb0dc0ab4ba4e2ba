"""`glm-tts voices`: the voices that come along, and the library of recorded ones."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipecat_glm_tts.extras import needs
from pipecat_glm_tts.wording import side, tr
from tts_service.cli.codes import EXIT_FAILED
from tts_service.cli.console import (
    App,
    EngineOption,
    JsonOption,
    LibraryOption,
    arguments,
    check_engine,
    err,
    out,
    print_json,
    recognise,
    warn,
)
from tts_service.engine import SpeechError

if TYPE_CHECKING:
    from tts_service.voices.library import Library
    from tts_service.voices.recogniser import Recogniser

app = App(help=tr("The voice library: list, add, show, check, remove."))
QualityOption = Annotated[
    str,
    typer.Option(help=tr("Voice matching: fast, some ten seconds; best, a minute or two and a closer match")),
]
SeedOption = Annotated[int, typer.Option(help=tr("Seed"))]
NameArgument = Annotated[str, typer.Argument(help=tr("Name of the voice"))]


@app.command("list", help=tr("List the voices that come along and those of the library"))
def list_(
    everybody: Annotated[
        bool,
        typer.Option("--all", help=tr("All 54 of the embedded model, and old names")),
    ] = False,
    voices: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the cast and the recorded voices; damaged ones with what is wrong."""
    from tts_service.kokoro.cast import packaged_voices
    from tts_service.voices.library import Library

    library = Library(voices)
    packaged = [voice for voice in packaged_voices() if voice.listed or everybody]
    recorded = [_described(library, name) for name in library.names()]
    if as_json:
        own = [{"name": v.name, "language": v.native, "description": v.description, "packaged": True} for v in packaged]
        print_json([*own, *({**entry, "packaged": False} for entry in recorded)])
        return
    table = Table(tr("Name"), tr("Language"), tr("Description"), tr("Consent"))
    for voice in packaged:
        table.add_row(voice.name, voice.native, side(voice.description), "")
    for entry in recorded:
        row = (
            ["", entry["error"], ""] if "error" in entry else [entry[k] for k in ("language", "transcript", "consent")]
        )
        table.add_row(*(Text(cell) for cell in (entry["name"], *row)))
    out.print(table)


@app.command(help=tr("Take recordings into the library, match the embedded voice"))
def add(
    files: Annotated[
        list[Path],
        typer.Argument(help=tr("Recordings: WAV, FLAC, OGG, MP3 or M4A; several of one person help the matching")),
    ],
    consent: Annotated[str, typer.Option(help=tr("Who allowed the cloning, how, and for what"))],
    name: Annotated[str | None, typer.Option(help=tr("Name of the voice; left out: that of the file"))] = None,
    transcript: Annotated[
        str | None,
        typer.Option(help=tr("What is said (first); left out: it is recognised")),
    ] = None,
    language: Annotated[str, typer.Option(help=tr("zh or en"))] = "zh",
    licence: Annotated[str, typer.Option(help=tr("Licence of the voice"))] = "",
    engine: EngineOption = "kokoro",
    quality: QualityOption = "fast",
    seed: SeedOption = 0,
    voices: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure, transcribe where asked, store; for the embedded engine match."""
    from tts_service.voices.library import Library, check_new, load_recording
    from tts_service.voices.reference import advice, measure

    library = Library(voices)
    with arguments():
        check_engine(engine)
        if engine == "kokoro":
            _check_quality(quality)
        name = check_new(library, name if name is not None else files[0].stem, consent=consent, language=language)
    recordings = [load_recording(file) for file in files]
    for file, (samples, rate) in zip(files, recordings, strict=True):
        found = measure(samples, rate)
        if found.unusable:
            raise SpeechError(f"{file}: " + "; ".join(found.unusable))
        if found.doubts:
            warn(f"{file}: " + "; ".join(found.doubts))
            err.print(advice(), markup=False)
    if transcript is None:
        transcript = recognise(*recordings[0])
        err.print(tr("recognised: {transcript}", transcript=transcript), markup=False)
    library.add(
        files[0],
        name=name,
        transcript=transcript,
        consent=consent,
        language=language,
        licence=licence,
        further=files[1:],
    )
    if engine == "kokoro":
        try:
            _match(library, name, quality, seed)
        except (SpeechError, KeyboardInterrupt):
            err.print(
                tr(
                    "the recording is kept as {name}, but is not matched yet; go on with: glm-tts voices match {name}",
                    name=name,
                ),
                markup=False,
            )
            raise
    _show(library, name, as_json)


@app.command(help=tr("Match the embedded voice to a voice of the library"))
def match(
    name: NameArgument,
    quality: QualityOption = "fast",
    seed: SeedOption = 0,
    voices: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit again, for instance with more patience."""
    from tts_service.voices.library import Library

    library = Library(voices)
    with arguments():
        _check_quality(quality)
    library.card(name)
    _match(library, name, quality, seed)
    _show(library, name, as_json)


@app.command(help=tr("Show a voice"))
def show(name: NameArgument, voices: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Card and quality."""
    from tts_service.voices.library import Library

    _show(Library(voices), name, as_json)


@app.command(help=tr("Check that voices are intact and good; all of them without a name"))
def check(
    name: Annotated[str | None, typer.Argument()] = None, voices: LibraryOption = None, as_json: JsonOption = False
) -> None:
    """Exit code 1 if any voice is damaged or unusable."""
    from tts_service.voices.library import Library

    library = Library(voices)
    if name is not None:
        library.card(name)
    entries = [_described(library, each) for each in ([name] if name else library.names())]
    if as_json:
        print_json(entries)
    for entry in entries if not as_json else ():
        complaints = [entry["error"]] if "error" in entry else [*entry["unusable"], *entry["doubts"]]
        out.print(f"{entry['name']}: {'; '.join(complaints) or tr('good')}", markup=False)
    if any("error" in entry or entry["unusable"] for entry in entries):
        raise typer.Exit(EXIT_FAILED)


@app.command(help=tr("Remove a voice"))
def remove(
    name: NameArgument,
    voices: LibraryOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help=tr("Do not ask"))] = False,
) -> None:
    """Delete its folder."""
    from tts_service.voices.library import Library

    library = Library(voices)
    if not yes and name in library.names():
        typer.confirm(tr("Remove the voice {name}?", name=name), abort=True)
    library.remove(name)
    err.print(tr("removed {name}", name=name), markup=False)


def _described(library: "Library", name: str) -> dict[str, Any]:
    """Card, measures and complaints, or the error that keeps the voice from being used."""
    from tts_service.voices.library import load_recording
    from tts_service.voices.reference import measure

    try:
        card = library.card(name)
        quality = measure(*load_recording(library.audio(name)))
        near = _matched(library, name)
    except SpeechError as error:
        return {"name": name, "error": str(error)}
    return {
        **asdict(card),
        **near,
        **quality.measures(),
        "unusable": quality.unusable,
        "doubts": quality.doubts,
    }


def _matched(library: "Library", name: str) -> dict[str, Any]:
    """What the embedded engine made of it, if it has been asked to."""
    from tts_service.kokoro.matching.voices import WORDING, result

    if (found := result(library, name)) is None:
        return {}
    return {
        "embedded": f"{WORDING}, {found.quality}",
        "similarity": round(found.match.after, 3),
        "similarity_before": round(found.match.before, 3),
    }


def _check_quality(quality: str) -> None:
    if quality not in ("fast", "best"):
        raise SpeechError(tr("--quality is {quality!r}; it must be fast or best", quality=quality))


def _match(library: "Library", name: str, quality: str, seed: int) -> None:
    """Fit with progress, and say honestly what it came to."""
    from concurrent.futures import ThreadPoolExecutor

    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    def recogniser() -> "Recogniser":
        with needs("whisper"):
            from tts_service.voices.recogniser import Recogniser
        return Recogniser()

    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=err, disable=not err.is_terminal
    )
    with ThreadPoolExecutor(1) as beside, bar:
        whisper = beside.submit(recogniser)  # loads while the matching, which needs it last, begins
        from tts_service.kokoro.matching.fitting import fit

        if whisper.done():
            whisper.result()  # a package that is missing is told of at once
        task = bar.add_task(tr("voice matching"), total=1.0)
        result = fit(
            library,
            name,
            lambda samples, language: whisper.result().transcribe(samples, language=language).text,
            quality=quality,
            seed=seed,
            progress=lambda stage, fraction: bar.update(task, description=stage, completed=fraction),
        )
    found, reached = result.match, result.errors[1]
    err.print(
        tr(
            "voice matching (embedded): similarity to the recording {before:.2f} -> {after:.2f} (1 is the recording "
            "itself); in {sentences} sentences Whisper misheard {reached} words or syllables. This comes near and is "
            "no clone: GLM-TTS clones.",
            before=found.before,
            after=found.after,
            sentences=result.sentences,
            reached=reached,
        ),
        markup=False,
    )


def _show(library: "Library", name: str, as_json: bool) -> None:
    from tts_service.voices.reference import advice

    entry = _described(library, name)
    if "error" in entry:
        raise SpeechError(entry["error"])
    if as_json:
        print_json(entry)
        return
    complaints = [*entry.pop("unusable"), *entry.pop("doubts")]
    table = Table(show_header=False, box=None)
    for key, value in entry.items():
        table.add_row(Text(key, style="dim"), Text(str(value)))
    out.print(table)
    if complaints:
        out.print("[yellow]![/] " + escape("; ".join(complaints)))
        out.print(advice(), markup=False)
    else:
        out.print("[green]✓[/] " + tr("a good recording"))
