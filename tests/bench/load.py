"""The loads: unary requests by wrk, paced streams by our own client. Each is measured at the gateway."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Protocol, TypeVar

import orjson

from .contenders import found
from .meters import Memory, Window, memory, window_closed, window_opened
from .payloads import PATH, REQUEST_HEADERS, chat_body
from .processes import Failed, Process, module, on_cpu, started
from .streams import Orders, Outcome

__all__ = ["QUIET", "Load", "Measured", "SlowStreams", "Streams", "Subject", "Unary"]

QUIET: Final = 0.1
"""Cores that others may keep busy while the machine counts as quiet."""

_SCRIPT: Final = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is under load: where it listens, and its process, None where the upstream itself is asked."""

    port: int
    pid: int | None


T = TypeVar("T", bound="Measured")


class Measured(Protocol):
    """Anything that was measured over a time."""

    @property
    def window(self) -> Window: ...


@dataclass(frozen=True, slots=True)
class Unary:
    """What wrk saw, and what it cost. Latencies are in microseconds.

    `errors` and `asked`, the requests of slices that did not count included, are of all slices.
    """

    requests: int
    asked: int
    seconds: float
    errors: int
    p50: float
    p99: float
    window: Window


@dataclass(frozen=True, slots=True)
class Streams:
    """Paced streams, seen by the client and by the meter."""

    chunks: int
    errors: int
    outcome: Outcome
    window: Window


@dataclass(frozen=True, slots=True)
class SlowStreams:
    """Many slow streams at once, and the memory they took."""

    chunks: int
    outcome: Outcome
    window: Window
    before: Memory
    after: Memory


class Load:
    """Puts load on a subject, from `cpu`. `folder` is for files, `upstream` is the upstream's process.

    What costs CPU is measured in slices of a second or two, of which the least disturbed counts. While other
    processes disturbed all of them, more are taken, for `wait` seconds.
    """

    def __init__(self, cpu: int, folder: Path, upstream: int, wait: float = 0.0) -> None:
        self._cpu = cpu
        self._folder = folder
        self._upstream = upstream
        self._wait = wait
        self._body = folder / "body.json"
        self._body.write_bytes(chat_body())
        self._headers = folder / "headers.txt"
        self._headers.write_text(
            "".join(f"{name}: {value}\n" for name, value in REQUEST_HEADERS), encoding="utf-8"
        )
        self._wrk = found("wrk")

    def warm_up(self, subject: Subject, connections: int) -> None:
        """A second of unary requests that is not looked at."""
        if self._wrk is not None:
            self._wrk_slice(subject, self._wrk_command(subject, connections, 1))

    def unary(self, subject: Subject, connections: int, slices: int, seconds: int = 1) -> Unary | None:
        """Unary requests, one after the other on each connection. None without wrk."""
        if self._wrk is None:
            return None
        command = self._wrk_command(subject, connections, seconds)
        measured = self._slices(lambda: self._wrk_slice(subject, command), slices)
        errors, asked = sum(each.errors for each in measured), sum(each.asked for each in measured)
        return replace(_quietest(measured), errors=errors, asked=asked)

    def streams(self, subject: Subject, orders: Orders, slices: int) -> Streams:
        """Paced streams, as ordered, over connections that were opened and warmed up before."""
        with self._client(orders) as client:
            measured = self._slices(lambda: self._stream_slice(subject, orders, client), slices)
            return replace(_quietest(measured), errors=sum(each.errors for each in measured))

    def slow_streams(self, subject: Subject, orders: Orders) -> SlowStreams:
        """The same once, with the subject's memory before any connection and at the end of the streams."""
        pid = subject.pid or self._upstream
        before = memory(pid)
        with self._client(orders) as client:
            measured = self._stream_slice(subject, orders, client)
            return SlowStreams(measured.chunks, measured.outcome, measured.window, before, memory(pid))

    def _slices(self, measure: Callable[[], T], least: int) -> list[T]:
        """So many slices, and more while none was quiet and there is time to wait."""
        until = time.monotonic() + self._wait
        measured: list[T] = []
        while len(measured) < least or (
            _quietest(measured).window.noise > QUIET and time.monotonic() < until
        ):
            measured.append(measure())
        return measured

    def _wrk_command(self, subject: Subject, connections: int, seconds: int) -> list[str]:
        url = f"http://127.0.0.1:{subject.port}{PATH}"
        command = [self._wrk or "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
        return [*command, "-s", str(_SCRIPT), url, "--", str(self._body), str(self._headers)]

    def _wrk_slice(self, subject: Subject, command: list[str]) -> Unary:
        opened = window_opened(subject.pid, [self._upstream])
        with on_cpu(self._cpu):
            ran = subprocess.run(command, capture_output=True, check=False)
        window = window_closed(opened)
        _, _, output = ran.stdout.rpartition(b"RESULT ")
        if ran.returncode or not output:
            raise Failed(f"wrk: {ran.stdout.decode()}{ran.stderr.decode()}")
        result = orjson.loads(output)
        return Unary(
            requests=result["requests"],
            asked=result["requests"],
            seconds=result["duration_us"] / 1e6,
            errors=result["errors"],
            p50=result["p50_us"],
            p99=result["p99_us"],
            window=window,
        )

    def _stream_slice(self, subject: Subject, orders: Orders, client: Process) -> Streams:
        opened = window_opened(subject.pid, [self._upstream, client.pid])
        client.say()
        outcome = Outcome(**orjson.loads(client.hear()))
        window = window_closed(opened)
        return Streams(orders.connections * orders.repeat * orders.chunks, outcome.failed, outcome, window)

    @contextmanager
    def _client(self, orders: Orders) -> Generator[Process]:
        command = module("streams", orjson.dumps(asdict(orders)).decode())
        with started(command, self._cpu, self._folder / "streams.log", talks=True) as client:
            if client.hear() != b"ready\n":
                raise client.failed("is not ready")
            yield client


def _quietest(measured: list[T]) -> T:
    return min(measured, key=lambda each: each.window.noise)
