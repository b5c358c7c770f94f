"""From a key's hash to its caller: first `routes.toml`, then the store, whose answers count for seconds."""

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
"""Seconds for which an answer of the store counts. No revoked key works longer, in any process."""

CAPACITY: Final = 10_000
"""Keys that are remembered, and as many hashes that are no key's: guessing does not push keys out."""


class Unreadable(StandbyError):
    """The store has the key, but what it grants cannot be made out, as its team is gone from routes.toml."""


class _Answer(NamedTuple):
    """What the store said to a question that was asked at `since`."""

    since: float
    record: KeyRecord | None


class Records:
    """What one store has said. It counts whatever the configuration is, and is kept when that changes."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store
        self.answers = LRUCache[str, _Answer](CAPACITY)
        self.unknown = LRUCache[str, _Answer](CAPACITY)

    def of(self, digest: str) -> _Answer | None:
        """The last word on this hash."""
        return self.answers.get(digest) or self.unknown.get(digest)

    def put(self, digest: str, answer: _Answer) -> None:
        """Remember the last word on this hash."""
        self.answers.pop(digest, None)
        self.unknown.pop(digest, None)
        (self.unknown if answer.record is None else self.answers)[digest] = answer


class Keyring:
    """Finds callers. One for each snapshot of the configuration.

    `grace` is for how many seconds, while the store is down, what it last said of a key still counts.
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
        self._own: dict[str, Principal] = {}
        self._made = LRUCache[str, tuple[KeyRecord, Principal | None]](CAPACITY)
        self._asking: dict[str, asyncio.Task[Principal | None]] = {}

    async def find(self, digests: Sequence[str], store: Store | None) -> Principal | None:
        """The caller whose key has one of these hashes, or None.

        Raises StoreDown when only the store could tell, and Unreadable.
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
        if key is None or not any(same(digest, each) for each in key.hash):
            return None
        principal = self._own.get(key.name)
        if principal is None:
            principal = self._own[key.name] = Principal.of(key)
        return principal

    async def _in_store(self, digest: str, store: Store) -> Principal | None:
        if self.records.store is not store:
            self.records = Records(store)
        answer = self.records.of(digest)
        if answer is not None and self._clock() - answer.since < TTL:
            return self._caller(answer.record, digest)
        asking = self._asking.get(digest)
        if asking is None:
            # One question for all who ask at once, and no one's hang-up ends it for the others.
            asking = self._asking[digest] = asyncio.create_task(self._ask(digest, store))
            asking.add_done_callback(lambda task: self._answered(digest, task))
        try:
            return await asyncio.shield(asking)
        except StoreDown:
            if answer is None or answer.record is None or self._clock() - answer.since >= self._grace:
                raise
            return self._caller(answer.record, digest)

    def _answered(self, digest: str, since: asyncio.Task[Principal | None]) -> None:
        self._asking.pop(digest, None)
        if not since.cancelled():
            since.exception()  # heard, also when everybody who asked has gone

    async def _ask(self, digest: str, store: Store) -> Principal | None:
        began = self._clock()  # before the store looks: an answer is never older than it seems
        record = await store.key_by_hash(digest)
        principal = self._caller(record, digest)  # one that cannot be made out is asked for again
        self.records.put(digest, _Answer(began, None if principal is None else record))
        return principal

    def _caller(self, record: KeyRecord | None, digest: str) -> Principal | None:
        """Whose key the record is, by the rules of this configuration."""
        if record is None:
            return None
        made = self._made.get(digest)
        if made is None or made[0] is not record:
            made = self._made[digest] = record, self._principal(record, digest)
        return made[1]

    def _principal(self, record: KeyRecord, digest: str) -> Principal | None:
        answers = [each for each in record.hashes if same(each, digest)]
        if not answers:
            return None
        table = {**record.table, "hash": answers}
        routes = self.routes or _NOWHERE
        try:
            return Principal.of(stored_key(routes, record.name, table), record.hashes[answers[0]])
        except ConfigError as error:
            raise Unreadable(f"key {record.name} in the store: {error}") from error


_NOWHERE: Final = Routes("", "", (), {}, {}, {}, {})
"""For a host without a routes.toml: there are no teams to belong to."""
