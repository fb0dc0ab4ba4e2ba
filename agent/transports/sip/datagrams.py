"""UDP sockets that hand what arrives to a function."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from loguru import logger

Handler = Callable[[bytes, tuple[str, int]], None]
"""Takes a datagram and the address it came from."""


class Datagrams(asyncio.DatagramProtocol):
    """asyncio's side of a UDP socket."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Pass a datagram on; of an IPv6 address only host and port."""
        self._handler(data, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        """An ICMP message says that nobody listens there. A timeout of the call will see to it."""
        logger.debug(f"UDP: {exc}")


def bound(host: str, port: int, kind: socket.SocketKind = socket.SOCK_DGRAM) -> socket.socket:
    """A socket bound to an IP address and port, for asyncio.

    Raises:
        OSError: The address is taken, or not ours.
    """
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    made.setblocking(False)
    try:
        if kind is socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
    except BaseException:
        made.close()
        raise
    return made


async def listen(made: socket.socket, handler: Handler) -> asyncio.DatagramTransport:
    """Begin to receive."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Datagrams(handler), sock=made)
    return transport
