"""What can be seen of an SQLite file without opening it, and its creation."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from .sqlite_tables import VERSION

__all__ = ["make_private", "sqlite_flaw"]

_MAGIC: Final = b"SQLite format 3\0"  # https://sqlite.org/fileformat2.html, 1.3
_HEADER: Final = 100  # bytes
_PAGES: Final = slice(28, 32)
_USER_VERSION: Final = slice(60, 64)


def sqlite_flaw(path: Path) -> str | None:
    """Returns why the file at `path` can never be a store, to follow its path in a sentence; None if it can.

    A file that does not exist yet can, if its folder does. Raises OSError if it cannot be read.
    """
    if not path.exists():
        if not path.parent.is_dir():
            return f"cannot be made: there is no folder {path.parent}"
        return None if os.access(path.parent, os.W_OK) else f"cannot be made: {path.parent} is not writable"
    if not path.is_file():
        return "is a directory" if path.is_dir() else "is no file"
    if not os.access(path, os.R_OK | os.W_OK) or not os.access(path.parent, os.W_OK):
        return "cannot be written, or its folder cannot"  # SQLite makes its log there
    with path.open("rb") as file:
        header = file.read(_HEADER)
    if not header:
        return None
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        return "is no SQLite file"
    version = int.from_bytes(header[_USER_VERSION])
    if version > VERSION:
        return f"has version {version}, of which this program knows nothing"
    log = path.with_name(f"{path.name}-wal")
    if version == 0 and int.from_bytes(header[_PAGES]) > 1 and not (log.exists() and log.stat().st_size):
        return "is the database of another program"
    return None


def make_private(path: Path) -> None:
    """Make the file at `path`, empty and for this user only, if there is none. Raises OSError.

    SQLite gives its log the same mode.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
