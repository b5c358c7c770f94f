"""The three stores, each with a clock that a test moves."""

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
"""The time of every scene at its start: about now, since a Redis server stamps its streams itself."""


def patient() -> StoreBreaker:
    """A guard for tests of what a store does, on machines that are busy with something else."""
    return StoreBreaker("test", timeout=30.0)


class Scene(ABC):
    """A store, and the time by which it goes."""

    store: Store

    @abstractmethod
    def pass_time(self, seconds: float) -> None:
        """Time goes by as it should."""

    @abstractmethod
    def jump(self, seconds: float) -> None:
        """The clock on the wall is set."""


class LocalScene(Scene):
    """Memory, or SQLite in the file at `path`."""

    def __init__(self, path: Path | None = None) -> None:
        self.wall = BEGAN
        self.monotonic = 5_000.0
        self.boot = "this boot"
        self.path = path
        self.store = self.another()

    def another(self) -> Store:
        """One more store by the same clocks; of a file it is the same one."""
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
    """An empty store on `server`. Its scripts take the time from a key."""

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
        if self.server.say("EXISTS", clock) == ":1\r\n":  # somebody has looked at it all the while
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
