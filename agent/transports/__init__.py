"""The lines a call can come in by. Each brings routes, or a listener of its own, to the one server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from fastapi import APIRouter

from pipecat_glm_tts.extras import needs
from pipecat_glm_tts.wording import tr

if TYPE_CHECKING:
    from agent.switchboard import Switchboard

PROVIDERS = ("twilio", "telnyx", "plivo", "exotel")
"""Of telephone calls; `agent.transports.providers` has a class for each."""
NAMES = ("webrtc", "sip", *PROVIDERS)


class Line(Protocol):
    """One kind of call: routes for the web server, and whatever it runs beside them."""

    router: APIRouter
    """Mounted at the root of the server. May be empty."""
    open_paths: tuple[str, ...]
    """Paths that the gate lets pass without the token because the line checks its callers itself."""

    async def open(self) -> None:
        """Begin to take calls, for a line that listens on its own."""
        ...

    async def close(self) -> None:
        """End every call of this line, within a second."""
        ...


def line(name: str, switchboard: Switchboard) -> Line:
    """The line called `name`.

    Raises:
        ValueError: There is no such line; the message lists those that exist.
        SpeechError: It needs a package that is not installed.
    """
    # Imported here so that one line does not need the packages of the others.
    match name:
        case "webrtc":
            from agent.transports.webrtc import WebRTC

            return WebRTC(switchboard)
        case "sip":
            with needs("phone"):
                from agent.transports.sip_line import Sip
            return Sip(switchboard)
        case _ if name in PROVIDERS:
            from agent.transports.telephony import Telephony

            return Telephony(switchboard)
        case _:
            raise ValueError(tr("there is no transport {name!r}; known: {names}", name=name, names=", ".join(NAMES)))
