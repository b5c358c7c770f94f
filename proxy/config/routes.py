"""The validated configuration: scopes, pools, targets, providers, and the stack of middlewares."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import ConfigError
from .operations import Admin, Alerts, Decisions
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
    """One complete and validated configuration. It is immutable; a reload creates a new one."""

    file: str
    source: str = field(repr=False)
    """The text of the file, so that errors found after loading can still have a line number."""
    stack: tuple[str, ...]
    """Names of middlewares, outermost first."""
    providers: Mapping[str, Provider] = field(repr=False)
    targets: Mapping[str, Target] = field(repr=False)
    pools: Mapping[str, Pool] = field(repr=False)
    tables: Mapping[str, Mapping[str, object]] = field(repr=False)
    """The unvalidated table of each middleware in the stack, and of "hygiene"; empty if the file has none."""
    store: str = field(default=MEMORY, repr=False)
    """The URL of the store for keys, budgets and the ledger. A relative path in it is relative to `folder`.
    It may contain a password."""
    organisations: Mapping[str, Organisation] = field(default_factory=_empty, repr=False)
    teams: Mapping[str, Team] = field(default_factory=_empty, repr=False)
    users: Mapping[str, User] = field(default_factory=_empty, repr=False)
    keys: Mapping[str, Key] = field(default_factory=_empty, repr=False)
    cards: Mapping[str, Card] = field(default_factory=_empty, repr=False)
    """The looked-up price cards, by target. The other targets have their own price or none."""
    admin: Admin | None = field(default=None, repr=False)
    alerts: Alerts | None = field(default=None, repr=False)
    decisions: Decisions | None = field(default=None, repr=False)
    lenient: bool = False
    """Whether it is only looked at: secrets may be missing, and the machine need not be fit to serve it."""
    _served: Mapping[str, Pool] = field(init=False, repr=False)
    _hashes: Mapping[str, Key] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        served = {name: pool for pool in self.pools.values() for name in pool.serves}
        hashes = {digest: key for key in self.keys.values() for digest in key.hash}
        object.__setattr__(self, "_served", MappingProxyType(served))
        object.__setattr__(self, "_hashes", MappingProxyType(hashes))

    @cached_property
    def version(self) -> str:
        """A short hash of the file's text, by which two configurations can be told apart."""
        return hashlib.sha256(self.source.encode()).hexdigest()[:12]

    @property
    def folder(self) -> Path:
        """The folder of the file, to which relative paths refer."""
        return Path(self.file).parent

    def pool_for(self, model: str) -> Pool | None:
        """Returns the pool that serves exactly this model name, or None."""
        return self._served.get(model)

    def key_by_hash(self, digest: str) -> Key | None:
        """Returns the key of this file with the hash `digest`, or None."""
        return self._hashes.get(digest)

    def error(self, path: KeyPath, message: str, hint: str | None = None) -> ConfigError:
        """Returns an error about the value at `path`, for problems found later, when the stack is built."""
        report = Report(self.file, self.source)
        report.add(path, message, hint)
        return ConfigError(report.problems)
