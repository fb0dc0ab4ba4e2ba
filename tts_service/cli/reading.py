"""`glm-tts g2p` and `glm-tts dict check`: how a text is read, and whether a dictionary is."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from pipecat_glm_tts.wording import tr
from tts_service.cli.codes import EXIT_FAILED
from tts_service.cli.console import (
    App,
    DictOption,
    JsonOption,
    LanguageOption,
    arguments,
    load_lexicon,
    out,
    print_json,
    text_source,
)

dictionary = App(help=tr("The custom dictionary."))
_WHY = {
    "markup": tr("markup in the text"),
    "dictionary": tr("custom dictionary"),
    "phrase": tr("phrase"),
    "model": tr("model"),
    "default": tr("default"),
}


def g2p(
    text: Annotated[str | None, typer.Argument(help=tr("Text; - for standard input"))] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help=tr("Read from a file"))] = None,
    language: LanguageOption = None,
    dict_: DictOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print tokens, spans, readings and reasons."""
    from g2p import analyze
    from tts_service.engine import SynthesisOptions

    with arguments():
        SynthesisOptions(language=language)
        lexicon, said = load_lexicon(dict_), "".join(text_source(text, file))
    pronunciation = analyze(said, lexicon=lexicon, language=language)
    if as_json:
        tokens = [asdict(token) for token in pronunciation.tokens]
        print_json({"text": pronunciation.text, "tokens": tokens})
        return
    table = Table(*(tr("Span"), tr("Written"), tr("Said"), tr("Reading"), tr("Why")))
    for token in pronunciation.tokens:
        written = pronunciation.text[token.start : token.end]
        changed = token.base != token.reading
        reading = f"{token.base} → {token.reading}" if changed and token.base else token.reading
        cells = (f"{token.start}–{token.end}", written, token.text, reading, _WHY.get(token.source, token.source))
        table.add_row(*(Text(cell.replace("\n", "⏎")) for cell in cells))
    out.print(table)


@dictionary.command(help=tr("Check a dictionary file: line, problem, fix"))
def check(
    file: Annotated[Path, typer.Argument(help=tr("Dictionary file (JSONL)"))],
    as_json: JsonOption = False,
) -> None:
    """Exit code 1 if any line cannot be used."""
    from g2p.lexicon_file import check as problems_of

    try:
        problems = problems_of(file)
    except OSError as error:
        raise typer.BadParameter(tr("{file} cannot be read: ", file=file) + str(error.strerror)) from None
    if as_json:
        print_json([asdict(problem) for problem in problems])
    elif problems:
        table = Table(tr("Line"), tr("Text"), tr("Problem"), tr("Fix"))
        for problem in problems:
            table.add_row(
                str(problem.line), *(Text(cell) for cell in (problem.text[:60], problem.problem, problem.fix))
            )
        out.print(table)
    else:
        out.print(tr("{file}: no problems", file=file), markup=False)
    if problems:
        raise typer.Exit(EXIT_FAILED)


@dictionary.callback()
def _group() -> None:
    """Keeps `check` a command of its own while it is the only one."""
