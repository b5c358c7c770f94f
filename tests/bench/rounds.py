"""One contender's turn: started, checked, warmed up, measured, ended. One is alive at a time."""

from __future__ import annotations

import http.client
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .contenders import Contender
from .load import Load, Subject, Unary
from .meters import Memory, Window, window_closed, window_opened
from .payloads import ANSWER, DONE, PATH, REQUEST_HEADERS, chat_body, stream_body
from .processes import Failed, free_port, started
from .streams import Orders, Outcome

__all__ = ["CHUNKS", "Bench", "Crowd", "Scale", "Streams", "Turn", "paced"]

CHUNKS: Final = 50
"""Chunks of a paced stream."""

_QUIET: Final = 0.1
"""Cores that others may keep busy while the machine counts as quiet."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How long everything takes. Seconds of unary load alone and together, streams one after the other per
    connection, chunks of each slow stream."""

    alone: int = 2
    together: int = 3
    streams: int = 6
    slow_chunks: int = 50


@dataclass(frozen=True, slots=True)
class Streams:
    """Paced streams, seen by the client and by the meter."""

    chunks: int
    outcome: Outcome
    window: Window


@dataclass(frozen=True, slots=True)
class Turn:
    """One contender in one round. None is what was not measured: wrk is missing, or it relays nothing."""

    alone: Unary | None
    together: Unary | None
    streams: Streams | None
    reopened: int
    """Connections opened to the upstream while 16 clients asked over connections long warm. 0 is right."""

    @property
    def windows(self) -> list[Window]:
        """Everything that was measured."""
        loads = (self.alone, self.together, self.streams)
        return [load.window for load in loads if load is not None]


@dataclass(frozen=True, slots=True)
class Crowd:
    """Many slow streams at once, and the memory they took."""

    chunks: int
    outcome: Outcome
    window: Window
    before: Memory
    after: Memory


def paced(port: int, repeat: int) -> Orders:
    """64 streams at a time with a chunk every 10 ms, begun evenly over the length of a stream."""
    return Orders(port, connections=64, repeat=repeat, chunks=CHUNKS, gap_ms=10, spread=CHUNKS / 100)


class Bench:
    """The upstream, the load, and the two CPUs between them. `cpu` is for the contender.

    For `wait` seconds a turn it waits for other processes to be quiet, or measures again.
    """

    def __init__(
        self, *, upstream: int, upstream_pid: int, cpu: int, load_cpu: int, folder: Path, wait: float = 0.0
    ) -> None:
        self._wait = wait
        self._upstream = upstream
        self._upstream_pid = upstream_pid
        self._cpu = cpu
        self._folder = folder
        self._load = Load(load_cpu, folder, upstream_pid)

    def turn(self, contender: Contender, scale: Scale) -> Turn:
        """Measure one contender, and again while others disturb it and there is time to wait."""
        until = time.monotonic() + self._wait
        while True:
            self._settle(until)
            turn = self._turn(contender, scale)
            if time.monotonic() >= until or all(window.noise < _QUIET for window in turn.windows):
                return turn

    def _turn(self, contender: Contender, scale: Scale) -> Turn:
        """Measure one contender.

        Unary load comes first: for each request the transport looks at every idle connection, so the 64 that
        streams leave behind would be measured as well.
        """
        with self._alive(contender) as subject:
            load = self._load
            load.unary(subject, 1, 1)
            alone = load.unary(subject, 1, scale.alone)
            load.unary(subject, 16, 1)
            before = self._accepted()
            together = load.unary(subject, 16, scale.together)
            reopened = self._accepted() - before - 1  # this question's own
            streams = None
            if contender.relays:
                orders = paced(subject.port, scale.streams)
                outcome, window = load.streams(subject, orders)
                streams = Streams(orders.connections * orders.repeat * orders.chunks, outcome, window)
            return Turn(alone, together, streams, reopened)

    def crowd(self, contender: Contender, scale: Scale) -> Crowd:
        """500 streams at once, each with a chunk every 200 ms."""
        self._settle(time.monotonic() + self._wait)
        with self._alive(contender) as subject:
            spread = scale.slow_chunks * 0.2 / 5  # so for most of the time there are all 500
            orders = Orders(
                subject.port, 500, repeat=1, chunks=scale.slow_chunks, gap_ms=200, spread=spread, warm=0
            )
            outcome, window, before, after = self._load.memory_of_streams(subject, orders)
            return Crowd(orders.connections * orders.chunks, outcome, window, before, after)

    def _settle(self, until: float) -> None:
        """Wait until nobody else keeps the machine busy, or until then."""
        while time.monotonic() < until:
            opened = window_opened(None, [self._upstream_pid])
            time.sleep(1)
            if window_closed(opened).noise < _QUIET:
                return

    @contextmanager
    def _alive(self, contender: Contender) -> Generator[Subject]:
        if contender.command is None:
            yield Subject(self._upstream, None)
            return
        port = free_port()
        command = contender.command(port, self._upstream, self._folder)
        log = self._folder / f"{contender.name}.log"
        with started(command, self._cpu, log, port=port) as process:
            subject = Subject(port, process.pid)
            try:
                _check(subject, streams=contender.relays)
            except (OSError, http.client.HTTPException, Failed) as error:
                raise process.failed(f"answers wrongly: {error!r}") from error
            yield subject

    def _accepted(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._upstream, timeout=10)
        try:
            connection.request("GET", "/connections")
            return int(connection.getresponse().read())
        finally:
            connection.close()


def _check(subject: Subject, *, streams: bool) -> None:
    """Ask once for each kind of answer: what is fast because it is wrong should not be measured."""
    connection = http.client.HTTPConnection("127.0.0.1", subject.port, timeout=10)
    try:
        if _ask(connection, chat_body()) != ANSWER:
            raise Failed("not the upstream's answer")
        if streams:
            told = _ask(connection, stream_body(5, 1))
            if told.count(b"\n\n") != 6 or not told.endswith(DONE):
                raise Failed("not the upstream's stream")
    finally:
        connection.close()


def _ask(connection: http.client.HTTPConnection, body: bytes) -> bytes:
    connection.request("POST", PATH, body, dict(REQUEST_HEADERS))
    response = connection.getresponse()
    told = response.read()
    if response.status != 200:
        print(told.decode(errors="replace"), file=sys.stderr)
        raise Failed(f"status {response.status}")
    return told
