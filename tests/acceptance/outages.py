"""Stores that fail on cue: closed, so that nobody can connect, or frozen: they accept and say nothing."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, TypeAlias

from typing_extensions import override

from tests.redis_server import RedisServer

__all__ = ["OUTAGES", "Outage", "Way", "outage"]

Way: TypeAlias = Literal["redis closed", "redis frozen", "sqlite closed", "sqlite frozen"]

OUTAGES: Final[tuple[Way, ...]] = ("redis closed", "redis frozen", "sqlite closed", "sqlite frozen")


class Outage(ABC):
    """A store at `url` that can be broken and mended."""

    url: str

    @abstractmethod
    def begin(self) -> None:
        """From now on the store does not answer."""

    @abstractmethod
    def end(self) -> None:
        """It answers again."""


class _Redis(Outage):
    def __init__(self, server: RedisServer, *, frozen: bool) -> None:
        self.url = server.url
        self._server = server
        self._frozen = frozen

    @override
    def begin(self) -> None:
        if self._frozen:
            self._server.freeze()
        else:
            self._server.stop()

    @override
    def end(self) -> None:
        if self._frozen:
            self._server.thaw()
        else:
            self._server.start()


class _Sqlite(Outage):
    """Frozen: somebody else has begun to write, and does not end."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "standby.db"
        self._locker: sqlite3.Connection | None = None
        self.url = f"sqlite:///{self._path}"

    @override
    def begin(self) -> None:
        self._locker = sqlite3.connect(self._path, isolation_level=None)
        self._locker.execute("BEGIN EXCLUSIVE")

    @override
    def end(self) -> None:
        assert self._locker is not None
        self._locker.execute("ROLLBACK")
        self._locker.close()


class _Unreachable(Outage):
    """Closed: the folder of the file is not there, as that of a volume that is not mounted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "volume"
        self._folder.mkdir()  # a gateway does not start without it
        self.url = f"sqlite:///{self._folder / 'standby.db'}"

    @override
    def begin(self) -> None:
        self._folder.rmdir()  # nothing was asked of the store yet

    @override
    def end(self) -> None:
        self._folder.mkdir()


@contextmanager
def outage(way: Way, folder: Path) -> Generator[Outage]:
    """A store whose outage is to begin before anything is asked of it."""
    kind, _, how = way.partition(" ")
    if kind == "sqlite":
        yield _Sqlite(folder) if how == "frozen" else _Unreachable(folder)
    else:
        with RedisServer() as server:
            yield _Redis(server, frozen=how == "frozen")
