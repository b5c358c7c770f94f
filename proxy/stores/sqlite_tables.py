"""The tables of one SQLite file, accessed through one connection within a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from typing_extensions import override

from .codec import hold_from, hold_text, key_from, key_text
from .records import ISSUED, Issued, KeyRecord, LedgerEntry
from .tables import ENDED, GRACE, Clocks, OpenHold, Tables

__all__ = ["VERSION", "SqliteTables", "check_used", "entries_after", "lay_out", "version_of"]

VERSION: Final = 1
"""The version of schema.sql, stored in the file as `user_version`. Tables that were added later do not change
it, so that older processes can go on with the file."""

_MEMBERS: Final = LedgerEntry._fields
_WRITE_ENTRY: Final = (
    f"INSERT INTO ledger ({', '.join(_MEMBERS)}) VALUES ({', '.join('?' for _ in _MEMBERS)})"  # noqa: S608
)
_READ_ENTRIES: Final = f"SELECT line, {', '.join(_MEMBERS)} FROM ledger"  # noqa: S608
_TAKE: Final = (
    "INSERT INTO sums VALUES (?, ?, max(0, ?), ?) ON CONFLICT DO UPDATE"
    # When 64 bits overflow, SQLite computes with a double. It exceeds this maximum, so it is never stored.
    " SET taken = min(max(0, taken + ?), 9223372036854775807), forget = ifnull(excluded.forget, forget)"
)
_LEASE: Final = "INSERT INTO leases VALUES (?, max(0, ?)) ON CONFLICT DO UPDATE SET held = max(0, held + ?)"
_PUT_ISSUED: Final = (
    "INSERT INTO issued VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET provider = excluded.provider,"
    " owner = iif(owner = excluded.owner, owner, ''), forget = excluded.forget"
)
"""A key that was issued to another owner before has none from then on."""
_KEYS_PER_READ: Final = 500
_FORGET_BATCH: Final = 5_000
"""The maximum number of rows deleted in one clean-up, so that other processes do not wait long for it."""


def check_used(connection: sqlite3.Connection) -> None:
    """Raises DatabaseError if the file has no tables, an unknown version, or an empty ledger."""
    if version_of(connection) == 0:
        raise sqlite3.DatabaseError("the file that is there now holds no tables of this program")
    if connection.execute("SELECT 1 FROM ledger LIMIT 1").fetchone() is None:
        raise sqlite3.DatabaseError("the file was replaced by one in which nothing was ever booked")


def lay_out(connection: sqlite3.Connection) -> None:
    """Creates the tables that the file does not have. Must be called within a transaction.

    Raises DatabaseError if the file has a version that is not known, or is another program's.
    """
    if version_of(connection) == 0:
        if connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is not None:
            raise sqlite3.DatabaseError("the file is the database of another program")
        _run_script(connection, "schema.sql")
    _run_script(connection, "issued.sql")


def version_of(connection: sqlite3.Connection) -> int:
    """Returns the version of the file, 0 without one. Raises DatabaseError if it is not known."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not 0 <= version <= VERSION:
        raise sqlite3.DatabaseError(f"the file has version {version}, of which this program knows nothing")
    return int(version)


def _run_script(connection: sqlite3.Connection, name: str) -> None:
    """Run the statements of a file beside this one."""
    for statement in (Path(__file__).parent / name).read_text(encoding="utf-8").split(";"):
        connection.execute(statement)


def entries_after(
    connection: sqlite3.Connection, line: int, since: float, limit: int
) -> list[tuple[int, LedgerEntry]]:
    """Returns up to `limit` ledger entries after the line number `line`, with their line numbers.

    Only entries with `at` of at least `since` (seconds since 1970) are returned. A `line` of 0 starts at the
    first of them.
    """
    if line == 0:
        (first,) = connection.execute("SELECT min(line) FROM ledger WHERE at >= ?", (since,)).fetchone()
        if first is None:
            return []
        line = first - 1
    rows = connection.execute(
        f"{_READ_ENTRIES} WHERE line > ? AND +at >= ? ORDER BY line LIMIT ?", (line, since, limit)
    )
    return [(row[0], LedgerEntry(*row[1:])) for row in rows]


class SqliteTables(Tables):
    """Reads and writes through `connection`. The caller begins and ends the transaction."""

    def __init__(self, connection: sqlite3.Connection, clocks: Clocks) -> None:
        self._execute = connection.execute
        self._many = connection.executemany
        self._clocks = clocks
        self._boot = clocks.boot()

    @override
    def monotonic(self) -> float:
        return self._clocks.monotonic()

    @override
    def taken(self, account: str, bucket: int) -> int:
        row = self._execute(
            "SELECT taken FROM sums WHERE account = ? AND bucket = ?", (account, bucket)
        ).fetchone()
        return row[0] if row else 0

    @override
    def taken_since(self, account: str, since: int) -> int:
        # Not SUM() in SQL, which fails on an overflow of 64 bits.
        rows = self._execute("SELECT taken FROM sums WHERE account = ? AND bucket >= ?", (account, since))
        return sum([row[0] for row in rows])

    @override
    def take(self, account: str, bucket: int, amount: int, keep: int) -> None:
        self._execute(_TAKE, (account, bucket, amount, bucket + keep + GRACE if keep else None, amount))

    @override
    def rate(self, account: str) -> tuple[float, float]:
        row = self._execute("SELECT gone, at, boot FROM rates WHERE account = ?", (account,)).fetchone()
        return (row[0], row[1]) if row and row[2] == self._boot else (0.0, 0.0)

    @override
    def set_rate(self, account: str, consumed: float, at: float) -> None:
        self._execute("INSERT OR REPLACE INTO rates VALUES (?, ?, ?, ?)", (account, consumed, at, self._boot))

    @override
    def leased(self, account: str) -> int:
        row = self._execute("SELECT held FROM leases WHERE account = ?", (account,)).fetchone()
        return row[0] if row else 0

    @override
    def lease(self, account: str, amount: int) -> None:
        self._execute(_LEASE, (account, amount, amount))

    @override
    def open_hold(self, hold_id: str) -> OpenHold | None:
        row = self._execute("SELECT expires, body FROM holds WHERE id = ?", (hold_id,)).fetchone()
        return hold_from(row[0], row[1]) if row else None

    @override
    def ended(self, hold_id: str) -> bool:
        return self._execute("SELECT 1 FROM ended WHERE id = ?", (hold_id,)).fetchone() is not None

    @override
    def write(self, hold_id: str, hold: OpenHold) -> None:
        self._execute(
            "INSERT OR REPLACE INTO holds VALUES (?, ?, ?, ?, ?)",
            (hold_id, self._boot, self.monotonic(), hold.expires, hold_text(hold)),
        )

    @override
    def end(self, hold_id: str) -> None:
        self._execute("DELETE FROM holds WHERE id = ?", (hold_id,))
        self._execute("INSERT OR REPLACE INTO ended VALUES (?, ?)", (hold_id, self._clocks.wall() + ENDED))

    @override
    def overdue(self) -> Sequence[tuple[str, OpenHold]]:
        # Holds of an earlier boot are overdue too: their processes have ended. Where there are no boot ids,
        # a hold with a start in the future is from an earlier boot.
        now = self.monotonic()
        rows = self._execute(
            "SELECT id, expires, body FROM holds WHERE expires <= ? OR boot <> ? OR began > ?",
            (now, self._boot, now),
        )
        return [(row[0], hold_from(row[1], row[2])) for row in rows]

    @override
    def book(self, entries: Iterable[LedgerEntry]) -> None:
        self._many(_WRITE_ENTRY, entries)

    @override
    def forget(self) -> None:
        now = self._clocks.wall()
        self._execute("DELETE FROM sums WHERE forget < ?", (now,))
        self._execute(
            "DELETE FROM ended WHERE id IN (SELECT id FROM ended WHERE forget < ? LIMIT ?)",
            (now, _FORGET_BATCH),
        )

    def held(self) -> int:
        """Returns the number of open holds."""
        return int(self._execute("SELECT count(*) FROM holds").fetchone()[0])

    def key_by_hash(self, digest: str) -> KeyRecord | None:
        """Returns the key that has this hash, or None."""
        row = self._execute(
            "SELECT name, record FROM digests JOIN keys USING (name) WHERE digest = ?", (digest,)
        ).fetchone()
        return key_from(*row) if row else None

    def key(self, name: str) -> KeyRecord | None:
        """Returns the key of this name, or None."""
        row = self._execute("SELECT record FROM keys WHERE name = ?", (name,)).fetchone()
        return key_from(name, row[0]) if row else None

    def keys(self) -> list[KeyRecord]:
        """Returns all keys, sorted by name."""
        return [key_from(*row) for row in self._execute("SELECT name, record FROM keys ORDER BY name")]

    def put_key(self, record: KeyRecord) -> None:
        """Writes a key. Replaces an existing key of the same name."""
        self.delete_key(record.name)
        self._execute("INSERT INTO keys VALUES (?, ?)", (record.name, key_text(record)))
        self._many(
            "INSERT OR REPLACE INTO digests VALUES (?, ?)",
            [(digest, record.name) for digest in record.hashes],
        )

    def put_issued(self, issued: Sequence[Issued]) -> None:
        """Remembers issuers. Also deletes some that were remembered long enough."""
        now = self._clocks.wall()
        self._many(
            _PUT_ISSUED,
            [(each.key, each.provider, each.owner, now + ISSUED) for each in issued],
        )
        self._execute(
            "DELETE FROM issued WHERE key IN (SELECT key FROM issued WHERE forget < ? LIMIT ?)",
            (now, 2 * len(issued)),
        )

    def issuers(self, keys: Sequence[str]) -> list[Issued]:
        """Returns the issuers of those keys that are known."""
        now, known = self._clocks.wall(), list[Issued]()
        for at in range(0, len(keys), _KEYS_PER_READ):
            part = keys[at : at + _KEYS_PER_READ]
            places = ", ".join("?" * len(part))
            rows = self._execute(
                f"SELECT key, provider, owner FROM issued WHERE key IN ({places}) AND forget >= ?",  # noqa: S608
                (*part, now),
            )
            known += [Issued(*row) for row in rows]
        return known

    def delete_key(self, name: str) -> bool:
        """Deletes a key and its hashes. Returns False if there is none."""
        self._execute("DELETE FROM digests WHERE name = ?", (name,))
        return self._execute("DELETE FROM keys WHERE name = ?", (name,)).rowcount > 0
