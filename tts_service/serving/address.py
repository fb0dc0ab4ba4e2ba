"""Taking an address to serve at, before anything slow begins."""

from __future__ import annotations

import errno
import os
import socket

from tts_service.engine import SpeechError
from tts_service.serving.gate import is_loopback


class CannotServe(SpeechError):
    """The server cannot start. The message says why and what to change, in Chinese and English."""


def bind(host: str, port: int, has_token: bool) -> socket.socket:
    """Take the address before anything slow begins.

    Raises:
        CannotServe: The port is in use or forbidden, the host is not ours, or it lies beyond loopback and there is no
            token.
    """
    if not is_loopback(host) and not has_token:
        raise CannotServe(
            f"监听 {host} 会让别的机器也能连接，需要先设一个口令：GLM_TTS_API_KEY=<长随机串> python run_agent.py ...\n"
            f"Listening on {host} lets other machines in, so it needs a token: "
            "GLM_TTS_API_KEY=<a long random string> python run_agent.py ..."
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
        return (
            f"端口 {port} 已被占用（也许另一个实例还在运行）。请关掉它，或换一个端口：--port {port + 1}\n"
            f"Port {port} is in use (perhaps by ourselves). Stop that one, or take another port: --port {port + 1}"
        )
    if error.errno == errno.EACCES:
        return (
            f"没有权限使用端口 {port}。请用 1024 以上的端口：--port 7860\n"
            f"Port {port} needs privileges. Use one above 1023: --port 7860"
        )
    return (
        f"无法监听 {host}:{port}（{error.strerror}）。请检查 --host，本机通常是 127.0.0.1\n"
        f"Cannot listen on {host}:{port} ({error.strerror}). Check --host; for this computer it is 127.0.0.1"
    )
