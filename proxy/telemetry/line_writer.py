"""Writes JSON lines to a file or to stdout from a thread of its own, so that no request ever waits for it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Thread
from typing import Any, Final

import orjson

__all__ = ["MOST", "LineWriter"]

MOST: Final = 10_000
"""Lines that may wait to be written. Further ones are dropped and counted."""
_BATCH: Final = 500
"""Lines that are written at once."""

_log: Final = logging.getLogger("standby.decisions")


class LineWriter:
    """Writes records as JSON lines to the file descriptor of stdout, or appends them to the file `path`.

    A file that has been moved away is opened again by its name, so that it can be rotated. `dropped` counts
    the lines that could not be written: too many were waiting, or the disk is full.
    """

    def __init__(self, path: Path | None, *, most: int = MOST) -> None:
        self.dropped = 0
        self._path = path
        self._queue: Queue[Mapping[str, Any] | None] = Queue(most)
        self._thread: Thread | None = None
        self._file: int | None = None
        self._failing = False

    def write(self, record: Mapping[str, Any]) -> None:
        """Queue a record. Never waits."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name="standby-decisions", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait(record)
        except Full:
            self.dropped += 1

    def close(self, seconds: float = 1.0) -> None:
        """Write what waits, for at most this many seconds. A later `write` begins again."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            self._queue.put(None, timeout=seconds)
        except Full:
            return
        thread.join(seconds)

    def _run(self) -> None:
        ended = False
        while not ended:
            batch = [self._queue.get()]
            while len(batch) < _BATCH:
                try:
                    batch.append(self._queue.get_nowait())
                except Empty:
                    break
            records = [record for record in batch if record is not None]
            ended = len(records) < len(batch)
            self._write(records)
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, records: list[Mapping[str, Any]]) -> None:
        """Write these records, or count them as dropped. The first failure in a row is logged."""
        lines = [orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records]
        try:
            data = memoryview(b"".join(lines))
            file = self._open()
            while data:
                data = data[os.write(file, data) :]
        except OSError as error:
            self.dropped += len(lines)
            if not self._failing:
                where = "stdout" if self._path is None else self._path
                _log.warning("the decision log cannot be written to %s: %s", where, error.strerror)
            self._failing = True
        else:
            self._failing = False

    def _open(self) -> int:
        if self._path is None:
            return sys.stdout.fileno()
        if self._file is not None:
            here = os.fstat(self._file)
            try:
                there = self._path.stat()
            except OSError:
                there = None
            if there is not None and (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                return self._file
            os.close(self._file)
            self._file = None
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        return self._file
