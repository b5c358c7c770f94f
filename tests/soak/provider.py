"""A provider that costs little: HTTP/1.1 with a content length, and a function that says what it answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias, cast

from typing_extensions import override

__all__ = ["Answering", "Line", "Provider"]

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Line(asyncio.Protocol):
    """One connection from the gateway. `busy` from a whole request to `end`."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._more: Callable[[], None] | None = None
        self.busy = False
        self.paused = False
        self.sent = 0  # bytes, of the answer under way

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of another class
        self._provider.accepted += 1
        self._provider.lines.add(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._provider.lines.discard(self)
        self._more = None
        if self._timer is not None:
            self._timer.cancel()

    @override
    def pause_writing(self) -> None:
        self.paused = True

    @override
    def resume_writing(self) -> None:
        self.paused = False
        self._flow()

    @override
    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        end = received.find(b"\r\n\r\n") + 4
        length = _LENGTH.search(received, 0, end)
        if end < 4 or len(received) < end + (int(length[1]) if length else 0):
            self._received = received
            return
        self._received = b""
        self._provider.asked += 1
        self.busy = True
        self.sent = 0
        self._provider.answer(self, received[end:])

    @property
    def gone(self) -> bool:
        """The gateway has closed the connection."""
        return self not in self._provider.lines

    def later(self, seconds: float, then: Callable[[], None]) -> None:
        """Go on with the answer, unless the gateway has gone by then."""
        self._timer = self._loop.call_later(seconds, then)

    def write(self, data: bytes) -> None:
        """Send a part of the answer."""
        self.sent += len(data)
        self._transport.write(data)

    def end(self, data: bytes) -> None:
        """Send the last of the answer."""
        self.busy = False
        self.write(data)

    def pour(self, piece: bytes, limit: int, then: Callable[[], None] | None = None) -> None:
        """Send `piece` again and again, as fast as it is taken, up to `limit` bytes of the answer."""

        def more() -> None:
            while self.sent < limit:
                if self.paused:
                    return
                self.write(piece)
            self._more = None
            if then is not None:
                then()

        self._more = more
        self._flow()

    def stop(self) -> None:
        """Pour no more."""
        self._more = None

    def _flow(self) -> None:
        if self._more is not None:
            self._more()

    def hang_up(self) -> None:
        """Close the connection."""
        self._transport.abort()


Answering: TypeAlias = Callable[[Line, bytes], None]
"""Answers the request of a line, whose body is given."""


class Provider:
    """A provider on a port of its own.

    `asked` counts requests, `accepted` connections, `lines` are the open ones.
    """

    def __init__(self, answer: Answering) -> None:
        self.answer = answer
        self.lines = set[Line]()
        self.accepted = 0
        self.asked = 0
        self.port = 0

    @property
    def url(self) -> str:
        """The base URL of a provider in `routes.toml`."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def busy(self) -> int:
        """How many lines have an answer under way."""
        return sum(line.busy for line in self.lines)

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[Provider]:
        """Listen, and hang up on everybody at the end."""
        server = await asyncio.get_running_loop().create_server(
            lambda: Line(self), "127.0.0.1", 0, backlog=1024
        )
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for line in tuple(self.lines):
                line.hang_up()
            await server.wait_closed()
