"""`glm-tts studio` and `glm-tts presets`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pipecat_glm_tts.extras import needs
from tts_service.cli.console import (
    CheckpointOption,
    DictOption,
    EngineOption,
    JsonOption,
    LibraryOption,
    err,
    load_engine,
    load_lexicon,
    out,
    print_json,
    recognise,
)
from tts_service.wording import in_chinese, tr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def presets(as_json: JsonOption = False) -> None:
    """List what `--preset` takes."""
    from tts_service.presets import presets as known

    if as_json:
        print_json([asdict(preset) for preset in known().values()])
        return
    table = Table(tr("名称", "Name"), tr("场合", "Occasion"), tr("选项", "Options"))
    side = 0 if in_chinese() else -1
    for preset in known().values():
        occasion = f"{preset.title.split(' / ')[side]}: {preset.about.split(' / ')[side]}"
        table.add_row(preset.name, occasion, ", ".join(f"{name}={value}" for name, value in preset.options.items()))
    out.print(table)


def studio(
    port: Annotated[int, typer.Option(min=0, max=65535, help=tr("端口", "Port"))] = 7861,
    voices: LibraryOption = None,
    engine: EngineOption = "kokoro",
    checkpoint: CheckpointOption = None,
    dictionary: Annotated[
        Path | None, typer.Option("--dict", metavar="FILE", help=tr("要编辑的词典", "Dictionary file to edit"))
    ] = None,
) -> None:
    """Serve the page and the speech API on this computer, until Ctrl-C."""
    with needs("studio"):
        from tts_service.studio import mount
    import uvicorn
    from fastapi import FastAPI

    from tts_service.speech_api import router
    from tts_service.voices import Library

    # Beyond this computer a token is needed, and the agent's server asks for one.
    host = "127.0.0.1"
    with load_engine(engine, checkpoint, voices) as synthesizer:
        synthesizer.lexicon = load_lexicon(dictionary)
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        library = Library(voices)
        app.include_router(router(lambda: synthesizer, library))
        mount(
            app,
            lambda: synthesizer,
            engine=engine,
            transcribe=recognise,
            dictionary=dictionary,
            library=library,
        )
        err.print(tr("工作室：", "Studio: ") + f"http://{host}:{port}/studio", markup=False)
        uvicorn.run(app, host=host, port=port, log_level="warning")


def wyoming(
    host: Annotated[str, typer.Option(help=tr("监听地址", "Address to listen on"))] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help=tr("端口", "Port"))] = 10200,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help=tr("允许连接的网段（可多次）", "Network that may connect (repeatable)")),
    ] = None,
    ears: Annotated[bool, typer.Option(help=tr("同时提供语音识别", "Offer speech recognition too"))] = True,
    voices: LibraryOption = None,
    engine: EngineOption = "kokoro",
    checkpoint: CheckpointOption = None,
    dictionary: DictOption = None,
) -> None:
    """Give Home Assistant a voice and ears, until Ctrl-C.

    The protocol knows no password. Beyond this computer, say who may connect: --host 0.0.0.0 --allow 192.168.1.0/24
    """
    with needs("wyoming"):
        from tts_service.serving.wyoming import networks, serve
    from tts_service.voices import Library

    if host not in ("127.0.0.1", "::1", "localhost") and not allow:
        raise typer.BadParameter(
            tr(
                "这个协议没有口令：在本机之外监听时，请用 --allow 说明谁可以连接，例如 --allow 192.168.1.0/24",
                "the protocol knows no password: to listen beyond this computer say who may connect, such as "
                "--allow 192.168.1.0/24",
            )
        )
    networks(allow or ())
    with load_engine(engine, checkpoint, voices) as synthesizer:
        synthesizer.lexicon = load_lexicon(dictionary)

        def ready(port: int) -> None:
            err.print(f"Wyoming: tcp://{host}:{port}", markup=False)

        asyncio.run(
            serve(
                synthesizer,
                _ears() if ears else None,
                host=host,
                port=port,
                allow=allow or (),
                library=Library(voices),
                ready=ready,
            )
        )


def _ears() -> Callable[[NDArray[np.float32], int], str]:
    """The packaged recogniser, loaded once."""
    from tts_service.audio import resample

    with needs("wyoming"):
        from tts_service.recogniser import Recogniser
    recogniser = Recogniser()
    return lambda samples, rate: recogniser.transcribe(resample(samples, rate, 16000)).text
