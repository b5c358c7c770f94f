"""Reload under `standby serve`: by SIGHUP, and whenever the file is another one.

Looked at is what the file and those of its secrets are (inode, size, time of change), through symbolic links,
so that a file written in place, one moved over it and a link that is turned are all seen. Nothing is read
before two looks in a row have found the same: by then whoever writes it is probably done.
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
"""Seconds between two looks at the file."""
_MOST_LINES: Final = 20
"""Changes that are logged one by one."""
_SECRET_LIMIT: Final = 64 * 1024
"""Bytes of a secret's file that are looked at, as many as are ever used."""

_log: Final = logging.getLogger("standby.reload")


class _Stamp(NamedTuple):
    """What tells one version of a file from the next without reading it."""

    device: int
    inode: int
    size: int
    changed: int


class Reloader:
    """Reloads `gateway` while it is entered. A bad file is told once, and changes nothing."""

    def __init__(self, gateway: Gateway, *, every: float = EVERY) -> None:
        self._gateway = gateway
        self._every = every
        self._files = _files(gateway.routes)
        self._used = _digest(self._files, gateway.routes.source)
        self._seen: tuple[_Stamp | None, ...] | None = None
        self._tried: tuple[_Stamp | None, ...] | None = None
        self._requested = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Take up what became of the file since it was read, and watch it from then on."""
        # Without a signal handler SIGHUP would end the process.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._requested.set)
        self._seen = self._stamps()
        await self._look()
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
                await self._look()
            else:
                self._requested.clear()
                await self._reload(self._stamps())

    async def _look(self) -> None:
        stamps = self._stamps()
        if stamps != self._seen:
            self._seen = stamps
        elif stamps != self._tried:
            if _digest(self._files) != self._used:
                await self._reload(stamps)
                return
            self._tried = stamps
            if self._gateway.reload_failed is not None:
                self._gateway.reload_failed = None
                _log.info("%s is again as it was when it was loaded", self._gateway.routes.file)

    async def _reload(self, stamps: tuple[_Stamp | None, ...]) -> None:
        # Taken before the files are read: what is written meanwhile is another version, to be tried as well.
        self._seen = self._tried = stamps
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
            self._seen = self._tried = self._stamps()
        self._used = _digest(files, routes.source)
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
    """The file itself, and those that hold its secrets."""
    secrets = dict.fromkeys(_secrets(tomllib.loads(routes.source)))
    return (Path(routes.file), *(routes.folder / path for path in secrets if "\0" not in path))


def _secrets(value: object) -> Iterator[str]:
    """The path in every `"file:path"`."""
    match value:
        case str() if value.startswith("file:"):
            yield value.removeprefix("file:")
        case dict():
            for each in cast("dict[str, object]", value).values():
                yield from _secrets(each)
        case list():
            for each in cast("list[object]", value):
                yield from _secrets(each)
        case _:
            pass


def _digest(files: tuple[Path, ...], source: str | None = None) -> bytes:
    """Of what stands in the files. `source` is what was read from the first."""
    parts: list[bytes] = []
    for number, path in enumerate(files):
        if number == 0 and source is not None:
            parts.append(source.encode())
            continue
        try:
            with path.open("rb") as file:
                content = file.read(_SECRET_LIMIT if number else -1)
        except OSError:
            content = b"\0"  # which no file that can be used begins with
        parts.append(content if number else content.removeprefix(b"\xef\xbb\xbf"))
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
