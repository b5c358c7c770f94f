"""Reads the store of a run: from outside the gateways, or through them if it is in their memory."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Final, Literal, TypeAlias

from standby.proxy.stores.records import LedgerEntry, Line
from standby.proxy.stores.redis import Redis, script
from standby.proxy.stores.sqlite import Sqlite
from standby.proxy.stores.store import Store
from standby.proxy.stores.tables import Clocks
from typing_extensions import override

from tests.redis_server import RedisServer

from .store_probe import read_store

__all__ = ["STORES", "Kind", "StoreReader", "reader_of"]

Kind: TypeAlias = Literal["memory", "sqlite", "redis"]

STORES: Final[tuple[Kind, ...]] = ("memory", "sqlite", "redis")

_LEASE: Final = 100
"""Seconds: longer than the lease of any hold of the chaos."""
_STEP: Final = 25
"""Seconds. The clock of leases in Redis takes a longer step for a jump, and stands still."""


class StoreReader(ABC):
    """A store that gateways write to. `url` is what they are told."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.port = 0  # of a gateway

    @abstractmethod
    async def used(self, lines: Sequence[Line]) -> tuple[int, ...]:
        """What is spent and held on each line."""

    @abstractmethod
    async def held(self) -> int:
        """How many holds there are."""

    @abstractmethod
    async def entries(self) -> list[LedgerEntry]:
        """The ledger."""

    @abstractmethod
    async def expire(self) -> int:
        """Have the lease of every hold be over, as it will be when time has passed; how many there were."""


class _Outside(StoreReader):
    """A store that everybody can open."""

    @abstractmethod
    def _open(self, ahead: float = 0.0) -> Store:
        """The store, its clock of leases so many seconds ahead."""

    @override
    async def used(self, lines: Sequence[Line]) -> tuple[int, ...]:
        async with aclosing(self._open()) as store:
            return await store.used(lines)

    @override
    async def held(self) -> int:
        async with aclosing(self._open()) as store:
            return await store.held()

    @override
    async def entries(self) -> list[LedgerEntry]:
        async with aclosing(self._open()) as store:
            return [entry async for entry in store.entries()]

    @override
    async def expire(self) -> int:
        ended = 0
        for ahead in range(0, _LEASE + _STEP, _STEP):
            async with aclosing(self._open(ahead)) as store:
                ended += await store.sweep()
        return ended


class _Sqlite(_Outside):
    def __init__(self, path: Path) -> None:
        super().__init__(f"sqlite:///{path}")
        self._path = path

    @override
    def _open(self, ahead: float = 0.0) -> Store:
        return Sqlite(self._path, clocks=Clocks(monotonic=lambda: time.monotonic() + ahead))


class _Redis(_Outside):
    @override
    def _open(self, ahead: float = 0.0) -> Store:
        return Redis(
            self.url, clock=script("clock").replace("tonumber(now[1])", f"tonumber(now[1]) + {ahead}")
        )


class _Memory(StoreReader):
    """Nothing outlives the process, so what has not been settled is not waited for either."""

    @override
    async def used(self, lines: Sequence[Line]) -> tuple[int, ...]:
        return (await read_store(self.port, lines)).used

    @override
    async def held(self) -> int:
        return (await read_store(self.port)).held

    @override
    async def entries(self) -> list[LedgerEntry]:
        return list((await read_store(self.port, ledger=True)).entries)

    @override
    async def expire(self) -> int:
        return 0


@contextmanager
def reader_of(kind: Kind, folder: Path) -> Generator[StoreReader]:
    """An empty store of this kind, in `folder` or on a server of their own."""
    if kind == "sqlite":
        yield _Sqlite(folder / "standby.db")
    elif kind == "memory":
        yield _Memory("memory:")
    else:
        with RedisServer() as server:
            yield _Redis(server.url)
