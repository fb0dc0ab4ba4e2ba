"""Taking an address to serve at, before anything slow begins."""

from __future__ import annotations

import errno
import os
import socket

from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError
from tts_service.serving.gate import is_loopback


class CannotServe(SpeechError):
    """The server cannot start. The message says why and what to change."""


def bind(host: str, port: int, has_token: bool) -> socket.socket:
    """Take the address before anything slow begins.

    Raises:
        CannotServe: The port is in use or forbidden, the host is not ours, or it lies beyond loopback and there is no
            token.
    """
    if not is_loopback(host) and not has_token:
        raise CannotServe(
            tr(
                "Listening on {host} lets other machines in, so it needs a token: "
                "GLM_TTS_API_KEY=<a long random string> python run_agent.py ...",
                host=host,
            )
        )
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, protocol)
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        raise CannotServe(_why_not(host, port, error)) from error
    return sock


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return tr(
            "Port {port} is in use (perhaps by ourselves). Stop that one, or take another port: --port {other}",
            port=port,
            other=port + 1,
        )
    if error.errno == errno.EACCES:
        return tr("Port {port} needs privileges. Use one above 1023: --port 7860", port=port)
    return tr(
        "Cannot listen on {host}:{port} ({reason}). Check --host; for this computer it is 127.0.0.1",
        host=host,
        port=port,
        reason=error.strerror,
    )
