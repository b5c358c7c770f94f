"""Whether an SQLite file can be a store, and its creation."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from .sqlite_tables import VERSION

__all__ = ["make_private", "sqlite_flaw"]

_WAIT: Final = 0.1
"""Seconds to wait for another connection. What a busy file holds is not worth more of the start."""


def sqlite_flaw(path: Path) -> str | None:
    """Returns why the file at `path` can never be a store, to follow its path in a sentence; None if it can.

    A file that does not exist yet can, if its folder does. It may be in use.
    """
    path = Path(
        os.path.realpath(path)
    )  # SQLite makes its log beside the file itself, not beside a link to it
    if not path.exists():
        if not path.parent.is_dir():
            return f"cannot be made: there is no folder {path.parent}"
        return None if os.access(path.parent, os.W_OK) else f"cannot be made: {path.parent} is not writable"
    if not path.is_file():
        return "is a directory" if path.is_dir() else "is no file"
    if not os.access(path, os.R_OK | os.W_OK) or not os.access(path.parent, os.W_OK):
        return "cannot be written, or its folder cannot"  # SQLite makes its log there
    # Only SQLite may open it: whoever closes a file drops all locks that the process has on it
    # (https://sqlite.org/howtocorrupt.html, 2.2).
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=_WAIT)) as file:
            (version,) = file.execute("PRAGMA user_version").fetchone()
            is_empty = file.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is None
    except sqlite3.DatabaseError as error:
        # Anything else passes, as a lock does: the store itself will tell.
        return "is no SQLite file" if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB else None
    if version > VERSION:
        return f"has version {version}, of which this program knows nothing"
    return None if version or is_empty else "is the database of another program"


def make_private(path: Path) -> None:
    """Make the file at `path`, empty and for this user only, if there is none. Raises OSError.

    SQLite gives its log the same mode.
    """
    with suppress(FileExistsError):
        os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
