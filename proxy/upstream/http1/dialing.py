"""A new connection: name, TCP, TLS, within one limit.

A host of several addresses is tried at all of them, a quarter of a second apart (Happy Eyeballs, RFC 8305),
since uvloop tries one after the other and waits minutes for each.
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
"""Seconds that one address has before the next is tried as well (RFC 8305, section 5)."""


async def dial(
    host: str, port: int, context: ssl.SSLContext | None, make: Callable[[], Connection], limit: float | None
) -> Connection:
    """Connect, within `limit` seconds. Raises httpx2.ConnectError, httpx2.ConnectTimeout."""
    try:
        async with asyncio.timeout(limit):
            return await _open(host, port, context, make)
    except TimeoutError as error:
        raise httpx2.ConnectTimeout("no connection within its limit") from error
    except (OSError, UnicodeError) as error:  # ssl.SSLError is an OSError; a host need not be a name
        raise httpx2.ConnectError(f"{type(error).__name__}: no connection") from error


async def _open(
    host: str, port: int, context: ssl.SSLContext | None, make: Callable[[], Connection]
) -> Connection:
    loop = asyncio.get_running_loop()
    # The name is what the certificate must be for, also when the socket is made here.
    way: dict[str, Any] = {} if context is None else {"ssl": context, "server_hostname": host}
    if _is_address(host):
        way |= {"host": host, "port": port}
    else:
        addresses = await resolve(host, port)
        if not addresses:
            raise OSError("the name has no address")
        made = await start_connection(addresses, happy_eyeballs_delay=DELAY, interleave=1, loop=loop)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        way["sock"] = made  # the loop's from here on, also when it fails
    connection = make()
    try:
        await loop.create_connection(lambda: connection, **way)
    except BaseException:
        connection.abort()  # the loop would say good-bye over TLS, and wait for the answer
        raise
    return connection


async def resolve(host: str, port: int) -> list[Any]:
    """The addresses of a name, as getaddrinfo gives them."""
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
