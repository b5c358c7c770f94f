"""The client of paced streams, a process of its own: `python -m tests.bench.streams ORDERS`.

ORDERS is the JSON of `Orders`. It connects, runs each connection's warm-up streams, says `ready`, and for
each line it is sent, it runs the streams to be measured and prints the JSON of `Outcome`: counters can be
read at moments when nothing runs.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import cast

import orjson
import uvloop
from typing_extensions import override

from .payloads import CONTENT_MARK, DONE, request, stream_body

__all__ = ["Orders", "Outcome", "main", "percentile"]


@dataclass(frozen=True, slots=True)
class Orders:
    """So many connections, each running `repeat` streams one after the other after `warm` unmeasured ones.

    They begin spread evenly over `spread` seconds: in step, they would come as a crowd that no gateway meets.
    A stream is waited for until `grace` seconds after it should have ended.
    """

    port: int
    connections: int
    repeat: int
    chunks: int
    gap_ms: int
    spread: float
    warm: int = 1
    grace: float = 10.0


@dataclass(slots=True)
class Outcome:
    """What the clients saw. Times are in milliseconds; `first` is from the request to the first token."""

    finished: int = 0
    unfinished: int = 0
    errors: int = 0
    first_p50: float = 0.0
    first_p99: float = 0.0
    gap_p50: float = 0.0
    gap_p99: float = 0.0

    @property
    def failed(self) -> int:
        """Streams that did not end as they should."""
        return self.unfinished + self.errors


def percentile(values: list[float], part: float) -> float:
    """The value below which `part` of the values lie; 0 without any."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] if values else 0.0


@dataclass(slots=True)
class _Seen:
    finished: int = 0
    errors: int = 0
    first: list[float] = field(default_factory=list[float])
    gaps: list[float] = field(default_factory=list[float])


class _Connection(asyncio.Protocol):
    """One keep-alive connection that runs one stream at a time."""

    def __init__(self, question: bytes, events: int) -> None:
        self._question = question
        self._expected = events
        self._ended: asyncio.Future[None] | None = None
        self._lost = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._end()

    async def run(self, seen: _Seen) -> None:
        """Ask for one stream and read it to its end, or until the connection is lost."""
        self._last = b""
        self._events = 0
        self._sound = False
        self._done = False
        self._first: float | None = None
        self._arrived = 0.0
        self._seen = seen
        self._ended = asyncio.get_running_loop().create_future()
        self._began = perf_counter()
        if not self._lost:
            self._transport.write(self._question)
            await self._ended
        if self._sound and self._done and self._events == self._expected:
            seen.finished += 1
        else:
            seen.errors += 1

    @override
    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        if self._first is None:
            self._sound = self._sound or data.startswith(b"HTTP/1.1 200 ")
            if CONTENT_MARK in data:
                self._first = now - self._began
                self._seen.first.append(self._first)
        else:
            self._seen.gaps.append(now - self._arrived)
        self._arrived = now
        joined = self._last + data
        self._events += joined.count(b"\n\n")
        self._last = data[-1:]
        if DONE in joined:
            self._done = True
        if joined.endswith(b"0\r\n\r\n"):
            self._end()
        elif not self._sound:
            self._transport.close()

    def _end(self) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)


async def _run(orders: Orders) -> None:
    loop = asyncio.get_running_loop()
    question = request(f"127.0.0.1:{orders.port}", stream_body(orders.chunks, orders.gap_ms))
    connections: list[_Connection] = []
    for _ in range(orders.connections):
        _, connection = await loop.create_connection(
            lambda: _Connection(question, orders.chunks + 1), "127.0.0.1", orders.port
        )
        connections.append(connection)
    if orders.warm:
        await _all(connections, orders, orders.warm)
    report = "ready"
    while await _answered(report):
        report = orjson.dumps(asdict(await _all(connections, orders, orders.repeat))).decode()


async def _all(connections: list[_Connection], orders: Orders, repeat: int) -> Outcome:
    seen = _Seen()
    gap = orders.gap_ms / 1000

    async def one(number: int, connection: _Connection) -> None:
        await asyncio.sleep(orders.spread * number / len(connections))
        for _ in range(repeat):
            await connection.run(seen)

    tasks = [asyncio.create_task(one(number, each)) for number, each in enumerate(connections)]
    _, late = await asyncio.wait(tasks, timeout=orders.spread + repeat * orders.chunks * gap + orders.grace)
    for task in late:
        task.cancel()
    return Outcome(
        finished=seen.finished,
        unfinished=len(connections) * repeat - seen.finished - seen.errors,
        errors=seen.errors,
        first_p50=percentile(seen.first, 0.5) * 1000,
        first_p99=percentile(seen.first, 0.99) * 1000,
        gap_p50=percentile(seen.gaps, 0.5) * 1000,
        gap_p99=percentile(seen.gaps, 0.99) * 1000,
    )


async def _answered(words: str) -> bool:
    """Say something and wait for a line; False when there will be none."""
    print(words, flush=True)
    return bool(await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline))


def main() -> None:
    """Carry out the orders given as the first argument."""
    uvloop.run(_run(Orders(**orjson.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
