"""A store in one SQLite file, for all processes of one machine."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from typing_extensions import override

from . import books
from .batch import Batch, connect
from .guard import Guard
from .pages import Pages, entries_after
from .records import Denied, Entry, Held, KeyRecord, Line
from .store import Store, StoreDown
from .tables import Clocks

__all__ = ["Sqlite"]

T = TypeVar("T")

_PAGE: Final = 1000
"""Entries of the ledger that are read at once."""
_CLOSING: Final = 5.0
"""Seconds that closing waits for what was asked for before."""


class Sqlite(Store):
    """All writing happens in one thread, a transaction for each batch of what waits.

    `synchronous` is SQLite's: "normal" survives the end of any process, and may lose the last moments when
    the machine itself goes down; "full" survives that too, for a wait of the disk with every batch.
    """

    def __init__(
        self,
        path: Path,
        *,
        synchronous: str = "normal",
        clocks: Clocks | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.path = path
        self._synchronous = synchronous
        self._clocks = clocks or Clocks()
        self.guard = guard or Guard("SQLite")
        self._batch: Batch | None = None

    @override
    def now(self) -> float:
        return self._clocks.wall()

    async def _ask(self, work: Callable[[Pages], T]) -> T:
        call = self.guard.begin()
        if self._batch is None:
            self._batch = Batch(self.path, self._clocks, self._synchronous)
        self._batch.put(call, work)
        done: T = await call.future
        return done

    @override
    async def hold(
        self,
        hold_id: str,
        lines: Sequence[Line],
        *,
        lease: float,
        entries: Sequence[Entry] = (),
        enforce: bool = True,
    ) -> Held | Denied:
        books.check(lines)
        lines, entries = tuple(lines), tuple(entries)
        return await self._ask(lambda pages: books.hold(pages, hold_id, lines, lease, entries, enforce))

    @override
    async def settle(self, hold_id: str, lines: Sequence[Line], entries: Sequence[Entry]) -> bool:
        books.check(lines)
        lines, entries = tuple(lines), tuple(entries)
        return await self._ask(lambda pages: books.settle(pages, hold_id, lines, entries))

    @override
    async def sweep(self) -> int:
        return await self._ask(books.sweep)

    @override
    async def used(self, lines: Sequence[Line]) -> tuple[int, ...]:
        lines = tuple(lines)
        return await self._ask(lambda pages: books.used(pages, lines))

    @override
    async def held(self) -> int:
        return await self._ask(Pages.held)

    @override
    async def entries(self, since: float = 0.0) -> AsyncIterator[Entry]:
        """Read beside the writing, which waits for no reader."""
        await self.held()  # what was asked for before is written, and the file is there
        line = 0
        while page := await asyncio.to_thread(self._page, line, since):
            for _, entry in page:
                yield entry
            line = page[-1][0]

    def _page(self, line: int, since: float) -> list[tuple[int, Entry]]:
        try:
            with closing(connect(self.path, self._synchronous)) as connection:
                return entries_after(connection, line, since, _PAGE)
        except sqlite3.Error as error:
            raise StoreDown(f"SQLite: {error}") from error

    @override
    async def key_by_hash(self, digest: str) -> KeyRecord | None:
        return await self._ask(lambda pages: pages.key_by_hash(digest))

    @override
    async def key(self, name: str) -> KeyRecord | None:
        return await self._ask(lambda pages: pages.key(name))

    @override
    async def keys(self) -> list[KeyRecord]:
        return await self._ask(Pages.keys)

    @override
    async def put_key(self, record: KeyRecord) -> None:
        await self._ask(lambda pages: pages.put_key(record))

    @override
    async def delete_key(self, name: str) -> bool:
        return await self._ask(lambda pages: pages.delete_key(name))

    @override
    async def aclose(self) -> None:
        batch, self._batch = self._batch, None
        if batch is not None:
            await asyncio.get_running_loop().run_in_executor(None, partial(batch.stop, _CLOSING))
