"""The commands of `glm-tts`. Each imports what it needs when it runs, so that `--help` is quick."""

from typing import Annotated

import typer

from pipecat_glm_tts.wording import tr
from tts_service.cli import checkpoint, reading, serving, voices
from tts_service.cli.batch import batch
from tts_service.cli.console import App
from tts_service.cli.detect import detect
from tts_service.cli.say import say


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"pipecat-glm-tts {version('pipecat-glm-tts')}")
        raise typer.Exit


app = App(
    name="glm-tts",
    help=tr("A streaming Chinese and English voice."),
    epilog=tr(
        "Exit codes: 0 all went well; 1 something failed or a check found problems; 2 wrong usage; 130 ended by "
        "Ctrl-C (129 SIGHUP, 143 SIGTERM); 141 nobody reads the output any more."
    ),
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(help=tr("Speak a text"))(say)
app.command(help=tr("Speak a file of tasks"))(batch)
app.command(help=tr("Tell whether recordings carry the mark of this voice"))(detect)
app.command(help=tr("List the presets"))(serving.presets)
app.command(help=tr("Serve the studio page"))(serving.studio)
app.command(help=tr("Give Home Assistant a voice and ears"))(serving.wyoming)
app.command(help=tr("Fetch the GLM-TTS checkpoint"))(checkpoint.download)
app.command(help=tr("Tell whether GLM-TTS can run here"))(checkpoint.doctor)
app.add_typer(voices.app, name="voices")
app.command(help=tr("Show how a text is read, and why"))(reading.g2p)
app.add_typer(reading.dictionary, name="dict")


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help=tr("Show the version")),
    ] = False,
) -> None:
    """What stands before a command."""
