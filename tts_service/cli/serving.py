"""`glm-tts studio` and `glm-tts presets`."""

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.table import Table

from pipecat_glm_tts.extras import needs
from pipecat_glm_tts.wording import side, tr
from tts_service.cli.console import (
    CheckpointOption,
    DictOption,
    EngineOption,
    JsonOption,
    LabelOption,
    LabelPlaceOption,
    LibraryOption,
    arguments,
    check_engine,
    err,
    load_engine,
    load_lexicon,
    out,
    print_json,
    recognise,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def presets(as_json: JsonOption = False) -> None:
    """List what `--preset` takes."""
    from tts_service.workshop.presets import presets as known

    if as_json:
        print_json([asdict(preset) for preset in known().values()])
        return
    table = Table(tr("Name"), tr("Occasion"), tr("Options"))
    for preset in known().values():
        occasion = f"{side(preset.title)}: {side(preset.about)}"
        table.add_row(preset.name, occasion, ", ".join(f"{name}={value}" for name, value in preset.options.items()))
    out.print(table)


def studio(
    host: Annotated[
        str,
        typer.Option(help=tr("Address; others need GLM_TTS_API_KEY")),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help=tr("Port"))] = 7861,
    voices: LibraryOption = None,
    engine: EngineOption = "kokoro",
    checkpoint: CheckpointOption = None,
    dictionary: Annotated[
        Path | None, typer.Option("--dict", metavar="FILE", help=tr("Dictionary file to edit"))
    ] = None,
    label: LabelOption = "off",
    label_at: LabelPlaceOption = "beginning",
) -> None:
    """Serve the page and the speech API on this computer, until Ctrl-C."""
    with needs("studio"):
        import uvicorn
        from fastapi import FastAPI
        from fastapi.responses import RedirectResponse

        from tts_service.serving.address import bind
        from tts_service.serving.gate import Gate
    from tts_service.speech.audible import Audible, Kind, Place
    from tts_service.voices.library import Library

    token = os.environ.get("GLM_TTS_API_KEY") or None
    with arguments():
        check_engine(engine)
        audible = Audible(cast(Kind, label), cast(Place, label_at))
        lexicon = load_lexicon(dictionary)
    with bind(host, port, has_token=token is not None) as sock:
        with needs("studio"):
            from tts_service.serving.speech_api import router
            from tts_service.studio import mount
        with load_engine(engine, checkpoint, voices) as synthesizer:
            synthesizer.lexicon, synthesizer.audible = lexicon, audible
            app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
            library = Library(voices)
            app.include_router(router(lambda: synthesizer, library))
            app.add_api_route("/", lambda: RedirectResponse("/studio/"), methods=["GET"])
            mount(
                app,
                lambda: synthesizer,
                engine=engine,
                transcribe=recognise,
                dictionary=dictionary,
                library=library,
                token=token,
            )
            # Browsers cannot send the token as a header; the studio asks for it with a page of its own.
            app.add_middleware(
                Gate,
                host=host,
                token=token,
                open_paths=("/", "/studio", "/studio/"),
                roomy_paths={"/studio/": 256 << 20, "/v1/": 256 << 10},
            )
            err.print(tr("Studio: ") + f"http://{host}:{sock.getsockname()[1]}/studio/", markup=False)
            uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[sock])


def wyoming(
    host: Annotated[str, typer.Option(help=tr("Address to listen on"))] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help=tr("Port"))] = 10200,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help=tr("Network that may connect (repeatable)")),
    ] = None,
    ears: Annotated[bool, typer.Option(help=tr("Offer speech recognition too"))] = True,
    voices: LibraryOption = None,
    engine: EngineOption = "kokoro",
    checkpoint: CheckpointOption = None,
    dictionary: DictOption = None,
) -> None:
    """Give Home Assistant a voice and ears, until Ctrl-C.

    The protocol knows no password. Beyond this computer, say who may connect: --host 0.0.0.0 --allow 192.168.1.0/24
    """
    import asyncio

    with needs("wyoming"):
        from tts_service.serving.wyoming import networks, serve
    from tts_service.voices.library import Library

    if host not in ("127.0.0.1", "::1", "localhost") and not allow:
        raise typer.BadParameter(
            tr(
                "the protocol knows no password: to listen beyond this computer say who may connect, such as --allow "
                "192.168.1.0/24"
            )
        )
    with arguments():
        check_engine(engine)
        networks(allow or ())
        lexicon = load_lexicon(dictionary)
    with load_engine(engine, checkpoint, voices) as synthesizer:
        synthesizer.lexicon = lexicon

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


def _ears() -> "Callable[[NDArray[np.float32], int], str]":
    """The packaged recogniser, loaded once."""
    from tts_service.audio import resample

    with needs("wyoming"):
        from tts_service.voices.recogniser import Recogniser
    recogniser = Recogniser()
    return lambda samples, rate: recogniser.transcribe(resample(samples, rate, 16000)).text
