"""Starting and ending the benchmark's processes, each on its own CPU."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

__all__ = ["Failed", "Process", "free_port", "module", "on_cpu", "started"]

_PATIENCE: Final = 15.0
"""Seconds that a process may take to listen, and to end."""


class Failed(Exception):
    """A process of the benchmark did not do what it was started for."""


def module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module of the benchmark."""
    return [sys.executable, "-m", f"tests.bench.{name}", *arguments]


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def on_cpu(cpu: int) -> Generator[None]:
    """What is started inside, and all that it starts itself, runs on `cpu`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Process:
    """A running process of ours. `stdin` and `stdout` are there when it was started to be talked to."""

    def __init__(self, command: Sequence[str], cpu: int, log: Path, *, talks: bool = False) -> None:
        pipe = subprocess.PIPE if talks else subprocess.DEVNULL
        self._log = log
        with log.open("wb") as errors, on_cpu(cpu):
            self._popen = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors)
        self.pid = self._popen.pid

    def say(self) -> None:
        """Send an empty line."""
        _pipe(self._popen.stdin).write(b"\n")
        _pipe(self._popen.stdin).flush()

    def hear(self) -> bytes:
        """The next line it prints. Raises Failed when it has ended."""
        line = _pipe(self._popen.stdout).readline()
        if not line:
            raise self.failed("ended early")
        return line

    def listens(self, port: int) -> None:
        """Wait until it accepts connections. Raises Failed."""
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            if self._popen.poll() is not None:
                raise self.failed("ended early")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        raise self.failed("does not listen")

    def failed(self, why: str) -> Failed:
        """What went wrong, with the end of what it printed."""
        output = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
        return Failed(f"{self._popen.args!r} {why}\n{output}")

    def end(self) -> None:
        """Ask it to end, and make it."""
        self._popen.terminate()
        try:
            self._popen.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        for stream in (self._popen.stdin, self._popen.stdout):
            if stream is not None:
                stream.close()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None, "this process was not started to be talked to"
    return stream


@contextmanager
def started(
    command: Sequence[str], cpu: int, log: Path, *, port: int | None = None, talks: bool = False
) -> Generator[Process]:
    """A process that has begun to listen on `port`, ended at the end."""
    process = Process(command, cpu, log, talks=talks)
    try:
        if port is not None:
            process.listens(port)
        yield process
    finally:
        process.end()
