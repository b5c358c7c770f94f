"""Opens a connection: name resolution, TCP and TLS within one timeout.

If the host has several addresses, attempts to them start a quarter of a second apart (Happy Eyeballs, RFC
8305). uvloop alone would try one address after the other and wait minutes for each.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

import httpx2
from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType]

from .connection import Connection

__all__ = ["DELAY", "dial", "resolve"]

DELAY: Final = 0.25
"""Seconds before the next address is tried in parallel (RFC 8305, section 5)."""


async def dial(
    host: str,
    port: int,
    context: ssl.SSLContext | None,
    make: Callable[[], Connection],
    max_seconds: float | None,
) -> Connection:
    """Open a connection within `max_seconds` seconds.

    Raises httpx2.ConnectTimeout, or httpx2.ConnectError if resolving, TCP or TLS fails.
    """
    try:
        async with asyncio.timeout(max_seconds):
            return await _open(host, port, context, make)
    except TimeoutError as error:
        raise httpx2.ConnectTimeout("no connection within its limit") from error
    except (OSError, UnicodeError) as error:  # ssl.SSLError is an OSError; IDNA raises UnicodeError
        raise httpx2.ConnectError(f"{type(error).__name__}: no connection") from error


async def _open(
    host: str, port: int, context: ssl.SSLContext | None, make: Callable[[], Connection]
) -> Connection:
    loop = asyncio.get_running_loop()
    # The certificate is checked against the host name, also when the socket is created below.
    options: dict[str, Any] = {} if context is None else {"ssl": context, "server_hostname": host}
    if _is_address(host):
        options |= {"host": host, "port": port}
    else:
        addresses = await resolve(host, port)
        if not addresses:
            raise OSError("the name has no address")
        sock = await start_connection(addresses, happy_eyeballs_delay=DELAY, interleave=1, loop=loop)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        options["sock"] = sock  # the event loop owns it from here on and closes it if connecting fails
    connection = make()
    try:
        await loop.create_connection(lambda: connection, **options)
    except BaseException:
        connection.abort()  # a plain close would start a TLS shutdown and wait for the peer
        raise
    return connection


async def resolve(host: str, port: int) -> list[Any]:
    """Returns the addresses of a host name, in the format of getaddrinfo."""
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
