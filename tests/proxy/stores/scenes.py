"""The three kinds of stores, each with a clock that a test sets."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final
from uuid import uuid4

from standby.proxy.stores.memory import Memory
from standby.proxy.stores.redis import Redis
from standby.proxy.stores.sqlite import Sqlite
from standby.proxy.stores.store import Store
from standby.proxy.stores.store_breaker import StoreBreaker
from standby.proxy.stores.tables import Clocks
from typing_extensions import override

from tests.redis_server import RedisServer

__all__ = ["BEGAN", "KINDS", "LocalScene", "RedisScene", "Scene", "patient", "scene_of"]

KINDS: Final = ("memory", "sqlite", "redis")

_TIME: Final = "local P = KEYS[1]\nlocal function time() return tonumber(redis.call('GET', P .. 'time')) end"
BEGAN: Final = float(int(time.time()))
"""The start time of every scene: about now, because a Redis server stamps its streams itself."""


def patient() -> StoreBreaker:
    """A breaker with a long timeout, for tests on busy machines."""
    return StoreBreaker("test", timeout=30.0)


class Scene(ABC):
    """A store and its clock."""

    store: Store

    @abstractmethod
    def pass_time(self, seconds: float) -> None:
        """Advances all clocks."""

    @abstractmethod
    def jump(self, seconds: float) -> None:
        """Sets the wall clock only."""


class LocalScene(Scene):
    """A store in memory, or in SQLite if there is a `path`."""

    def __init__(self, path: Path | None = None) -> None:
        self.wall = BEGAN
        self.monotonic = 5_000.0
        self.boot = "this boot"
        self.path = path
        self.store = self.another()

    def another(self) -> Store:
        """Another store with the same clocks; with a path, on the same file."""
        clocks = Clocks(lambda: self.wall, lambda: self.monotonic, lambda: self.boot)
        return Memory(clocks) if self.path is None else Sqlite(self.path, clocks=clocks, breaker=patient())

    @override
    def pass_time(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    @override
    def jump(self, seconds: float) -> None:
        self.wall += seconds


class RedisScene(Scene):
    """An empty store on `server`. Its scripts read the time from a key."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.prefix = uuid4().hex
        self._now = BEGAN
        self._set()
        self.store = Redis(server.url, prefix=self.prefix, clock=_TIME, breaker=patient())

    def _set(self) -> None:
        self.server.say("SET", f"{{{self.prefix}}}:time", repr(self._now))

    @override
    def pass_time(self, seconds: float) -> None:
        self._now += seconds
        clock = f"{{{self.prefix}}}:clock"
        if self.server.say("EXISTS", clock) == ":1\r\n":  # as if a gateway had used it all the time
            self.server.say("HINCRBYFLOAT", clock, "wall", repr(seconds))
        self._set()

    @override
    def jump(self, seconds: float) -> None:
        self._now += seconds
        self._set()


def scene_of(kind: str, path: Path, server: RedisServer | None) -> Scene:
    """A scene of one of KINDS; only "redis" needs the server."""
    if server is not None:
        return RedisScene(server)
    return LocalScene(path if kind == "sqlite" else None)
