"""The first minute: read the settings, take the address, load the models and say how it goes."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence

from loguru import logger
from rich.console import Console
from rich.markup import escape

from agent import transports
from agent.metrics import Metrics
from agent.server import create_app, web_server
from agent.settings import Settings, SettingsError
from agent.switchboard import Switchboard
from pipecat_glm_tts.wording import tr
from tts_service import SpeechError
from tts_service.engine import Closed
from tts_service.serving.address import CannotServe, bind
from tts_service.serving.gate import is_loopback
from tts_service.speech.pace import measure


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent until Ctrl-C; the exit status for the shell."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    options = parse(arguments)
    logger.remove()
    # Pipecat's WebRTC transport warns of every call that it has no video, and of every caller that hangs up.
    levels: dict[str | None, str | int | bool] = {"": "WARNING", "pipecat.transports.smallwebrtc": "ERROR"}
    logger.add(sys.stderr, level=0, filter={"": "DEBUG"} if options.verbose else levels)
    try:
        settings = Settings.load(options.profile, os.environ, options.set)
        asyncio.run(run(settings, options.transport, console))
    except (SettingsError, SpeechError, CannotServe) as error:
        console.print(f"[red]✗[/] {tr('Cannot start:')}\n{escape(str(error))}")
        return 1
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=tr("A voice agent in the browser and on the phone."))
    parser.add_argument(
        "-t",
        "--transport",
        default=["webrtc"],
        type=lambda names: names.split(","),
        help=tr("lines to answer, separated by commas: {names} (webrtc)", names=", ".join(transports.NAMES)),
    )
    parser.add_argument("--profile", default="default", help=tr("a YAML file, or a name in configs/profiles (default)"))
    parser.add_argument("--host", help=tr("address to listen on (127.0.0.1); beyond loopback needs GLM_TTS_API_KEY"))
    parser.add_argument("--port", help=tr("port to listen on (7860)"))
    parser.add_argument("--sip-listen", metavar="HOST:PORT", help=tr("address of the telephone (127.0.0.1:5060)"))
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", help=tr("any other setting")
    )
    parser.add_argument("-v", "--verbose", action="store_true", help=tr("log everything"))
    options = parser.parse_args(arguments)
    for field in ("host", "port"):
        if (value := getattr(options, field)) is not None:
            options.set.append(f"server.{field}={value}")
    if options.sip_listen is not None:
        options.set.append(f"sip.listen={options.sip_listen}")
    return options


async def run(settings: Settings, names: Sequence[str], console: Console) -> None:
    """Serve, load the models meanwhile, and end with the server or with the first thing that cannot work."""
    host = settings.server.host
    token = settings.server.token
    with bind(host, settings.server.port, has_token=token is not None) as sock:
        switchboard = Switchboard(settings, Metrics())
        try:
            lines = [transports.line(name, switchboard) for name in names]
        except ValueError as error:
            raise CannotServe(str(error)) from error
        server = web_server(create_app(switchboard, lines))
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        loading = asyncio.create_task(load(switchboard, address(host, sock.getsockname()[1]), console))
        await asyncio.wait((serving, loading), return_when=asyncio.FIRST_COMPLETED)
        # What loading dies of while the server ends, and closes the voice, is no failure.
        loaded = loading.done() and not server.should_exit
        if loaded and loading.exception():
            server.should_exit = True
        await serving
        if loaded:
            await loading
        else:
            loading.cancel()


async def load(switchboard: Switchboard, url: str, console: Console) -> None:
    """Load the models and tell the person at the terminal."""
    began = last = time.perf_counter()
    step = ""

    def settle() -> None:
        nonlocal last
        now = time.perf_counter()
        if step:
            console.print(f"  [green]✓[/] {escape(step)} [dim]{now - last:.1f} s[/]")
        last = now

    console.print(f"[dim]{tr('The page is up:')}[/] {url}")
    with console.status("…") as status:

        def progress(next_step: str) -> None:
            nonlocal step
            settle()
            step = next_step
            status.update(escape(step))

        await switchboard.load(progress)
        settle()
    brain = switchboard.settings.brain
    console.print(tr("Ready in {seconds:.1f} s", seconds=time.perf_counter() - began))
    if brain.is_demo:
        console.print(
            tr("No model is connected, so the demo brain answers; set OPENAI_BASE_URL and OPENAI_MODEL."), style="dim"
        )
    console.print(f"[bold]{tr('Open in a browser:')} [link={url}]{url}[/link][/]   [dim]{tr('Ctrl-C to stop')}[/]")
    if switchboard.settings.voice.engine == "kokoro" and switchboard.models:
        try:
            pace = await asyncio.to_thread(measure, switchboard.models.synthesizer)
        except Closed:  # by a Ctrl-C meanwhile
            return
        style = "dim" if pace.talkers else "yellow"
        console.print(str(pace), style=style, markup=False)


def address(host: str, port: int) -> str:
    """The URL to open."""
    if is_loopback(host) or host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
