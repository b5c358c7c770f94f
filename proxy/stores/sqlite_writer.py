"""One thread that writes to one SQLite file: a queue drained in batches, one transaction for each.

So however many requests wait, they share one commit, and the event loop never waits for a disk.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeAlias

from .sqlite_tables import SqliteTables, check_used, lay_out
from .store import StoreDown
from .store_breaker import StoreCall
from .tables import Clocks

__all__ = ["BATCH", "SqliteWriter", "Work", "connect"]

BATCH: Final = 256
"""Operations in one transaction at most: a few milliseconds, for which other processes wait."""
_TURN: Final = 0.000_5
"""Seconds between two tries to begin while another process writes. SQLite's own waiting goes up to 100 ms a
try, and whoever has just written would always be the first again."""
_LOCKED_OUT: Final = 5.0
"""Seconds after which it is no use to wait for another process, even if somebody does."""

Work: TypeAlias = Callable[[SqliteTables], Any]
_Outcome: TypeAlias = tuple[StoreCall, object, Exception | None]

_log = logging.getLogger("standby.store")


def connect(path: Path, synchronous: str, *, create: bool = False) -> sqlite3.Connection:
    """A connection whose transactions are begun by hand, and that never waits for a lock by itself.

    Without `create` there must be a file.
    """
    address = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
    connection = sqlite3.connect(address, uri=True, timeout=0, isolation_level=None, cached_statements=64)
    try:
        connection.execute(f"PRAGMA synchronous = {synchronous}")
    except BaseException:
        connection.close()
        raise
    return connection


class SqliteWriter:
    """Carries out works on the file at `path` in the order in which they were put.

    The thread begins with the first work; `stop` lets it finish what was put before.
    """

    def __init__(self, path: Path, clocks: Clocks, synchronous: str) -> None:
        self._path = path
        self._clocks = clocks
        self._synchronous = synchronous
        self._queue: SimpleQueue[tuple[StoreCall, Work] | None] = SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._tables: SqliteTables | None = None
        self._file: tuple[int, int] | None = None
        self._thread = threading.Thread(target=self._run, name=f"standby store {path.name}", daemon=True)

    def put(self, call: StoreCall, work: Work) -> None:
        """Have `work` done, and `call` ended with what it returns or raises. It may be done more than once,
        the earlier times undone."""
        if self._thread.ident is None:
            self._thread.start()
        self._queue.put((call, work))

    def stop(self, timeout: float) -> None:
        """Finish and close. Blocks, at most for `timeout` seconds: then the thread is left to itself."""
        if self._thread.ident is None:
            return
        self._queue.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        more = True
        while more:
            jobs: list[tuple[StoreCall, Work]] = []
            item = self._queue.get()
            try:
                while item is not None and len(jobs) < BATCH - 1:
                    jobs.append(item)
                    item = self._queue.get_nowait()
            except Empty:
                pass
            else:
                if item is None:
                    more = False
                else:
                    jobs.append(item)
            if jobs:
                _deliver(self._carry_out(jobs))
        self._close()

    def _carry_out(self, jobs: Sequence[tuple[StoreCall, Work]]) -> list[_Outcome]:
        outcomes, failed = self._transaction(jobs)
        if not failed or len(jobs) == 1:
            return outcomes
        # One work spoilt the transaction. Each gets one of its own, so that it spoils no other's.
        return [outcome for job in jobs for outcome in self._transaction([job])[0]]

    def _transaction(self, jobs: Sequence[tuple[StoreCall, Work]]) -> tuple[list[_Outcome], bool]:
        """What came of the works, and whether one of them failed and so all were undone."""
        outcomes: list[_Outcome] = []
        try:
            tables, connection = self._begin(jobs)
        except (sqlite3.Error, OSError) as error:  # OSError: no more files can be opened
            self._close()
            return [(call, None, _down(error)) for call, _ in jobs], False
        if tables is None or connection is None:
            return [], False  # nobody waits any more
        try:
            outcomes = [(call, work(tables), None) for call, work in jobs if not call.dropped]
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                self._close()
            reason = _down(error) if isinstance(error, sqlite3.Error) else error
            return [(call, None, reason) for call, _ in jobs], True
        return outcomes, False

    def _begin(
        self, jobs: Sequence[tuple[StoreCall, Work]]
    ) -> tuple[SqliteTables | None, sqlite3.Connection | None]:
        """Wait for the file to be ours, for as long as anybody waits for us."""
        until = time.monotonic() + _LOCKED_OUT
        while not all(call.dropped for call, _ in jobs):
            try:
                connection, tables = self._open()
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if code not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED} or time.monotonic() > until:
                    raise
                time.sleep(_TURN)
            else:
                return tables, connection
        return None, None

    def _open(self) -> tuple[sqlite3.Connection, SqliteTables]:
        if self._file is not None:
            # What is written to a file that was taken away is lost, and an empty one in its place, whoever
            # made it, would forget what is spent: there is no store until one is there, or we start anew.
            same = _identity(self._path) == self._file
            if same and self._connection is not None and self._tables is not None:
                return self._connection, self._tables
            self._close()
        connection = connect(self._path, self._synchronous, create=self._file is None)
        try:
            if self._file is None:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("BEGIN IMMEDIATE")
                lay_out(connection)
                connection.execute("COMMIT")
            else:
                check_used(connection)
            file = _identity(self._path)
            tables = SqliteTables(connection, self._clocks)
        except BaseException:
            connection.close()
            raise
        if self._file not in {None, file}:
            _log.warning("SQLite: %s was replaced; what is spent is what the new file says", self._path)
        self._file, self._connection, self._tables = file, connection, tables
        return connection, tables

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._tables = None


def _identity(path: Path) -> tuple[int, int]:
    """Which file stands at `path`. Raises OSError where there is none."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _down(error: sqlite3.Error | OSError) -> StoreDown:
    _log.error("SQLite: %s", error)
    return StoreDown(f"SQLite: {error}")


def _deliver(outcomes: Sequence[_Outcome]) -> None:
    """Tell each loop once of all that was done for it."""
    loops: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
    for outcome in outcomes:
        loops.setdefault(outcome[0].loop, []).append(outcome)
    for loop, ended in loops.items():
        try:
            loop.call_soon_threadsafe(_end, ended)
        except RuntimeError:
            continue  # the loop is closed, and with it whoever waited


def _end(outcomes: Sequence[_Outcome]) -> None:
    for call, result, error in outcomes:
        if error is None:
            call.finish(result)
        else:
            call.fail(error)
