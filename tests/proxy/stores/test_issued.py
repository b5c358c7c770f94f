"""Tests of every kind of store: who issued what, and the tables of an earlier version."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from standby.proxy.stores.records import ISSUED, Issued
from standby.proxy.stores.sqlite import Sqlite
from standby.proxy.stores.sqlite_tables import VERSION
from standby.proxy.stores.store import Store, StoreDown

from tests.proxy.stores.scenes import LocalScene

__all__: list[str] = []

pytestmark = pytest.mark.anyio


async def test_who_issued_what(store: Store) -> None:
    """The newest issuer of a key is known, with its owner; one that several owners have is nobody's."""
    await store.put_issued([Issued("resp_1", "a"), Issued("sig_2", "a", "checkout")])
    await store.put_issued([Issued("resp_1", "b", "é")])
    known = await store.issuers(["resp_1", "resp_9", "sig_2"])
    assert sorted(known) == [Issued("resp_1", "b", ""), Issued("sig_2", "a", "checkout")]
    await store.put_issued([Issued("resp_1", "c", "é"), Issued("resp_3", "é", "é")])
    assert sorted(await store.issuers(["resp_1", "resp_3"])) == [
        Issued("resp_1", "c", ""),
        Issued("resp_3", "é", "é"),
    ]
    assert await store.issuers([]) == []


async def test_the_age_of_an_issuer(tmp_path: Path) -> None:
    """After its time an issuer is unknown, and its row is deleted with later writes."""
    scene = LocalScene(tmp_path / "ages.db")
    store = scene.store
    await store.put_issued([Issued(f"r{number}", "a") for number in range(4)])
    scene.pass_time(ISSUED + 1)
    assert await store.issuers(["r0"]) == []
    await store.put_issued([Issued("new", "a")])
    await store.aclose()
    with closing(sqlite3.connect(tmp_path / "ages.db")) as connection:
        assert connection.execute("SELECT count(*) FROM issued").fetchone() == (3,)


async def test_an_earlier_version(tmp_path: Path) -> None:
    """A file of an earlier version gets the tables that it lacks, and keeps its content."""
    file = tmp_path / "old.db"
    store = Sqlite(file)
    await store.settle("1", [], [])
    await store.aclose()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TABLE issued")
        (before,) = connection.execute("SELECT count(*) FROM ended").fetchone()
    store = Sqlite(file)
    await store.put_issued([Issued("r1", "a")])
    assert await store.issuers(["r1"]) == [Issued("r1", "a")]
    await store.aclose()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM ended").fetchone() == (before,)
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)


@pytest.mark.parametrize("statement", ["PRAGMA user_version = 99", "CREATE TABLE theirs (id)"])
async def test_a_file_of_another_program(tmp_path: Path, statement: str) -> None:
    """A later version and another program's database are left alone."""
    file = tmp_path / "theirs.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(statement)
        connection.commit()
        before = connection.execute("SELECT name FROM sqlite_schema").fetchall()
    store = Sqlite(file)
    with pytest.raises(StoreDown):
        await store.held()
    await store.aclose()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == before
