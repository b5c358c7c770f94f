"""The loads: unary requests by wrk, paced streams by our own client. Each is measured at the gateway."""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson

from .contenders import found
from .meters import Memory, Window, memory, window_closed, window_opened
from .payloads import PATH, REQUEST_HEADERS, chat_body
from .processes import Failed, Process, module, on_cpu, started
from .streams import Orders, Outcome

__all__ = ["Load", "Subject", "Unary"]

_SCRIPT: Final = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is under load: where it listens, and its process, None where the upstream itself is asked."""

    port: int
    pid: int | None


@dataclass(frozen=True, slots=True)
class Unary:
    """What wrk saw, and what it cost. Latencies are in microseconds."""

    requests: int
    seconds: float
    errors: int
    p50: float
    p99: float
    window: Window


class Load:
    """Puts load on a subject, from `cpu`. `folder` is for files, `upstream` the upstream's process."""

    def __init__(self, cpu: int, folder: Path, upstream: int) -> None:
        self._cpu = cpu
        self._upstream = upstream
        self._folder = folder
        self._body = folder / "body.json"
        self._body.write_bytes(chat_body())
        self._headers = folder / "headers.txt"
        self._headers.write_text(
            "".join(f"{name}: {value}\n" for name, value in REQUEST_HEADERS), encoding="utf-8"
        )
        self._wrk = found("wrk")

    def unary(self, subject: Subject, connections: int, seconds: int) -> Unary | None:
        """Unary requests, one after the other on each connection. None without wrk."""
        if self._wrk is None:
            return None
        url = f"http://127.0.0.1:{subject.port}{PATH}"
        command = [self._wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
        command += ["-s", str(_SCRIPT), url, "--", str(self._body), str(self._headers)]
        opened = window_opened(subject.pid, [self._upstream])
        with on_cpu(self._cpu):
            ran = subprocess.run(command, capture_output=True, check=False)
        window = window_closed(opened)
        _, _, told = ran.stdout.rpartition(b"RESULT ")
        if ran.returncode or not told:
            raise Failed(f"wrk: {ran.stdout.decode()}{ran.stderr.decode()}")
        result = orjson.loads(told)
        return Unary(
            requests=result["requests"],
            seconds=result["duration_us"] / 1e6,
            errors=result["errors"],
            p50=result["p50_us"],
            p99=result["p99_us"],
            window=window,
        )

    def streams(self, subject: Subject, orders: Orders) -> tuple[Outcome, Window]:
        """Paced streams, as ordered, over connections that were opened and warmed up before."""
        with self._client(orders) as client:
            opened = window_opened(subject.pid, [self._upstream, client.pid])
            client.say()
            outcome = Outcome(**orjson.loads(client.hear()))
            return outcome, window_closed(opened)

    def memory_of_streams(self, subject: Subject, orders: Orders) -> tuple[Outcome, Window, Memory, Memory]:
        """The same, with the subject's memory before any connection and at the end of the streams."""
        pid = subject.pid or self._upstream
        before = memory(pid)
        with self._client(orders) as client:
            opened = window_opened(subject.pid, [self._upstream, client.pid])
            client.say()
            outcome = Outcome(**orjson.loads(client.hear()))
            return outcome, window_closed(opened), before, memory(pid)

    @contextmanager
    def _client(self, orders: Orders) -> Generator[Process]:
        command = module("streams", orjson.dumps(asdict(orders)).decode())
        with started(command, self._cpu, self._folder / "streams.log", talks=True) as client:
            if client.hear() != b"ready\n":
                raise client.failed("is not ready")
            yield client
