"""The command `glm-tts`. Commands import what they need when they run, so that `--help` is quick."""

from __future__ import annotations

import os
import sys

import typer

from tts_service.cli import checkpoint, reading, serving, voices
from tts_service.cli.batch import batch
from tts_service.cli.console import EXIT_FAILED, EXIT_INTERRUPTED, err
from tts_service.cli.say import say
from tts_service.engine import SpeechError
from tts_service.wording import tr

app = typer.Typer(
    name="glm-tts",
    help=tr("会说中文和英文的流式语音。", "A streaming Chinese and English voice."),
    epilog=tr(
        "退出码：0 成功；1 有任务或检查失败；2 用法不对；130 被中断。",
        "Exit codes: 0 all went well; 1 something failed or a check found problems; 2 wrong usage; 130 interrupted.",
    ),
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


def main() -> None:
    """Run the command line; errors that say what to do are shown without a traceback."""
    # Libraries' own chatter belongs to whoever debugs; a command's words are its own.
    from loguru import logger

    logger.remove()
    logger.add(sys.stderr, level=os.environ.get("GLM_TTS_LOG", "WARNING"))
    try:
        app()
    except SpeechError as error:
        err.print(str(error), style="red", markup=False)
        sys.exit(EXIT_FAILED)
    except BrokenPipeError:
        # Whoever read our output has left; closing the real descriptor keeps the interpreter's own flush quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
