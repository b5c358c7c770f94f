"""A forward proxy on loopback that tunnels and forwards to one provider, whatever host it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

__all__ = ["ProxyServer", "forward_proxy"]


class ProxyServer:
    """It records the heads of what it is asked, and gives `refusal` instead of a tunnel if that is set."""

    def __init__(self, to: int) -> None:
        self.to = to
        self.port = 0
        self.heads: list[bytes] = []
        self.refusal = b""
        self.open = 0

    @property
    def address(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side closes it."""
        self.open += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if self.refusal:
                writer.write(self.refusal)
                await reader.read()
                return
            remote_reader, remote = await asyncio.open_connection("127.0.0.1", self.to)
            if head.startswith(b"CONNECT "):
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                remote.write(head)
            await asyncio.gather(_copy(reader, remote), _copy(remote_reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()
            self.open -= 1


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def forward_proxy(to: int) -> AsyncGenerator[ProxyServer]:
    """A proxy to the provider at this port."""
    made = ProxyServer(to)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
