"""One contender's turn: started, checked, warmed up, measured, ended. One is alive at a time."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .contenders import Contender
from .load import Load, SlowStreams, Streams, Subject, Unary
from .meters import Window
from .payloads import ANSWER, DONE, PATH, REQUEST_HEADERS, chat_body, stream_body
from .processes import Failed, free_port, started
from .streams import Orders

__all__ = ["CHUNKS", "Bench", "Scale", "Turn", "paced"]

CHUNKS: Final = 50
"""Chunks of a paced stream."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How long everything takes. Slices of unary load alone and together and of streams, streams of a
    connection in a slice, chunks of each slow stream."""

    alone: int = 2
    together: int = 3
    streams: int = 2
    repeat: int = 2
    slow_chunks: int = 50


@dataclass(frozen=True, slots=True)
class Turn:
    """One contender in one round. None is what was not measured: wrk is missing, or it relays nothing."""

    alone: Unary | None
    together: Unary | None
    streams: Streams | None
    reopened: int
    """Connections opened to the upstream while 16 clients asked over connections long warm.

    A few are right: a slice ends with 16 clients that hang up, and who hears it hangs up on the upstream.
    """

    @property
    def windows(self) -> list[Window]:
        """Everything that was measured."""
        loads = (self.alone, self.together, self.streams)
        return [load.window for load in loads if load is not None]


def paced(port: int, repeat: int) -> Orders:
    """64 streams at a time with a chunk every 10 ms, begun evenly over the length of a stream."""
    return Orders(port, connections=64, repeat=repeat, chunks=CHUNKS, gap_ms=10, spread=CHUNKS / 100)


class Bench:
    """The upstream, the load, and the two CPUs between them. `cpu` is for the contender.

    While other processes disturb, each load goes on for `wait` seconds more.
    """

    def __init__(
        self, *, upstream: int, upstream_pid: int, cpu: int, load_cpu: int, folder: Path, wait: float = 0.0
    ) -> None:
        self._upstream = upstream
        self._cpu = cpu
        self._folder = folder
        self._load = Load(load_cpu, folder, upstream_pid, wait)

    def turn(self, contender: Contender, scale: Scale) -> Turn:
        """Measure one contender.

        Unary load comes first: a transport may look at every idle connection for each request, and so the 64
        that streams leave behind would be measured as well.
        """
        with self._alive(contender) as subject:
            load = self._load
            load.warm_up(subject, 1)
            alone = load.unary(subject, 1, scale.alone)
            load.warm_up(subject, 16)
            before = self._accepted()
            together = load.unary(subject, 16, scale.together)
            reopened = self._accepted() - before - 1  # this question's own
            streams = None
            if contender.relays:
                streams = load.streams(subject, paced(subject.port, scale.repeat), scale.streams)
            return Turn(alone, together, streams, reopened)

    def slow_streams(self, contender: Contender, scale: Scale) -> SlowStreams:
        """500 streams at once, each with a chunk every 200 ms."""
        with self._alive(contender) as subject:
            spread = scale.slow_chunks * 0.2 / 5  # so for most of the time there are all 500
            orders = Orders(
                subject.port, 500, repeat=1, chunks=scale.slow_chunks, gap_ms=200, spread=spread, warm=0
            )
            return self._load.slow_streams(subject, orders)

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
            answer = _ask(connection, stream_body(5, 1))
            if answer.count(b"\n\n") != 6 or not answer.endswith(DONE):
                raise Failed("not the upstream's stream")
    finally:
        connection.close()


def _ask(connection: http.client.HTTPConnection, body: bytes) -> bytes:
    connection.request("POST", PATH, body, dict(REQUEST_HEADERS))
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200:
        print(answer.decode(errors="replace"), file=sys.stderr)
        raise Failed(f"status {response.status}")
    return answer
