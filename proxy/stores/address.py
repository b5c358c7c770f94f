"""Opens the store that a URL names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

from ..errors import StandbyError
from .memory import Memory
from .sqlite import Sqlite
from .sqlite_file import sqlite_flaw
from .store import Store

__all__ = ["SPELLINGS", "AddressError", "examine", "open_store"]

SPELLINGS: Final = (
    'write "memory:", "sqlite:///standby.db" (beside routes.toml), "sqlite:////var/lib/standby.db"'
    ' (anywhere), "redis://HOST:6379/0", "rediss://HOST" for TLS, or "unix:///run/redis.sock"'
)
_OPTIONS: Final = MappingProxyType(
    {"sqlite": ("synchronous",), "redis": ("prefix", "ledger_days", "db", "ssl_ca_certs")}
)
_REDIS: Final = frozenset({"redis", "rediss", "unix"})


class AddressError(StandbyError):
    """The URL is not a valid store URL. The message never contains parts of the URL that may be secret."""


def open_store(url: str, folder: Path | None = None) -> Store:
    """Returns the store that `url` names. A relative path is relative to `folder`.

    The store connects or opens its file at its first use. Raises AddressError if the URL is invalid, or if
    the store needs a package that is not installed.
    """
    try:
        parts = urlsplit(url)
        port_is_wrong = parts.port == 0
    except ValueError:
        raise AddressError(f"not a store's URL; {SPELLINGS}") from None
    if port_is_wrong or parts.fragment:
        raise AddressError(f"not a store's URL; {SPELLINGS}")
    if parts.scheme == "memory":
        if url.rstrip("/") != "memory:":
            raise AddressError('what is kept in memory has no address; write "memory:"')
        return Memory()
    if parts.scheme == "sqlite":
        return _sqlite(parts, folder or Path())
    if parts.scheme in _REDIS:
        return _redis(parts)
    raise AddressError(f"there is no store of this kind; {SPELLINGS}")


def examine(store: Store) -> None:
    """Raises AddressError if `store` can never work, as far as that can be seen without a server."""
    if isinstance(store, Sqlite):
        flaw = sqlite_flaw(store.path)
        if flaw is not None:
            raise AddressError(f"{store.path} {flaw}")


def _sqlite(parts: SplitResult, folder: Path) -> Store:
    options = _options(parts, "sqlite")
    if parts.netloc:
        raise AddressError('SQLite has no host; three slashes begin a relative path: "sqlite:///standby.db"')
    path = unquote(parts.path.removeprefix("/"))
    if path == ":memory:":
        return Memory()  # as SQLite names it
    if not path or path.endswith("/") or "\0" in path:
        raise AddressError('SQLite needs a file: "sqlite:///standby.db"')
    synchronous = options.get("synchronous", "normal")
    if synchronous not in {"normal", "full"}:
        raise AddressError('synchronous is "normal" or "full"')
    return Sqlite(folder / path, synchronous=synchronous)


def _redis(parts: SplitResult) -> Store:
    options = _options(parts, "redis")
    if parts.scheme == "unix":
        if parts.path in {"", "/"}:
            raise AddressError('the path of the socket is missing: "unix:///run/redis.sock"')
    elif not parts.hostname:
        raise AddressError(f'the host is missing: "{parts.scheme}://HOST:6379/0"')
    elif not (parts.path.removeprefix("/") or "0").isdecimal():
        raise AddressError(f'the database is a number: "{parts.scheme}://HOST:6379/0"')
    days = options.pop("ledger_days", "35")
    if not (days.isdecimal() and 1 <= int(days) <= 3660):
        raise AddressError("ledger_days is a number of days, 1 to 3660")
    if not options.get("db", "0").isdecimal():
        raise AddressError("db is a number")
    prefix = options.pop("prefix", "standby")
    if not prefix or set(prefix) & set("{}"):
        raise AddressError("the prefix of the keys holds no braces, and is not empty")
    query = "&".join([f"{name}={value}" for name, value in options.items()])
    try:
        from .redis import Redis  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise AddressError('this store needs an extra: pip install "standby[redis]"') from error
    return Redis(urlunsplit(parts._replace(query=query)), prefix=prefix, ledger_days=int(days))


def _options(parts: SplitResult, kind: str) -> dict[str, str]:
    """Returns the options in the URL's query. Raises AddressError if `kind` does not have such an option."""
    allowed: Mapping[str, tuple[str, ...]] = _OPTIONS
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in options:
        if name not in allowed[kind]:
            raise AddressError(f"{kind} takes only the options {', '.join(allowed[kind])}")
    return options
