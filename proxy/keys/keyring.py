"""Finds a caller by the hash of a key: first in routes.toml, then in the store, whose results are cached."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from cachetools import LRUCache

from ..config import Routes, stored_key
from ..errors import ConfigError, StandbyError
from ..stores.records import KeyRecord
from ..stores.store import Store, StoreDown
from .credentials import same
from .principal import Principal

__all__ = ["CAPACITY", "TTL", "Keyring", "Records", "Unreadable"]

TTL: Final = 5.0
"""Seconds for which a result of the store is cached. So no process accepts a revoked key for longer."""

CAPACITY: Final = 10_000
"""The size of the cache for known keys, and of a separate one for unknown hashes, so that guessed keys do not
evict known ones."""


class Unreadable(StandbyError):
    """The store has the key, but its record is invalid, for example because its team was removed from
    routes.toml."""


class _Entry(NamedTuple):
    """A cached result of the store. `since` is the start of the lookup, in seconds of the keyring's clock."""

    since: float
    record: KeyRecord | None


class Records:
    """The cached results of one store. They do not depend on the configuration and outlive a change of it."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store
        self.answers = LRUCache[str, _Entry](CAPACITY)
        self.unknown = LRUCache[str, _Entry](CAPACITY)

    def of(self, digest: str) -> _Entry | None:
        """Returns the cached result for this hash, or None."""
        return self.answers.get(digest) or self.unknown.get(digest)

    def put(self, digest: str, entry: _Entry) -> None:
        """Caches the latest result for this hash."""
        self.answers.pop(digest, None)
        self.unknown.pop(digest, None)
        (self.unknown if entry.record is None else self.answers)[digest] = entry


class Keyring:
    """Finds callers by the hashes of their keys. Each snapshot of the configuration has its own keyring.

    `grace` is the number of seconds for which a cached key is still accepted while the store is down. `clock`
    is monotonic, in seconds.
    """

    def __init__(
        self,
        routes: Routes | None,
        grace: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        records: Records | None = None,
    ) -> None:
        self.routes = routes
        self.records = records or Records()
        self._grace = grace
        self._clock = clock
        self._configured: dict[str, Principal] = {}
        self._stored = LRUCache[str, tuple[KeyRecord, Principal | None]](CAPACITY)
        self._lookups: dict[str, asyncio.Task[Principal | None]] = {}

    async def find(self, digests: Sequence[str], store: Store | None) -> Principal | None:
        """Returns the caller whose key has one of these hashes, or None.

        Raises StoreDown if the store is needed and is down, and Unreadable if the stored record is invalid.
        """
        for digest in digests:
            if (principal := self._in_routes(digest)) is not None:
                return principal
        if store is not None:
            for digest in digests:
                if (principal := await self._in_store(digest, store)) is not None:
                    return principal
        return None

    def _in_routes(self, digest: str) -> Principal | None:
        key = self.routes.key_by_hash(digest) if self.routes is not None else None
        if key is None or not any(same(digest, other) for other in key.hash):
            return None
        principal = self._configured.get(key.name)
        if principal is None:
            principal = self._configured[key.name] = Principal.of(key)
        return principal

    async def _in_store(self, digest: str, store: Store) -> Principal | None:
        if self.records.store is not store:
            self.records = Records(store)
        cached = self.records.of(digest)
        if cached is not None and self._clock() - cached.since < TTL:
            return self._caller(cached.record, digest)
        lookup = self._lookups.get(digest)
        if lookup is None:
            # Concurrent requests share one lookup. The shield keeps it running when one of them disconnects.
            lookup = self._lookups[digest] = asyncio.create_task(self._look_up(digest, store))
            lookup.add_done_callback(lambda task: self._lookup_done(digest, task))
        try:
            return await asyncio.shield(lookup)
        except StoreDown:
            if cached is None or cached.record is None or self._clock() - cached.since >= self._grace:
                raise
            return self._caller(cached.record, digest)

    def _lookup_done(self, digest: str, lookup: asyncio.Task[Principal | None]) -> None:
        self._lookups.pop(digest, None)
        if not lookup.cancelled():
            lookup.exception()  # retrieved, so that asyncio logs no warning when every caller has gone

    async def _look_up(self, digest: str, store: Store) -> Principal | None:
        began = self._clock()  # taken before the call, so that an entry is never older than its timestamp
        record = await store.key_by_hash(digest)
        principal = self._caller(record, digest)  # an invalid record raises here and is not cached
        self.records.put(digest, _Entry(began, None if principal is None else record))
        return principal

    def _caller(self, record: KeyRecord | None, digest: str) -> Principal | None:
        """Returns the caller of a stored key under this configuration. The result is cached."""
        if record is None:
            return None
        cached = self._stored.get(digest)
        if cached is None or cached[0] is not record:
            cached = self._stored[digest] = record, self._principal(record, digest)
        return cached[1]

    def _principal(self, record: KeyRecord, digest: str) -> Principal | None:
        if record.damaged:
            raise Unreadable(f"key {record.name} in the store is damaged; delete it, and make another one")
        matching = [other for other in record.hashes if same(other, digest)]
        if not matching:
            return None
        table = {**record.table, "hash": matching}
        routes = self.routes or _NO_ROUTES
        try:
            return Principal.of(stored_key(routes, record.name, table), record.hashes[matching[0]])
        except ConfigError as error:
            raise Unreadable(f"key {record.name} in the store: {error}") from error


_NO_ROUTES: Final = Routes("", "", (), {}, {}, {}, {})
"""An empty configuration, for a host without a routes.toml. It has no teams, users or organisations."""
