"""The tables of one SQLite file, as one connection sees them within a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Final

from typing_extensions import override

from .codec import hold_from, hold_text, key_from, key_text
from .records import KeyRecord, LedgerEntry
from .tables import ENDED, GRACE, Clocks, OpenHold, Tables

__all__ = ["VERSION", "SqliteTables", "check_used", "entries_after", "lay_out"]

VERSION: Final = 1
"""Of schema.sql."""

_MEMBERS: Final = tuple([field.name for field in fields(LedgerEntry)])
_WRITE_ENTRY: Final = (
    f"INSERT INTO ledger ({', '.join(_MEMBERS)}) VALUES ({', '.join('?' for _ in _MEMBERS)})"  # noqa: S608
)
_READ_ENTRIES: Final = f"SELECT line, {', '.join(_MEMBERS)} FROM ledger"  # noqa: S608
_TAKE: Final = (
    "INSERT INTO sums VALUES (?, ?, max(0, ?), ?) ON CONFLICT DO UPDATE"
    # Beyond 64 bits SQLite would go on with a double, which is more than this and so never kept.
    " SET taken = min(max(0, taken + ?), 9223372036854775807), forget = ifnull(excluded.forget, forget)"
)
_LEASE: Final = "INSERT INTO leases VALUES (?, max(0, ?)) ON CONFLICT DO UPDATE SET held = max(0, held + ?)"
_FORGOTTEN_AT_ONCE: Final = 5_000
"""Rows. More would make others wait for a transaction that only cleans up."""


def check_used(connection: sqlite3.Connection) -> None:
    """Raise if the file is none of this version, or one in which nothing was ever booked."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        raise sqlite3.DatabaseError(f"the file that is there now has version {version}, not {VERSION}")
    if connection.execute("SELECT 1 FROM ledger LIMIT 1").fetchone() is None:
        raise sqlite3.DatabaseError("the file was replaced by one in which nothing was ever booked")


def lay_out(connection: sqlite3.Connection) -> None:
    """Make the tables, within a transaction, in a file that has none."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == VERSION:
        return
    if version:
        raise sqlite3.DatabaseError(f"the file has version {version}, of which this program knows nothing")
    for statement in (Path(__file__).parent / "schema.sql").read_text(encoding="utf-8").split(";"):
        connection.execute(statement)


def entries_after(
    connection: sqlite3.Connection, line: int, since: float, most: int
) -> list[tuple[int, LedgerEntry]]:
    """The next entries of the ledger after a line, with their lines; 0 begins with the first that counts."""
    if line == 0:
        (first,) = connection.execute("SELECT min(line) FROM ledger WHERE at >= ?", (since,)).fetchone()
        if first is None:
            return []
        line = first - 1
    rows = connection.execute(
        f"{_READ_ENTRIES} WHERE line > ? AND +at >= ? ORDER BY line LIMIT ?", (line, since, most)
    )
    return [(row[0], LedgerEntry(**dict(zip(_MEMBERS, row[1:], strict=True)))) for row in rows]


class SqliteTables(Tables):
    """Reads and writes through `connection`; whoever uses it begins and ends the transaction."""

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
        # Not SUM(), which fails beyond 64 bits.
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
    def set_rate(self, account: str, gone: float, at: float) -> None:
        self._execute("INSERT OR REPLACE INTO rates VALUES (?, ?, ?, ?)", (account, gone, at, self._boot))

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
        # The processes of another boot are gone. Where boots have no names, theirs are holds of our future.
        now = self.monotonic()
        rows = self._execute(
            "SELECT id, expires, body FROM holds WHERE expires <= ? OR boot <> ? OR began > ?",
            (now, self._boot, now),
        )
        return [(row[0], hold_from(row[1], row[2])) for row in rows]

    @override
    def book(self, entries: Iterable[LedgerEntry]) -> None:
        self._many(_WRITE_ENTRY, [[getattr(entry, name) for name in _MEMBERS] for entry in entries])

    @override
    def forget(self) -> None:
        now = self._clocks.wall()
        self._execute("DELETE FROM sums WHERE forget < ?", (now,))
        self._execute(
            "DELETE FROM ended WHERE id IN (SELECT id FROM ended WHERE forget < ? LIMIT ?)",
            (now, _FORGOTTEN_AT_ONCE),
        )

    def held(self) -> int:
        """How many holds there are."""
        return int(self._execute("SELECT count(*) FROM holds").fetchone()[0])

    def key_by_hash(self, digest: str) -> KeyRecord | None:
        """The key of a hash."""
        row = self._execute(
            "SELECT record FROM digests JOIN keys USING (name) WHERE digest = ?", (digest,)
        ).fetchone()
        return key_from(row[0]) if row else None

    def key(self, name: str) -> KeyRecord | None:
        """The key of a name."""
        row = self._execute("SELECT record FROM keys WHERE name = ?", (name,)).fetchone()
        return key_from(row[0]) if row else None

    def keys(self) -> list[KeyRecord]:
        """All keys."""
        return [key_from(row[0]) for row in self._execute("SELECT record FROM keys ORDER BY name")]

    def put_key(self, record: KeyRecord) -> None:
        """Write a key."""
        self.delete_key(record.name)
        self._execute("INSERT INTO keys VALUES (?, ?)", (record.name, key_text(record)))
        self._many(
            "INSERT OR REPLACE INTO digests VALUES (?, ?)",
            [(digest, record.name) for digest in record.hashes],
        )

    def delete_key(self, name: str) -> bool:
        """Remove a key."""
        self._execute("DELETE FROM digests WHERE name = ?", (name,))
        return self._execute("DELETE FROM keys WHERE name = ?", (name,)).rowcount > 0
