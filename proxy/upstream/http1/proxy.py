"""A forward proxy as the HTTP/1.1 client sees it."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Final, NamedTuple

from typing_extensions import override

__all__ = ["REJECTED", "Proxy", "ProxyError"]

REJECTED: Final = "the proxy requires other credentials (407)"

_LIMIT: Final = 16 * 1024  # bytes of the head of its answer
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r\n")


class ProxyError(OSError):
    """The proxy opened no tunnel. The message is for the log."""


class Proxy(NamedTuple):
    """Where it listens, and the line of the header `Proxy-Authorization`, if it requires one."""

    host: str
    port: int
    credential: bytes = b""

    @override
    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"

    async def tunnel(self, sock: socket.socket, host: str, port: int) -> None:
        """Make `sock`, connected to the proxy, a connection to `host` (RFC 9110, 9.3.6).

        Raises OSError; `sock` is closed then.
        """
        loop = asyncio.get_running_loop()
        to = b"%b:%d" % ((f"[{host}]" if ":" in host else host).encode(), port)
        try:
            await loop.sock_sendall(
                sock, b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (to, to, self.credential)
            )
            _check(await self._head(sock))
        except BaseException:
            sock.close()
            raise

    async def _head(self, sock: socket.socket) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head:
            part = await asyncio.get_running_loop().sock_recv(sock, _LIMIT)
            head += part
            if not part or len(head) > _LIMIT:
                raise ProxyError("the proxy gave no answer that is HTTP")
        return head


def _check(head: bytes) -> None:
    """Raises ProxyError unless the answer is a tunnel of which nothing was sent yet."""
    match = _STATUS.match(head)
    if match is None:
        raise ProxyError("the proxy gave no answer that is HTTP")
    status = int(match[1])
    if status == 407:
        raise ProxyError(REJECTED)
    if not 200 <= status < 300:
        raise ProxyError(f"the proxy opens no connection ({status})")
    if not head.endswith(b"\r\n\r\n") or head.count(b"\r\n\r\n") != 1:
        raise ProxyError("the proxy sent more than it was asked for")  # TLS begins with the client
