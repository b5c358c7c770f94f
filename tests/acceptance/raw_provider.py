"""A provider that sends the bytes it was given, over a real socket, and nothing else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

__all__ = ["RawAnswer", "RawProvider", "raw_provider"]

_CHUNK: Final = b"%x\r\n%s\r\n"


@dataclass
class RawAnswer:
    """An answer in pieces, each after its delay in seconds. A stream of events is sent chunked.

    `forever` is repeated every 50 ms after the pieces, and with `breaks` the body has no end. `asked` counts
    the requests.
    """

    status: int
    headers: Mapping[str, str]
    pieces: list[bytes]
    delays: list[float] = field(default_factory=list[float])
    forever: bytes = b""
    breaks: bool = False
    asked: int = 0

    async def send(self, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        self.asked += 1
        chunked = "event-stream" in self.headers.get("content-type", "")
        length = sum(map(len, self.pieces))
        framing = "transfer-encoding: chunked" if chunked else f"content-length: {length}"
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        writer.write(f"HTTP/1.1 {self.status} X\r\n{head}{framing}\r\nconnection: close\r\n\r\n".encode())
        for place, piece in enumerate(self.pieces):
            await writer.drain()
            await asyncio.sleep(self.delays[place] if place < len(self.delays) else 0)
            writer.write(_CHUNK % (len(piece), piece) if chunked else piece)
            await writer.drain()
            await asyncio.sleep(0.002)  # so that each event arrives by itself
        while self.forever:
            await asyncio.sleep(0.05)
            writer.write(_CHUNK % (len(self.forever), self.forever))
            await writer.drain()
        if chunked and not self.breaks:
            writer.write(b"0\r\n\r\n")
        await writer.drain()


class RawProvider:
    """One server for many providers: the first two parts of a request's path name its answer."""

    def __init__(self) -> None:
        self.answers: dict[str, RawAnswer] = {}
        self.port = 0
        self._connections: set[asyncio.Task[None]] = set()

    def url(self, name: str) -> str:
        """The `base_url` of the provider that gives the answer of this name."""
        return f"http://127.0.0.1:{self.port}/{name}"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = re.search(r"(?i)^content-length: *(\d+)", head, re.MULTILINE)
                await reader.readexactly(int(length[1]) if length else 0)
                await self.answers["/".join(head.split(" ", 2)[1].split("/")[1:3])].send(writer)
        finally:
            self._connections.discard(task)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def aclose(self) -> None:
        """Break off what is still being sent."""
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)


@asynccontextmanager
async def raw_provider() -> AsyncGenerator[RawProvider]:
    """A raw provider on loopback."""
    provider = RawProvider()
    server = await asyncio.start_server(provider.accept, "127.0.0.1", 0, limit=2**22)
    provider.port = server.sockets[0].getsockname()[1]
    try:
        yield provider
    finally:
        server.close()
        await provider.aclose()
