"""Tests with one SQLite file and several processes, which may be killed at any time."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from standby.proxy.stores.address import open_store
from standby.proxy.stores.records import Denied, Held, KeyRecord, LedgerEntry, Line
from standby.proxy.stores.sqlite import Sqlite
from standby.proxy.stores.store import Store, StoreDown
from standby.proxy.stores.store_breaker import TRIP

from tests.proxy.stores.scenes import LocalScene, patient

__all__: list[str] = []

pytestmark = pytest.mark.anyio

LINE = Line("key/a cost", "sum", 20, 100)
ENTRY = LedgerEntry(at=1.0, request_id="r", attempt=1)

ADMIT = """
import asyncio, sys
from pathlib import Path
from standby.proxy.stores.store_breaker import StoreBreaker
from standby.proxy.stores.records import Held, Line
from standby.proxy.stores.sqlite import Sqlite

async def main(path, name):
    store = Sqlite(Path(path), breaker=StoreBreaker("test", timeout=30.0))
    await store.held()
    print("ready", flush=True)
    sys.stdin.readline()
    line = Line("key/a cost", "sum", 20, 100)
    answers = await asyncio.gather(*[store.hold(f"{name}{n}", [line], lease=60) for n in range(25)])
    print(sum(isinstance(answer, Held) for answer in answers), flush=True)
    await store.aclose()

asyncio.run(main(*sys.argv[1:]))
"""

SPEND = """
import asyncio, itertools, sys
from pathlib import Path
from standby.proxy.stores.store_breaker import StoreBreaker
from standby.proxy.stores.records import LedgerEntry, Line
from standby.proxy.stores.sqlite import Sqlite

async def main(path, name):
    store = Sqlite(Path(path), breaker=StoreBreaker("test", timeout=30.0))
    line = Line("key/a cost", "sum", 20, None)
    async def spend():
        for number in itertools.count():
            hold = f"{name}-{id(asyncio.current_task())}-{number}"
            entry = LedgerEntry(at=1.0, request_id=hold, attempt=1)
            await store.hold(hold, [line], lease=60, entries=[entry])
            await store.settle(hold, [line._replace(amount=7)], [entry])
            print(hold, flush=True)
    await asyncio.gather(*[spend() for _ in range(4)])

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    store = Sqlite(path, breaker=patient())
    yield store
    await store.aclose()


def process(program: str, path: Path, name: str) -> subprocess.Popen[str]:
    """Starts a process with a store on the file at `path`."""
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line_of(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline().strip()


def rename(path: Path, name: str) -> Path:
    """Renames a store's file and its two companion files."""
    for beside in ("-wal", "-shm"):
        if (file := Path(f"{path}{beside}")).exists():
            file.rename(path.with_name(name + beside))
    return path.rename(path.with_name(name))


async def test_two_processes_admit_what_there_is_room_for(path: Path, store: Store) -> None:
    """Fifty concurrent holds from two processes, with room for five, admit exactly five."""
    workers = [process(ADMIT, path, name) for name in ("a", "b")]
    for worker in workers:
        assert line_of(worker) == "ready"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    assert sum(int(worker.communicate()[0]) for worker in workers) == 5
    assert await store.used([LINE]) == (100,)


async def test_a_killed_writer_loses_nothing_that_was_answered(path: Path, store: Store) -> None:
    """After `kill -9` every confirmed settlement is in the file once, and the file remains usable."""
    await store.held()
    workers = [process(SPEND, path, name) for name in ("a", "b")]
    answered: set[str] = set()
    for worker in workers:
        answered |= {line_of(worker) for _ in range(50)}
    workers[0].kill()
    answered |= {line_of(workers[1]) for _ in range(50)}  # the other process continues
    workers[1].kill()
    for worker in workers:
        # Its last line may be incomplete.
        answered |= {*worker.communicate()[0].split("\n")[:-1]}
    written = [entry.request_id async for entry in store.entries()]
    assert len(written) == len(set(written))
    assert answered <= {*written}
    held = await store.held()
    assert await store.used([LINE]) == (7 * len(written) + 20 * held,)
    assert held <= 8


async def test_a_stopped_writer_is_a_store_down_and_no_more(path: Path) -> None:
    """While another process has the lock, calls fail at the timeout; afterwards they succeed."""
    store = open_store(f"sqlite:///{path}")
    await store.hold("0", [LINE], lease=60)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answers = await asyncio.gather(
            *[store.hold(str(number), [LINE], lease=60) for number in range(1, TRIP)], return_exceptions=True
        )
        assert all(isinstance(answer, StoreDown) for answer in answers)
        other.execute("ROLLBACK")
    assert await store.hold("after", [LINE], lease=60) == Held((40,))
    await store.aclose()


async def test_one_spoilt_work_spoils_no_other(path: Path, store: Store) -> None:
    """An operation that fails within a batch is rolled back alone."""
    await store.held()
    mistaken = Line("key/a cost", "sum", 20, None, 2**70)  # a bucket that no column takes
    answers = await asyncio.gather(
        store.hold("1", [LINE], lease=60),
        store.hold("2", [LINE, mistaken], lease=60),
        store.hold("3", [LINE], lease=60),
        return_exceptions=True,
    )
    assert answers[0] == Held((20,))
    assert isinstance(answers[1], OverflowError)
    assert answers[2] == Held((40,))
    assert await store.held() == 2


async def test_a_file_that_is_none_is_a_store_down(tmp_path: Path) -> None:
    """A missing folder, a file of another kind or of a later version raises StoreDown."""
    (tmp_path / "text.db").write_text("no database " * 100)
    with closing(sqlite3.connect(tmp_path / "later.db")) as later:
        later.execute("PRAGMA user_version = 99")
    for name in ("missing/store.db", "text.db", "later.db"):
        store = Sqlite(tmp_path / name, breaker=patient())
        with pytest.raises(StoreDown):
            await store.held()
        with pytest.raises(StoreDown):
            await store.hold("1", [LINE], lease=60)
        await store.aclose()


async def test_after_a_restart_of_the_machine_its_holds_are_over(path: Path) -> None:
    """After a reboot, holds of the earlier boot expire at once and its rates are full."""
    scene = LocalScene(path)
    rate = Line("key/a requests", "rate", 9, 10, per_second=0.001)
    await scene.store.hold("1", [LINE, rate], lease=10_000, entries=[ENTRY])
    await scene.store.aclose()
    scene.boot, scene.monotonic = "another boot", 10.0
    store = scene.another()
    assert await store.used([rate]) == (0,)
    assert await store.sweep() == 1
    assert await store.used([LINE]) == (20,)
    assert [entry.outcome async for entry in store.entries()] == ["expired"]
    await store.aclose()


async def test_a_boot_without_a_name_is_told_by_its_clock(path: Path) -> None:
    """Without boot ids, a hold with a start in the future is of an earlier boot."""
    scene = LocalScene(path)
    scene.boot = ""
    await scene.store.hold("1", [LINE], lease=10_000)
    await scene.store.aclose()
    scene.monotonic = 10.0
    store = scene.another()
    assert await store.sweep() == 1
    await store.aclose()


async def test_leases_outlive_the_process_that_took_them(path: Path) -> None:
    """A restarted process sees the earlier process's holds until they expire."""
    scene = LocalScene(path)
    await scene.store.hold("1", [LINE], lease=60)
    await scene.store.aclose()
    store = scene.another()
    assert await store.sweep() == 0
    assert await store.hold("2", [LINE._replace(amount=90)], lease=60) == Denied(0, 20)
    scene.pass_time(60)
    assert await store.sweep() == 1
    await store.aclose()


async def test_a_file_that_was_taken_away_is_a_store_down(path: Path, store: Store) -> None:
    """A missing or empty file raises StoreDown, so no spending is lost. Once the file is back, it is used."""
    await store.settle("a", [LINE._replace(amount=100)], [ENTRY])
    away = rename(path, "away.db")
    for name in ("b", "c", "d"):
        with pytest.raises(StoreDown):
            await store.hold(name, [LINE], lease=60)
    other = Sqlite(path, breaker=patient())
    assert await other.used([LINE]) == (0,)
    with pytest.raises(StoreDown):
        await store.hold("e", [LINE], lease=60)
    await other.aclose()
    rename(away, path.name)
    assert await store.hold("f", [LINE], lease=60) == Denied(0, 100)


async def test_a_file_that_is_replaced_while_its_log_is_there(path: Path) -> None:
    """Every process goes on with a backup that was moved into place, and not with what the log of the old
    file says of it."""
    workers = [Sqlite(path, breaker=patient()) for _ in range(2)]
    for worker in workers:
        await worker.put_key(KeyRecord(name="k", hashes={"h": None}, table={"in": "old"}))
    backup = Sqlite(path.with_name("backup.db"), breaker=patient())
    await backup.put_key(KeyRecord(name="k", hashes={"h": None}, table={"in": "backup"}))
    await backup.settle("b", [LINE._replace(amount=30)], [ENTRY])
    await backup.aclose()
    assert path.with_name(f"{path.name}-wal").stat().st_size > 0
    rename(backup.path, path.name)
    for worker in (*workers, *workers):
        record = await worker.key("k")
        assert record is not None
        assert record.table == {"in": "backup"}
    await workers[0].settle("c", [LINE._replace(amount=5)], [ENTRY])
    assert [await worker.used([LINE]) for worker in workers] == [(35,), (35,)]
    for worker in workers:
        await worker.aclose()


async def test_a_file_that_was_replaced_is_the_store(
    path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A restored backup is used from then on, and the replacement is logged."""
    await store.settle("a", [LINE._replace(amount=100)], [ENTRY])
    backup = Sqlite(path.with_name("backup.db"), breaker=patient())
    await backup.settle("b", [LINE._replace(amount=30)], [ENTRY])
    await backup.aclose()
    rename(path, "away.db")
    rename(backup.path, path.name)
    assert await store.used([LINE]) == (30,)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
