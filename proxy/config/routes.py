"""`routes.toml`, read and resolved: who is served, by which targets, through which middlewares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import ConfigError
from .pools import Pool
from .price import Card
from .report import Report
from .scopes import Key, Organisation, Team, User
from .storage import MEMORY
from .tables import Provider, Target
from .values import KeyPath

__all__ = ["Routes"]


def _empty() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Routes:
    """One configuration, complete and checked. It never changes; a reload makes another."""

    file: str
    source: str = field(repr=False)
    """The text of the file, so that what is validated later can still name its line."""
    stack: tuple[str, ...]
    """Names of middlewares, outermost first."""
    providers: Mapping[str, Provider] = field(repr=False)
    targets: Mapping[str, Target] = field(repr=False)
    pools: Mapping[str, Pool] = field(repr=False)
    tables: Mapping[str, Mapping[str, object]] = field(repr=False)
    """The table of each middleware of the stack, and of "hygiene", as written; empty when there is none."""
    store: str = field(default=MEMORY, repr=False)
    """URL of where keys, money and the ledger are kept; relative paths in it start at `folder`. It may hold a
    password."""
    organisations: Mapping[str, Organisation] = field(default_factory=_empty, repr=False)
    teams: Mapping[str, Team] = field(default_factory=_empty, repr=False)
    users: Mapping[str, User] = field(default_factory=_empty, repr=False)
    keys: Mapping[str, Key] = field(default_factory=_empty, repr=False)
    cards: Mapping[str, Card] = field(default_factory=_empty, repr=False)
    """The price cards that were looked up, by target; the other targets say their own price, or have none."""
    _served: Mapping[str, Pool] = field(init=False, repr=False)
    _hashes: Mapping[str, Key] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        served = {name: pool for pool in self.pools.values() for name in pool.serves}
        hashes = {digest: key for key in self.keys.values() for digest in key.hash}
        object.__setattr__(self, "_served", MappingProxyType(served))
        object.__setattr__(self, "_hashes", MappingProxyType(hashes))

    @property
    def folder(self) -> Path:
        """Where relative paths start."""
        return Path(self.file).parent

    def pool_for(self, model: str) -> Pool | None:
        """The pool that serves exactly this name."""
        return self._served.get(model)

    def key_by_hash(self, digest: str) -> Key | None:
        """The key of this file that has the hash `digest`."""
        return self._hashes.get(digest)

    def error(self, path: KeyPath, message: str, hint: str | None = None) -> ConfigError:
        """The error for what turns out wrong later, when the stack is built, with the value at `path`."""
        report = Report(self.file, self.source)
        report.add(path, message, hint)
        return ConfigError(report.problems)
