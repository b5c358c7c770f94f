"""Where the worker processes of one `standby serve` leave their reports for each other.

Whichever worker is asked for metrics answers for all of them. Each writes its own report every second into a
folder that the parent made; so counts survive the worker that counted them, and a worker that hangs makes
nobody wait.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

__all__ = ["STALE", "WorkerBoard"]

STALE: Final = 10.0
"""Seconds after which a report that is not renewed says nothing of the present."""
_ALERTS: Final = "alerts.json"


class WorkerBoard:
    """The reports of all workers, as files in `folder`; without one there is only this process.

    Reading and writing blocks shortly: call it in a thread.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        # Not by the process id alone: the system gives those of processes that have ended to others.
        self._name = f"worker-{os.getpid()}-{secrets.token_hex(4)}.json"
        self._lock: int | None = None

    def publish(self, report: dict[str, Any]) -> None:
        """Replace this process's report."""
        if self._folder is None:
            return
        temporary = self._folder / f".{self._name}"
        temporary.write_bytes(orjson.dumps(report))
        temporary.replace(self._folder / self._name)

    def others(self) -> list[dict[str, Any]]:
        """Returns the last reports of the other processes.

        `alive` says whether each still runs and reports. What it has counted holds in any case.
        """
        reports: list[dict[str, Any]] = []
        for path in [] if self._folder is None else sorted(self._folder.glob("worker-*.json")):
            if path.name == self._name:
                continue
            pid = int(path.stem.split("-")[1])
            with suppress(OSError, orjson.JSONDecodeError):
                report: dict[str, Any] = orjson.loads(path.read_bytes())
                recent = time.time() - report["at"] <= STALE
                reports.append({**report, "alive": recent and _runs(pid)})
        return reports

    def is_leader(self) -> bool:
        """Whether this process is the one that sends alerts. It stays so until it ends."""
        if self._folder is None or self._lock is not None:
            return True
        lock = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def keep_alerts(self, alerts: dict[str, Any]) -> None:
        """Keep what the leader knows of its alerts, for the next leader."""
        if self._folder is not None:
            (self._folder / _ALERTS).write_bytes(orjson.dumps(alerts))

    def kept_alerts(self) -> dict[str, Any] | None:
        """Returns what the last leader knew, None if there was none."""
        if self._folder is not None:
            with suppress(OSError, orjson.JSONDecodeError):
                alerts: dict[str, Any] = orjson.loads((self._folder / _ALERTS).read_bytes())
                return alerts
        return None

    def close(self) -> None:
        """Give up being the leader."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
