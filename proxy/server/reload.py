"""Reloads the configuration under `standby serve`: on SIGHUP, and whenever its files change.

The watched files are the configuration and its secret files. Their metadata (device, inode, size,
modification time) is polled through symbolic links, so that a file written in place, a file moved over it and
a changed link are all detected. The files are read only after two polls in a row returned the same, since a
writer is probably done by then.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, Self, cast

from ..config import Routes
from ..errors import ConfigError
from ..gateway import Gateway

__all__ = ["EVERY", "Reloader"]

EVERY: Final = 1.0
"""Seconds between two polls of the files."""
_MOST_LINES: Final = 20
"""Maximum number of changes that are logged in detail."""
_SECRET_LIMIT: Final = 64 * 1024
"""Bytes of a secret file that are hashed. More are never used."""

_log: Final = logging.getLogger("standby.reload")


class _Stamp(NamedTuple):
    """The metadata that distinguishes versions of a file without reading it."""

    device: int
    inode: int
    size: int
    changed: int


class Reloader:
    """Reloads `gateway` while the context is entered, polling every `every` seconds.

    An invalid file is logged once, and the configuration stays as it was.
    """

    def __init__(self, gateway: Gateway, *, every: float = EVERY) -> None:
        self._gateway = gateway
        self._every = every
        self._files = _files(gateway.routes)
        self._loaded_digest = _digest(self._files, gateway.routes.source)
        self._last_stamps: tuple[_Stamp | None, ...] | None = None
        self._tried_stamps: tuple[_Stamp | None, ...] | None = None
        self._requested = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Load changes since the file was read, and start watching it."""
        # Without a signal handler SIGHUP would end the process.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._requested.set)
        self._last_stamps = self._stamps()
        await self._poll()
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._every):
                    await self._requested.wait()
            except TimeoutError:
                await self._poll()
            else:
                self._requested.clear()
                await self._reload(self._stamps())

    async def _poll(self) -> None:
        """Poll the files once, and reload if they have changed and are stable."""
        stamps = self._stamps()
        if stamps != self._last_stamps:
            self._last_stamps = stamps
        elif stamps != self._tried_stamps:
            if _digest(self._files) != self._loaded_digest:
                await self._reload(stamps)
                return
            self._tried_stamps = stamps
            if self._gateway.reload_failed is not None:
                self._gateway.reload_failed = None
                _log.info("%s is again as it was when it was loaded", self._gateway.routes.file)

    async def _reload(self, stamps: tuple[_Stamp | None, ...]) -> None:
        # Taken before the files are read, so that a write in the meantime is detected as another version.
        self._last_stamps = self._tried_stamps = stamps
        file = self._gateway.routes.file
        try:
            changes = await self._gateway.reload()
        except ConfigError as error:
            _log.error("%s cannot be used, the configuration stays as it was:\n%s", file, error)
            return
        except Exception:  # noqa: BLE001  it is logged, and the gateway goes on as it was
            _log.exception("%s could not be reloaded, the configuration stays as it was", file)
            return
        routes = self._gateway.routes
        files = _files(routes)
        if files != self._files:
            self._files = files
            self._last_stamps = self._tried_stamps = self._stamps()
        self._loaded_digest = _digest(files, routes.source)
        count = len(changes)
        lines = "".join(f"\n  {line}" for line in changes.lines[:_MOST_LINES])
        more = f"\n  and {count - _MOST_LINES} more" if count > _MOST_LINES else ""
        _log.info("%s reloaded: %d change%s%s%s", file, count, "s" * (count != 1), lines, more)

    def _stamps(self) -> tuple[_Stamp | None, ...]:
        return tuple(map(_stamp, self._files))


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = os.stat(path)  # noqa: PTH116  as Path.stat, in half the time
    except OSError:
        return None
    return _Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _files(routes: Routes) -> tuple[Path, ...]:
    """Returns the configuration file and its secret files."""
    secrets = dict.fromkeys(_secret_paths(tomllib.loads(routes.source)))
    return (Path(routes.file), *(routes.folder / path for path in secrets if "\0" not in path))


def _secret_paths(value: object) -> Iterator[str]:
    """Yields the path of every `"file:path"` in a parsed TOML value."""
    match value:
        case str() if value.startswith("file:"):
            yield value.removeprefix("file:")
        case dict():
            for item in cast("dict[str, object]", value).values():
                yield from _secret_paths(item)
        case list():
            for item in cast("list[object]", value):
                yield from _secret_paths(item)
        case _:
            pass


def _digest(files: tuple[Path, ...], source: str | None = None) -> bytes:
    """Returns a hash of the contents of the files. `source`, if given, is the content of the first."""
    parts: list[bytes] = []
    for number, path in enumerate(files):
        if number == 0 and source is not None:
            parts.append(source.encode())
            continue
        try:
            with path.open("rb") as file:
                content = file.read(_SECRET_LIMIT if number else -1)
        except OSError:
            content = b"\0"  # no valid file begins with it
        parts.append(content if number else content.removeprefix(b"\xef\xbb\xbf"))
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
