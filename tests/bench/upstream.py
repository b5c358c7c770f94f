"""The provider of the benchmark: answers chat completions at a cost of a few microseconds.

A process of its own: `python -m tests.bench.upstream PORT`. It reads HTTP/1.1 with a content length, since
that is all it is sent, and tells at `GET /connections` how many connections it has accepted: a gateway that
opens one for every request would be measured for its handshakes.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Final, cast

import uvloop
from typing_extensions import override

from .payloads import ANSWER, DONE, STREAM_HEAD, UNARY_HEAD, chunk, pace_of

__all__ = ["Upstream", "main"]

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_UNARY: Final = UNARY_HEAD + ANSWER
_ROLE: Final = STREAM_HEAD + _framed(chunk({"role": "assistant", "content": ""}))
_TOKEN: Final = _framed(chunk({"content": " order"}))
_FINISH: Final = _framed(chunk({}, finish="stop") + DONE) + b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """One connection. `accepted` counts all of them, in a list of one number that they share."""

    def __init__(self, accepted: list[int]) -> None:
        self._accepted = accepted
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None
        self._left = 0
        self._due = 0.0
        self._gap = 0.0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._accepted[0] += 1

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @override
    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        end = received.find(b"\r\n\r\n") + 4
        if end < 4:
            self._received = received
            return
        length = _LENGTH.search(received, 0, end)
        if len(received) < end + (int(length[1]) if length else 0):
            self._received = received
            return
        self._received = b""
        if received.startswith(b"GET"):
            body = b"%d" % self._accepted[0]
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            return
        pace = pace_of(received[end:])
        if pace is None:
            self._transport.write(_UNARY)
            return
        self._left, self._gap = pace
        self._left -= 1
        self._due = self._loop.time() + self._gap
        self._transport.write(_ROLE)
        self._timer = self._loop.call_at(self._due, self._next)

    def _next(self) -> None:
        """Write one chunk. Due times are absolute, so that a late chunk does not delay those behind it."""
        self._left -= 1
        if self._left == 0:
            self._transport.write(_FINISH)
            return
        self._transport.write(_TOKEN)
        self._due += self._gap
        self._timer = self._loop.call_at(self._due, self._next)


async def _serve(port: int) -> None:
    accepted = [0]
    server = await asyncio.get_running_loop().create_server(
        lambda: Upstream(accepted), "127.0.0.1", port, backlog=2048
    )
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve on the port given as the first argument until terminated."""
    uvloop.run(_serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
