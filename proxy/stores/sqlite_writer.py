"""A thread that runs operations on one SQLite file, in batches with one transaction each.

All waiting operations share one commit, and the event loop never waits for the disk.
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

from .sqlite_file import make_private
from .sqlite_tables import SqliteTables, check_used, lay_out
from .store import StoreDown
from .store_breaker import StoreCall
from .tables import Clocks

__all__ = ["BATCH", "SqliteWriter", "Work", "connect"]

BATCH: Final = 256
"""The maximum number of operations per transaction. It takes a few milliseconds, for which other processes
wait."""
_LOCK_RETRY: Final = 0.000_5
"""Seconds between two attempts to begin a transaction while another process has the lock. SQLite's own busy
handler sleeps for up to 100 ms, so the process that has just written would always get the lock again."""
_LOCK_TIMEOUT: Final = 5.0
"""Seconds after which waiting for the lock fails, even if callers are still waiting."""

Work: TypeAlias = Callable[[SqliteTables], Any]
"""An operation on the tables. Its return value is the result."""
_Outcome: TypeAlias = tuple[StoreCall, object, Exception | None]
"""A call with its result or its exception."""

_log = logging.getLogger("standby.store")


def connect(path: Path, synchronous: str, *, create: bool = False) -> sqlite3.Connection:
    """Returns a connection without automatic transactions that does not wait for locks.

    Raises sqlite3.OperationalError if the file does not exist, unless `create` is true.
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
    """Runs operations on the file at `path` in the order in which they were queued.

    The thread starts with the first operation. `stop` lets it finish the queued ones.
    """

    def __init__(self, path: Path, clocks: Clocks, synchronous: str) -> None:
        self._path = path
        self._clocks = clocks
        self._synchronous = synchronous
        self._queue: SimpleQueue[tuple[StoreCall, Work] | None] = SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._tables: SqliteTables | None = None
        self._file: tuple[int, int] | None = None
        self._logs: dict[Path, tuple[int, int]] = {}  # the identity of each log of that file
        self.progressed = 0.0
        """The time of `time.monotonic` at which a step of an operation was last completed."""
        self._thread = threading.Thread(target=self._run, name=f"standby store {path.name}", daemon=True)

    def put(self, call: StoreCall, work: Work) -> None:
        """Queues `work`. `call` ends with its return value or its exception.

        `work` may run more than once; the transactions of the earlier runs are rolled back.
        """
        if self._thread.ident is None:
            self._thread.start()
        call.executor = self
        self._queue.put((call, work))

    def stop(self, timeout: float) -> None:
        """Finishes the queued operations and closes the file.

        Blocks for at most `timeout` seconds; after that the thread continues on its own.
        """
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
        # One operation failed. Each now gets its own transaction, so that the others succeed.
        return [outcome for job in jobs for outcome in self._transaction([job])[0]]

    def _transaction(self, jobs: Sequence[tuple[StoreCall, Work]]) -> tuple[list[_Outcome], bool]:
        """Runs the operations in one transaction.

        Returns their outcomes, and whether one of them failed, so that all were rolled back.
        """
        outcomes: list[_Outcome] = []
        try:
            tables, connection = self._begin(jobs)
        except (sqlite3.Error, OSError) as error:  # OSError: for example too many open files
            self._close()
            return [(call, None, _store_down(error)) for call, _ in jobs], False
        if tables is None or connection is None:
            return [], False  # no caller is waiting any more
        try:
            for call, work in jobs:
                if not call.dropped:
                    outcomes.append((call, work(tables), None))
                    self.progressed = time.monotonic()
            connection.execute("COMMIT")
            self.progressed = time.monotonic()
        except Exception as error:  # noqa: BLE001
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                self._close()
            reason = _store_down(error) if isinstance(error, sqlite3.Error) else error
            return [(call, None, reason) for call, _ in jobs], True
        return outcomes, False

    def _begin(
        self, jobs: Sequence[tuple[StoreCall, Work]]
    ) -> tuple[SqliteTables | None, sqlite3.Connection | None]:
        """Begins a transaction. Waits for the lock while a caller is waiting, for at most _LOCK_TIMEOUT.

        Returns (None, None) if no caller is waiting any more.
        """
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while not all(call.dropped for call, _ in jobs):
            try:
                connection, tables = self._open()
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if code not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED} or time.monotonic() > deadline:
                    raise
                time.sleep(_LOCK_RETRY)
            else:
                return tables, connection
        return None, None

    def _open(self) -> tuple[sqlite3.Connection, SqliteTables]:
        """Returns the open connection, or opens the file again if it was replaced.

        Raises sqlite3.Error or OSError if the file is missing or not usable.
        """
        if self._file is not None:
            # If the file was deleted, writes to it would be lost; a new, empty file would lose all spending.
            # So the store counts as down until a file with a ledger is there, or this process restarts.
            current = _identity(self._path)
            unchanged = current == self._file
            if unchanged and self._connection is not None and self._tables is not None:
                return self._connection, self._tables
            self._close()
            if not unchanged:
                self._remove_stale_logs()
        if self._file is None:
            make_private(self._path)
        connection = connect(self._path, self._synchronous, create=self._file is None)
        try:
            if self._file is None:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("BEGIN IMMEDIATE")
                lay_out(connection)
                connection.execute("COMMIT")
            else:
                check_used(connection)
                connection.execute("BEGIN IMMEDIATE")
                lay_out(connection)
                connection.execute("COMMIT")
            file = _identity(self._path)
            tables = SqliteTables(connection, self._clocks)
        except BaseException:
            connection.close()
            raise
        if self._file not in {None, file}:
            _log.warning("SQLite: %s was replaced; what is spent is what the new file says", self._path)
        self._file, self._connection, self._tables = file, connection, tables
        self._logs = {path: _identity(path) for path in self._log_paths() if path.exists()}
        return connection, tables

    def _log_paths(self) -> list[Path]:
        """Returns the paths of the write-ahead log and its index, which SQLite finds by the file's name."""
        return [self._path.with_name(self._path.name + suffix) for suffix in ("-wal", "-shm")]

    def _remove_stale_logs(self) -> None:
        """Remove the logs of the file that was replaced, which SQLite would apply to the new one.

        Logs that came with the new file, or that another process has made for it, are others and stay.
        """
        for path in self._log_paths():
            if path.exists() and _identity(path) == self._logs.get(path):
                path.unlink()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._tables = None


def _identity(path: Path) -> tuple[int, int]:
    """Returns the device and inode of the file at `path`. Raises OSError if there is none."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _store_down(error: sqlite3.Error | OSError) -> StoreDown:
    _log.error("SQLite: %s", error)
    return StoreDown(f"SQLite: {error}")


def _deliver(outcomes: Sequence[_Outcome]) -> None:
    """Passes the outcomes to the event loops of their calls, with one callback per loop."""
    loops: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
    for outcome in outcomes:
        outcome[0].answered = True
        loops.setdefault(outcome[0].loop, []).append(outcome)
    for loop, ended in loops.items():
        try:
            loop.call_soon_threadsafe(_end_calls, ended)
        except RuntimeError:
            continue  # the loop is closed, so its callers no longer exist


def _end_calls(outcomes: Sequence[_Outcome]) -> None:
    for call, result, error in outcomes:
        if error is None:
            call.finish(result)
        else:
            call.fail(error)
