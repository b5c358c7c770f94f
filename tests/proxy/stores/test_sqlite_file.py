"""What can be seen of an SQLite file before the start."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from standby.proxy.stores.address import AddressError, examine, open_store
from standby.proxy.stores.memory import Memory
from standby.proxy.stores.sqlite import Sqlite
from standby.proxy.stores.sqlite_file import make_private, sqlite_flaw

__all__: list[str] = []

pytestmark = pytest.mark.anyio


def another_program_s(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE theirs (id)")


def of_a_later_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 99")


def nothing(path: Path) -> None:
    del path


def garbage(path: Path) -> None:
    path.write_bytes(b"garbage " * 50)


def part_of_a_header(path: Path) -> None:
    path.write_bytes(b"SQLite")


@pytest.mark.parametrize(
    ("make", "flaw"),
    [
        (Path.mkdir, "is a directory"),
        (garbage, "is no SQLite file"),
        (part_of_a_header, "is no SQLite file"),
        (os.mkfifo, "is no file"),
        (another_program_s, "is the database of another program"),
        (of_a_later_version, "has version 99, of which this program knows nothing"),
        (nothing, None),
        (Path.touch, None),
    ],
)
def test_what_can_never_be_a_store(tmp_path: Path, make: Callable[[Path], object], flaw: str | None) -> None:
    """What is no file of ours is told before the start; a file that is missing or empty will be one."""
    path = tmp_path / "x.db"
    make(path)
    assert sqlite_flaw(path) == flaw
    store = open_store("sqlite:///x.db", tmp_path)
    if flaw is None:
        examine(store)
    else:
        with pytest.raises(AddressError, match=f"x.db {flaw}"):
            examine(store)


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    """SQLite makes a file, but no folder."""
    assert sqlite_flaw(tmp_path / "no" / "x.db") == f"cannot be made: there is no folder {tmp_path / 'no'}"


async def test_a_file_of_ours(tmp_path: Path) -> None:
    """A file in use and one that was closed are stores, and nobody else may read them."""
    store = Sqlite(tmp_path / "x.db")
    await store.settle("1", [], [])
    assert sqlite_flaw(store.path) is None
    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}  # noqa: ASYNC240
    assert modes == {0o600}
    await store.aclose()
    assert sqlite_flaw(store.path) is None


def test_sqlite_s_own_name_for_memory() -> None:
    """`sqlite:///:memory:` is no file of that name."""
    assert isinstance(open_store("sqlite:///:memory:"), Memory)


def test_behind_a_link(tmp_path: Path) -> None:
    """What counts is the file to which a link leads, and its folder; a link to itself is none."""
    (tmp_path / "volume").mkdir()
    link = tmp_path / "x.db"
    link.symlink_to(tmp_path / "volume" / "real.db")
    assert sqlite_flaw(link) is None
    make_private(link)
    assert stat.S_IMODE((tmp_path / "volume" / "real.db").stat().st_mode) == 0o600
    loop = tmp_path / "loop.db"
    loop.symlink_to(loop)
    assert sqlite_flaw(loop) is None or "is no" in str(sqlite_flaw(loop))


CLOSE: Final = (
    "import sqlite3 as s, sys; c = s.connect(sys.argv[1]); c.execute('PRAGMA user_version'); c.close()"
)


async def test_a_look_at_a_file_in_use(tmp_path: Path) -> None:
    """It drops no lock: what is written afterwards is there for others, also after another process has
    opened and closed the file."""
    path = tmp_path / "x.db"
    store = Sqlite(path)
    await store.settle("1", [], [])
    assert sqlite_flaw(path) is None
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", CLOSE, str(path))
    assert await process.wait() == 0
    assert {file.name for file in tmp_path.iterdir()} == {"x.db", "x.db-wal", "x.db-shm"}  # noqa: ASYNC240
    await store.aclose()
