"""What the workers of one gateway know of each other."""

from __future__ import annotations

import os
import time
from pathlib import Path

import orjson
from standby.proxy.server.worker_board import STALE, WorkerBoard

__all__: list[str] = []


def left_by(folder: Path, pid: int, at: float) -> None:
    """A report of another process."""
    (folder / f"worker-{pid}-0.json").write_bytes(orjson.dumps({"pid": pid, "at": at}))


def test_alone_there_is_nothing_to_read() -> None:
    """One process needs no folder, and is the leader."""
    board = WorkerBoard(None)
    board.publish({"pid": 1})
    assert (board.others(), board.is_leader(), board.kept_alerts()) == ([], True, None)


def test_who_is_alive(tmp_path: Path) -> None:
    """A worker is alive while it runs and renews its report; what it counted is there in any case."""
    left_by(tmp_path, os.getppid(), time.time())
    left_by(tmp_path, 2**22 + 1, time.time())  # more than the largest process id
    left_by(tmp_path, 1, time.time() - STALE - 1)
    (tmp_path / "worker-7-0.json").write_bytes(b"{half a rep")
    board = WorkerBoard(tmp_path)
    board.publish({"pid": os.getpid(), "at": time.time()})
    assert {each["pid"]: each["alive"] for each in board.others()} == {
        os.getppid(): True,
        2**22 + 1: False,
        1: False,
    }


def test_one_leads(tmp_path: Path) -> None:
    """One at a time, until it ends; what it knew is there for the next."""
    first, second = WorkerBoard(tmp_path), WorkerBoard(tmp_path)
    assert (first.is_leader(), second.is_leader(), first.is_leader()) == (True, False, True)
    first.keep_alerts({"firing": [], "told": ["x"]})
    first.close()
    assert second.is_leader()
    assert second.kept_alerts() == {"firing": [], "told": ["x"]}
    second.close()
