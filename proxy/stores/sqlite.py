"""A store in one SQLite file, shared by all processes of one machine."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from typing_extensions import override

from . import hold_rules
from .records import Denied, Held, Issued, KeyRecord, LedgerEntry, Line
from .sqlite_tables import SqliteTables, entries_after
from .sqlite_writer import SqliteWriter, connect
from .store import Store, StoreDown
from .store_breaker import StoreBreaker
from .tables import Clocks

__all__ = ["Sqlite"]

T = TypeVar("T")

_PAGE: Final = 1000
"""The number of ledger entries per read."""
_CLOSING: Final = 5.0
"""Seconds that closing waits for pending operations."""


class Sqlite(Store):
    """A store that runs all operations in one thread, with one transaction for each batch.

    `synchronous` is SQLite's setting. With "normal", no data is lost when a process ends, but the last
    transactions may be lost when the machine fails. "full" also survives that, but each batch waits for the
    disk.
    """

    def __init__(
        self,
        path: Path,
        *,
        synchronous: str = "normal",
        clocks: Clocks | None = None,
        breaker: StoreBreaker | None = None,
    ) -> None:
        self.path = path
        self._synchronous = synchronous
        self._clocks = clocks or Clocks()
        self.breaker = breaker or StoreBreaker(f"SQLite ({path})")
        self._writer: SqliteWriter | None = None

    @override
    def now(self) -> float:
        return self._clocks.wall()

    async def _run(self, operation: Callable[[SqliteTables], T]) -> T:
        """Runs an operation in the writer's thread and returns its result. Raises StoreDown."""
        call = self.breaker.begin()
        if self._writer is None:
            self._writer = SqliteWriter(self.path, self._clocks, self._synchronous)
        self._writer.put(call, operation)
        result: T = await call.future
        return result

    @override
    async def hold(
        self,
        hold_id: str,
        lines: Sequence[Line],
        *,
        lease: float,
        entries: Sequence[LedgerEntry] = (),
        enforce: bool = True,
    ) -> Held | Denied:
        hold_rules.check(lines)
        lines, entries = tuple(lines), tuple(entries)
        return await self._run(
            lambda tables: hold_rules.hold(tables, hold_id, lines, lease, entries, enforce)
        )

    @override
    async def settle(self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> bool:
        hold_rules.check(lines)
        lines, entries = tuple(lines), tuple(entries)
        return await self._run(lambda tables: hold_rules.settle(tables, hold_id, lines, entries))

    @override
    async def sweep(self) -> int:
        return await self._run(hold_rules.sweep)

    @override
    async def used(self, lines: Sequence[Line]) -> tuple[int, ...]:
        lines = tuple(lines)
        return await self._run(lambda tables: hold_rules.used(tables, lines))

    @override
    async def held(self) -> int:
        return await self._run(SqliteTables.held)

    @override
    async def entries(self, since: float = 0.0) -> AsyncIterator[LedgerEntry]:
        """Reads the ledger through a separate connection, in another thread. Writes are not blocked."""
        await self.held()  # after this, earlier operations are written and the file exists
        line = 0
        while page := await asyncio.to_thread(self._page, line, since):
            for _, entry in page:
                yield entry
            line = page[-1][0]

    def _page(self, line: int, since: float) -> list[tuple[int, LedgerEntry]]:
        try:
            with closing(connect(self.path, self._synchronous)) as connection:
                return entries_after(connection, line, since, _PAGE)
        except sqlite3.Error as error:
            raise StoreDown(f"SQLite: {error}") from error

    @override
    async def key_by_hash(self, digest: str) -> KeyRecord | None:
        return await self._run(lambda tables: tables.key_by_hash(digest))

    @override
    async def key(self, name: str) -> KeyRecord | None:
        return await self._run(lambda tables: tables.key(name))

    @override
    async def keys(self) -> list[KeyRecord]:
        return await self._run(SqliteTables.keys)

    @override
    async def put_key(self, record: KeyRecord) -> None:
        await self._run(lambda tables: tables.put_key(record))

    @override
    async def delete_key(self, name: str) -> bool:
        return await self._run(lambda tables: tables.delete_key(name))

    @override
    async def put_issued(self, issued: Sequence[Issued]) -> None:
        issued = tuple(issued)
        await self._run(lambda tables: tables.put_issued(issued))

    @override
    async def issuers(self, keys: Sequence[str]) -> list[Issued]:
        keys = tuple(keys)
        return await self._run(lambda tables: tables.issuers(keys))

    @override
    async def aclose(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await asyncio.get_running_loop().run_in_executor(None, partial(writer.stop, _CLOSING))
