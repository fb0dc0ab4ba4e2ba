"""What every command needs: where messages go, how a text comes in, how the voice is loaded."""

from __future__ import annotations

import codecs
import io
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from pipecat_glm_tts.extras import needs
from pipecat_glm_tts.wording import nearest, tr
from tts_service.engine import SpeechError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from g2p import Lexicon
    from tts_service.speech.synthesizer import Synthesizer

MAX_TEXT = 16 << 20
"""Bytes of a text file."""


class ReaderLeft(Exception):
    """Nobody reads our output any more."""


WrongUsage: type[Exception] = typer.BadParameter.__mro__[1]
"""What Typer raises of arguments: `UsageError` of the copy of click that it brings, or of click itself."""


def usage(error: Any) -> str:
    """Wrong usage in the user's language, and where the right one is told.

    Typer's own way of showing it is in English only, and takes a tenth of a second to import what can show Markdown.
    """
    parameter = getattr(error, "param", None)
    what = getattr(error, "option_name", None) or (parameter.opts[0] if parameter else "")
    match type(error).__name__:
        case "NoArgsIsHelpError":
            return ""
        case "NoSuchOption":
            told = tr("there is no option {name}", name=what) + nearest(what, error.possibilities or ())
        case "MissingParameter":
            told = tr("{name} is missing", name=what)
        case "BadParameter" if what:
            told = f"{what}: {_in_our_words(error.message)}"
        case _:
            told = _in_our_words(error.message)
    command = error.ctx.command_path if error.ctx else "glm-tts"
    return f"{told}\n" + tr("see: {command} --help", command=command)


def _in_our_words(message: str) -> str:
    """What Typer and the libraries below it say of arguments, as far as it is known."""
    for pattern, said in (
        (r"valid int", tr("this is no whole number")),
        (r"valid (number|float)", tr("this is no number")),
        (r"'(.+)' requires an argument", tr("a value is missing behind {name}", name=r"\1")),
        (r"'(.+)' does not take a value", tr("{name} takes no value", name=r"\1")),
        (r"unexpected extra argument\S* \((.*)\)", tr("too much: {words}; put texts in quotes", words=r"\1")),
    ):
        if found := re.search(pattern, message):
            return found.expand(said)
    return message


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise ReaderLeft


class _InOurWords:
    """The help of Typer, whose own words are in English only, in the language of all messages."""

    def get_usage(self, ctx: Any) -> str:
        """How the command is called."""
        line: str = super().get_usage(ctx)  # type: ignore[misc]
        for theirs, ours in (
            ("Usage: ", tr("Usage: ")),
            ("[OPTIONS]", tr("[OPTIONS]")),
            ("COMMAND [ARGS]...", tr("COMMAND [ARGS]...")),
        ):
            line = line.replace(theirs, ours, 1)
        return line

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        from typer import rich_utils

        rich_utils.ARGUMENTS_PANEL_TITLE = tr("Arguments")
        rich_utils.OPTIONS_PANEL_TITLE = tr("Options")
        rich_utils.COMMANDS_PANEL_TITLE = tr("Commands")
        rich_utils.DEFAULT_STRING = f"[{tr('default: ')}{{}}]"
        rich_utils.ENVVAR_STRING = f"[{tr('variable: ')}{{}}]"
        rich_utils.REQUIRED_LONG_STRING = f"[{tr('required')}]"
        helps = {
            "Show this message and exit.": tr("Show this help"),
            "Install completion for the current shell.": tr("Let the shell complete these commands"),
            "Show completion for the current shell, to copy it or customize the installation.": tr(
                "Print what --install-completion would install"
            ),
        }
        for parameter in self.get_params(ctx):  # type: ignore[attr-defined]
            parameter.help = helps.get(parameter.help, parameter.help)
        super().format_help(ctx, formatter)  # type: ignore[misc]


class Command(_InOurWords, TyperCommand):
    """One command."""


class Commands(_InOurWords, TyperGroup):
    """A group of commands. Typer would end with 1 when a pipe is closed, and name no near command."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderLeft from error

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            ctx.fail(tr("there is no command {name}", name=args[0]) + nearest(args[0], self.commands))
        return super().resolve_command(ctx, args)


class App(typer.Typer):
    """A group of commands that is told about in our words."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=Commands, no_args_is_help=True, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Any:
        """Add a command."""
        return super().command(name, cls=Command, **settings)


out = _Console(highlight=False, soft_wrap=True)
"""Results."""
err = _Console(stderr=True, highlight=False, soft_wrap=True)
"""Everything else, so that results can be piped."""

EngineOption = Annotated[
    str,
    typer.Option("--engine", envvar="GLM_TTS_ENGINE", help=tr("kokoro (embedded) or glm")),
]
LibraryOption = Annotated[
    Path | None,
    typer.Option("--voices", metavar="DIR", envvar="GLM_TTS_VOICES", help=tr("Voice library folder")),
]
CheckpointOption = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        "--to",
        metavar="DIR",
        envvar="GLM_TTS_CHECKPOINT",
        help=tr("GLM-TTS checkpoint folder"),
    ),
]
DictOption = Annotated[
    Path | None,
    typer.Option("--dict", metavar="FILE", help=tr("Custom pronunciation dictionary (JSONL)")),
]
BitrateOption = Annotated[
    int | None,
    typer.Option(
        metavar="KBPS",
        help=tr("Of MP3 and Opus in kbit/s; left out: 128 and 48"),
    ),
]
LanguageOption = Annotated[
    str | None,
    typer.Option(
        "--language",
        metavar="zh|en",
        help=tr("How numbers and signs are said; left out: as the text tells"),
    ),
]
LabelOption = Annotated[
    str,
    typer.Option(
        "--label",
        metavar="off|rhythm|spoken",
        envvar="GLM_TTS_LABEL",
        help=tr("A mark that people hear: Morse for AI, or a sentence"),
    ),
]
LabelPlaceOption = Annotated[
    str,
    typer.Option(
        "--label-at", metavar="beginning|end|both", envvar="GLM_TTS_LABEL_AT", help=tr("Where that mark is heard")
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help=tr("Print JSON for machines"))]


def print_json(document: Any, console: Console = out) -> None:
    """One JSON document on a line of its own, readable whatever the encoding."""
    ascii_only = not (console.encoding or "").lower().startswith("utf")
    print(json.dumps(document, ensure_ascii=ascii_only), file=console.file, flush=True)


@contextmanager
def arguments() -> Iterator[None]:
    """What is wrong in here is wrong usage: told before anything is loaded, with the exit code for that."""
    try:
        yield
    except SpeechError as error:
        raise typer.BadParameter(str(error)) from error


def check_engine(engine: str) -> None:
    """Tell of an engine that does not exist."""
    from tts_service import ENGINES

    if engine not in ENGINES:
        raise SpeechError(
            tr("there is no engine {engine!r}", engine=engine)
            + nearest(engine, ENGINES)
            + tr("; available: ")
            + ", ".join(ENGINES)
        )


def warn(message: str) -> None:
    """One line of caution on stderr."""
    err.print(message, style="yellow", markup=False)


def engine_settings(engine: str, checkpoint: Path | None, voices: Path | None) -> dict[str, Any]:
    """What `tts_service.load` needs to know for an engine."""
    if engine == "remote":
        return {}
    return {"voices": voices} | ({"checkpoint": checkpoint} if engine == "glm" else {})


def load_engine(engine: str, checkpoint: Path | None = None, voices: Path | None = None) -> Synthesizer:
    """Load an engine, saying so where somebody watches.

    Args:
        engine: `kokoro`, `glm` or `remote`.
        checkpoint: GLM-TTS's; None: where `download` puts it.
        voices: The library of recorded voices; None: the user's.
    """
    import tts_service

    settings = engine_settings(engine, checkpoint, voices)
    if not err.is_terminal:
        return tts_service.load(engine, **settings)
    with err.status(tr("Loading {engine} ...", engine=engine)):
        return tts_service.load(engine, **settings)


def load_lexicon(path: Path | None) -> Lexicon | None:
    """The dictionary of that file, over the default one; None for the default one alone."""
    if path is None:
        return None
    if not path.is_file():
        raise SpeechError(tr("there is no dictionary file {path}", path=path))
    from g2p.lexicon import Lexicon, default_lexicon

    return Lexicon(path=path, base=default_lexicon())


def text_source(text: str | None, file: Path | None) -> Iterator[str]:
    """The text to speak, in pieces as they arrive: an argument, a file, or standard input (`-` or nothing at all).

    Raises:
        typer.BadParameter: There is no text or more than one.
        SpeechError: It cannot be read as UTF-8.
    """
    if text is not None and file is not None:
        raise typer.BadParameter(tr("give either a text or --file, not both"))
    if file is not None and str(file) != "-":
        try:
            if file.stat().st_size > MAX_TEXT:
                raise SpeechError(
                    tr("{file} has more than {max_text} MB; split it up", file=file, max_text=MAX_TEXT >> 20)
                )
            # All of it, so that a fault at the end is told before anything is spoken.
            yield "".join(_decoded(io.BytesIO(file.read_bytes()), str(file)))
        except OSError as error:
            raise SpeechError(tr("{file} cannot be read: ", file=file) + str(error.strerror)) from error
    elif text not in (None, "-"):
        yield text
    elif file is None and text is None and sys.stdin.isatty():
        raise typer.BadParameter(tr('no text; try: glm-tts say "你好", --file FILE, or a pipe'))
    else:
        yield from _decoded(sys.stdin.buffer, tr("standard input"))


def _decoded(source: BinaryIO, name: str) -> Iterator[str]:
    decoder, position = codecs.getincrementaldecoder("utf-8-sig")(), 0
    read = getattr(source, "read1", source.read)
    try:
        while piece := read(1 << 16):
            position += len(piece)
            if text := decoder.decode(piece):
                yield text
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        at = position - len(error.object) + error.start
        raise SpeechError(tr("{name} is not UTF-8 near byte {at}; save it as UTF-8", name=name, at=at)) from error


def recognise(samples: NDArray[np.float32], rate: int) -> str:
    """What is said in a recording ([n] samples, mono), by the packaged recogniser.

    Raises:
        SpeechError: Nothing was understood.
    """
    from tts_service.audio import resample

    with needs("whisper"):
        from tts_service.voices.recogniser import Recogniser
    text = Recogniser().transcribe(resample(samples, rate, 16000)).text
    if not text:
        raise SpeechError(tr("nothing was understood in the recording; give its text"))
    return text
