"""Opens a connection: name resolution, TCP, the tunnel of a proxy and TLS within one timeout.

If the host has several addresses, attempts to them start a quarter of a second apart (Happy Eyeballs, RFC
8305). uvloop alone would try one address after the other and wait minutes for each.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

import httpx2
from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType]

from .connection import Connection
from .proxy import Proxy, ProxyError

__all__ = ["DELAY", "dial", "resolve"]

DELAY: Final = 0.25
"""Seconds before the next address is tried in parallel (RFC 8305, section 5)."""

_FLAWS: Final = MappingProxyType(
    {
        2: "the certificate is of an unknown authority",
        9: "the certificate is not valid yet",
        10: "the certificate has expired",
        18: "the certificate is self-signed, by nobody who is trusted",
        19: "the certificate is of an unknown authority",
        20: "the certificate is of an unknown authority",
        21: "the certificate is of an unknown authority",
        62: "the certificate is for another host",
        64: "the certificate is for another address",
    }
)
"""The `X509_V_ERR_*` of OpenSSL (x509_vfy.h) that an operator meets, in words."""


async def dial(
    host: str,
    port: int,
    context: ssl.SSLContext | None,
    make: Callable[[], Connection],
    max_seconds: float | None,
    proxy: Proxy | None = None,
) -> Connection:
    """Open a connection within `max_seconds` seconds.

    Raises httpx2.ConnectTimeout, or httpx2.ConnectError if resolving, TCP, the proxy or TLS fails. Its
    message is for the log, and has nothing of a URL but the host.
    """
    try:
        async with asyncio.timeout(max_seconds):
            return await _open(host, port, context, make, proxy)
    except TimeoutError as error:
        raise httpx2.ConnectTimeout("no connection within its limit") from error
    except (OSError, UnicodeError) as error:  # ssl.SSLError is an OSError; IDNA raises UnicodeError
        raise httpx2.ConnectError(_reason(error)) from error


async def _open(
    host: str,
    port: int,
    context: ssl.SSLContext | None,
    make: Callable[[], Connection],
    proxy: Proxy | None,
) -> Connection:
    loop = asyncio.get_running_loop()
    # The certificate is checked against the host name, also when the socket is created below.
    options: dict[str, Any] = {} if context is None else {"ssl": context, "server_hostname": host}
    if proxy is not None:
        try:
            sock = await _connect(proxy.host, proxy.port)
        except OSError as error:
            raise ProxyError(f"the proxy is not reached: {_reason(error)}") from error
        if context is not None:
            await proxy.tunnel(sock, host, port)
        options["sock"] = sock
    elif _is_address(host):
        options |= {"host": host, "port": port}
    else:
        options["sock"] = await _connect(host, port)  # the loop owns it now, and closes it if TLS fails
    connection = make()
    try:
        await loop.create_connection(lambda: connection, **options)
    except BaseException:
        connection.abort()  # a plain close would start a TLS shutdown and wait for the peer
        raise
    return connection


async def _connect(host: str, port: int) -> socket.socket:
    addresses = await resolve(host, port)
    if not addresses:
        raise OSError("the name has no address")
    loop = asyncio.get_running_loop()
    sock = await start_connection(addresses, happy_eyeballs_delay=DELAY, interleave=1, loop=loop)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


async def resolve(host: str, port: int) -> list[Any]:
    """Returns the addresses of a host name, in the format of getaddrinfo."""
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {_FLAWS.get(error.verify_code, error.verify_message)}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'the handshake failed'}"
    if isinstance(error, socket.gaierror):
        return "the name does not resolve"
    if isinstance(error, ProxyError):
        return str(error)
    return type(error).__name__


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
