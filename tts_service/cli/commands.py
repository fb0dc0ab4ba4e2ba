"""The commands of `glm-tts`. Each imports what it needs when it runs, so that `--help` is quick."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tts_service.cli import checkpoint, reading, serving, voices
from tts_service.cli.batch import batch
from tts_service.cli.console import ReaderLeft
from tts_service.cli.say import say
from tts_service.wording import tr


class _Commands(TyperGroup):
    """Typer would end with 1 when a pipe is closed."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderLeft from error


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"pipecat-glm-tts {version('pipecat-glm-tts')}")
        raise typer.Exit


app = typer.Typer(
    name="glm-tts",
    help=tr("会说中文和英文的流式语音。", "A streaming Chinese and English voice."),
    epilog=tr(
        "退出码：0 成功；1 有任务或检查失败；2 用法不对；130 被 Ctrl-C 中断（SIGHUP 129，SIGTERM 143）；"
        "141 输出已无人读取。",
        "Exit codes: 0 all went well; 1 something failed or a check found problems; 2 wrong usage; "
        "130 ended by Ctrl-C (129 SIGHUP, 143 SIGTERM); 141 nobody reads the output any more.",
    ),
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(help=tr("把文字说出来", "Speak a text"))(say)
app.command(help=tr("批量合成", "Speak a file of tasks"))(batch)
app.command(help=tr("列出预设", "List the presets"))(serving.presets)
app.command(help=tr("打开工作室网页", "Serve the studio page"))(serving.studio)
app.command(help=tr("给 Home Assistant 声音和听力", "Give Home Assistant a voice and ears"))(serving.wyoming)
app.command(help=tr("下载 GLM-TTS 模型", "Fetch the GLM-TTS checkpoint"))(checkpoint.download)
app.command(help=tr("检查 GLM-TTS 能否在本机运行", "Tell whether GLM-TTS can run here"))(checkpoint.doctor)
app.add_typer(voices.app, name="voices")
app.command(help=tr("显示文本怎样读、为什么", "Show how a text is read, and why"))(reading.g2p)
app.add_typer(reading.dictionary, name="dict")


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help=tr("显示版本", "Show the version")),
    ] = False,
) -> None:
    """What stands before a command."""
