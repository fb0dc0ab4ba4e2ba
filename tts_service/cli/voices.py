"""`glm-tts voices`: the voices that come along, and the library of recorded ones."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipecat_glm_tts.extras import needs
from tts_service.cli import EXIT_FAILED
from tts_service.cli.console import (
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
from tts_service.wording import tr

if TYPE_CHECKING:
    from tts_service.voices import Library

app = typer.Typer(
    help=tr("声音库：列出、添加、查看、检查、删除。", "The voice library: list, add, show, check, remove."),
    no_args_is_help=True,
)
QualityOption = Annotated[
    str,
    typer.Option(
        help=tr(
            "声音匹配：fast 约半分钟；best 需要 torch，要几分钟，更像",
            "Voice matching: fast, half a minute; best, minutes with torch and a closer match",
        )
    ),
]
SeedOption = Annotated[int, typer.Option(help=tr("随机种子", "Seed"))]
NameArgument = Annotated[str, typer.Argument(help=tr("声音名", "Name of the voice"))]


@app.command("list", help=tr("列出内置的声音和库中的声音", "List the voices that come along and those of the library"))
def list_(
    everybody: Annotated[
        bool,
        typer.Option("--all", help=tr("内置模型的全部 54 个声音和旧名", "All 54 of the embedded model, and old names")),
    ] = False,
    voices: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the cast and the recorded voices; damaged ones with what is wrong."""
    from tts_service.kokoro.cast import packaged_voices
    from tts_service.voices import Library

    library = Library(voices)
    packaged = [voice for voice in packaged_voices() if voice.listed or everybody]
    recorded = [_described(library, name) for name in library.names()]
    if as_json:
        own = [{"name": v.name, "language": v.native, "description": v.description, "packaged": True} for v in packaged]
        print_json([*own, *({**entry, "packaged": False} for entry in recorded)])
        return
    table = Table(tr("名称", "Name"), tr("语言", "Language"), tr("说明或文本", "Description"), tr("授权", "Consent"))
    for voice in packaged:
        table.add_row(voice.name, voice.native, tr(*voice.description.split(" / ")), "")
    for entry in recorded:
        row = (
            ["", entry["error"], ""] if "error" in entry else [entry[k] for k in ("language", "transcript", "consent")]
        )
        table.add_row(*(Text(cell) for cell in (entry["name"], *row)))
    out.print(table)


@app.command(
    help=tr("把录音加入声音库，并让内置引擎学像它", "Take recordings into the library, match the embedded voice")
)
def add(
    files: Annotated[
        list[Path],
        typer.Argument(
            help=tr(
                "录音：WAV、FLAC、OGG、MP3 或 M4A；同一个人的可以给多段",
                "Recordings: WAV, FLAC, OGG, MP3 or M4A; several of one person help the matching",
            )
        ),
    ],
    consent: Annotated[
        str, typer.Option(help=tr("授权说明：谁同意克隆、怎样同意、用途", "Who allowed the cloning, how, and for what"))
    ],
    name: Annotated[
        str | None, typer.Option(help=tr("声音名；不给则用文件名", "Name of the voice; left out: that of the file"))
    ] = None,
    transcript: Annotated[
        str | None,
        typer.Option(
            help=tr("（第一段）录音的文字；不给则自动识别", "What is said (first); left out: it is recognised")
        ),
    ] = None,
    language: Annotated[str, typer.Option(help=tr("zh 或 en", "zh or en"))] = "zh",
    licence: Annotated[str, typer.Option(help=tr("使用许可", "Licence of the voice"))] = "",
    engine: EngineOption = "kokoro",
    quality: QualityOption = "fast",
    seed: SeedOption = 0,
    voices: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure, transcribe where asked, store; for the embedded engine match."""
    from tts_service.reference import advice, measure
    from tts_service.voices import Library, check_new, load_recording

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
        err.print(tr(f"识别结果：{transcript}", f"recognised: {transcript}"), markup=False)
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
                    f"录音已存为 {name}，但还没有匹配；接着运行：glm-tts voices match {name}",
                    f"the recording is kept as {name}, but is not matched yet; go on with: glm-tts voices match {name}",
                ),
                markup=False,
            )
            raise
    _show(library, name, as_json)


@app.command(help=tr("让内置引擎学像一个已加入的声音", "Match the embedded voice to a voice of the library"))
def match(
    name: NameArgument,
    quality: QualityOption = "fast",
    seed: SeedOption = 0,
    voices: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit again, for instance with more patience."""
    from tts_service.voices import Library

    library = Library(voices)
    with arguments():
        _check_quality(quality)
    library.card(name)
    _match(library, name, quality, seed)
    _show(library, name, as_json)


@app.command(help=tr("查看一个声音", "Show a voice"))
def show(name: NameArgument, voices: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Card and quality."""
    from tts_service.voices import Library

    _show(Library(voices), name, as_json)


@app.command(
    help=tr(
        "检查声音是否完好、适合克隆；不带名字则检查全部",
        "Check that voices are intact and good; all of them without a name",
    )
)
def check(
    name: Annotated[str | None, typer.Argument()] = None, voices: LibraryOption = None, as_json: JsonOption = False
) -> None:
    """Exit code 1 if any voice is damaged or unusable."""
    from tts_service.voices import Library

    library = Library(voices)
    if name is not None:
        library.card(name)
    entries = [_described(library, each) for each in ([name] if name else library.names())]
    if as_json:
        print_json(entries)
    for entry in entries if not as_json else ():
        complaints = [entry["error"]] if "error" in entry else [*entry["unusable"], *entry["doubts"]]
        out.print(f"{entry['name']}: {'; '.join(complaints) or tr('良好', 'good')}", markup=False)
    if any("error" in entry or entry["unusable"] for entry in entries):
        raise typer.Exit(EXIT_FAILED)


@app.command(help=tr("删除一个声音", "Remove a voice"))
def remove(
    name: NameArgument,
    voices: LibraryOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help=tr("不再询问", "Do not ask"))] = False,
) -> None:
    """Delete its folder."""
    from tts_service.voices import Library

    library = Library(voices)
    if not yes and name in library.names():
        typer.confirm(tr(f"删除声音 {name}？", f"Remove the voice {name}?"), abort=True)
    library.remove(name)
    err.print(tr(f"已删除 {name}", f"removed {name}"), markup=False)


def _described(library: Library, name: str) -> dict[str, Any]:
    """Card, measures and complaints, or the error that keeps the voice from being used."""
    from tts_service.reference import measure
    from tts_service.voices import load_recording

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


def _matched(library: Library, name: str) -> dict[str, Any]:
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
    from importlib.util import find_spec

    if quality not in ("fast", "best"):
        raise SpeechError(
            tr(f"--quality 是 {quality!r}，应为 fast 或 best", f"--quality is {quality!r}; it must be fast or best")
        )
    if quality == "best" and find_spec("torch") is None:
        raise SpeechError(
            tr(
                "--quality best 需要 torch：pip install torch，或用 --quality fast",
                "--quality best needs torch: pip install torch, or use --quality fast",
            )
        )


def _match(library: Library, name: str, quality: str, seed: int) -> None:
    """Fit with progress, and say honestly what it came to."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from tts_service.kokoro.matching.fitting import fit

    with needs("whisper"):
        from tts_service.recogniser import Recogniser
    recognisers = {language: Recogniser(languages=(language,)) for language in ("zh", "en")}
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=err, disable=not err.is_terminal
    ) as bar:
        task = bar.add_task(tr("声音匹配", "voice matching"), total=1.0)
        result = fit(
            library,
            name,
            lambda samples, language: recognisers[language].transcribe(samples).text,
            quality=quality,
            seed=seed,
            progress=lambda stage, fraction: bar.update(task, description=stage, completed=fraction),
        )
    found, reached = result.match, result.errors[1]
    err.print(
        tr(
            f"声音匹配（内置）：与录音的相似度 {found.before:.2f} -> {found.after:.2f}（1 为同一段录音）；"
            f"Whisper 试听 {result.sentences} 句，听错 {reached} 处。这是接近，不是克隆；真正的克隆用 GLM-TTS。",
            f"voice matching (embedded): similarity to the recording {found.before:.2f} -> {found.after:.2f} "
            f"(1 is the recording itself); in {result.sentences} sentences Whisper misheard {reached} words or "
            f"syllables. This comes near and is no clone: GLM-TTS clones.",
        ),
        markup=False,
    )


def _show(library: Library, name: str, as_json: bool) -> None:
    from tts_service.reference import advice

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
        out.print("[green]✓[/] " + tr("录音质量良好", "a good recording"))
