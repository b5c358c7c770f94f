"""Remembers which provider issued which state, for later requests that refer to it.

An id, a signature or encrypted reasoning is valid only at the provider that issued it. Each process
remembers what it has relayed. If the store is shared, it is also written there, in the background, so that
other workers know it too, and this one after a restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final

from cachetools import TTLCache

from ..stores.records import Issued
from ..stores.store import Store, StoreDown

__all__ = ["KEPT", "LIFETIME", "QUEUED", "StateAffinity"]

KEPT: Final = 50_000
"""Maximum number of keys that this process remembers at a time, about 10 MB."""
LIFETIME: Final = 24 * 3600.0
"""Seconds for which this process remembers a key. The store remembers it for longer (`records.ISSUED`)."""
QUEUED: Final = 10_000
"""Maximum number of keys that wait to be written; beyond it the oldest are dropped."""
_RETRY: Final = 1.0
"""Seconds until a failed write is tried again."""

_LONGEST_KEY: Final = 256
_log: Final = logging.getLogger("standby.state")


class StateAffinity:
    """The issuer of each key (`dialects.state_key`)."""

    def __init__(self) -> None:
        self._issuers: TTLCache[str, Issued] = TTLCache(KEPT, LIFETIME)
        self._queue: dict[str, tuple[Issued, Store]] = {}
        self._writing: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """The number of keys that are not written to a store yet."""
        return len(self._queue)

    def remember(
        self, keys: Iterable[str], provider: str, owner: str = "", store: Store | None = None
    ) -> None:
        """Remember that `provider` issued `keys` to the API key of the name `owner`.

        They are written to `store` in the background, if it is shared. Keys of more than 256 characters are
        ignored.
        """
        for key in keys:
            if len(key) > _LONGEST_KEY:
                continue
            issued = self._issuers[key] = Issued(key, provider, owner)
            if store is not None and store.shared:
                self._queue.pop(key, None)
                self._queue[key] = issued, store
        while len(self._queue) > QUEUED:
            del self._queue[next(iter(self._queue))]
        if self._queue and self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    def issuer_of(self, key: str) -> Issued | None:
        """Returns what this process knows of the issuer of `key`, or None."""
        return self._issuers.get(key)

    async def look_up(self, keys: Sequence[str], store: Store | None) -> None:
        """Ask `store` for the issuers of those `keys` that this process does not know. Raises StoreDown."""
        if store is None or not store.shared:
            return
        unknown = [key for key in keys if key not in self._issuers]
        if unknown:
            for issued in await store.issuers(unknown):
                self._issuers[issued.key] = issued

    async def aclose(self) -> None:
        """Write what is queued, once."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        while self._queue:
            store = next(iter(self._queue.values()))[1]
            try:
                await self._write_batch(store)
            except StoreDown:
                self._drop(store)

    async def _write(self) -> None:
        try:
            while self._queue:
                store = next(iter(self._queue.values()))[1]
                try:
                    await self._write_batch(store)
                except StoreDown as error:
                    _log.debug("the issuers of %d ids and signatures wait: %s", len(self._queue), error)
                    await asyncio.sleep(_RETRY)
        finally:
            self._writing = None

    async def _write_batch(self, store: Store) -> None:
        """Write what is queued for `store`, and take it from the queue once it is written."""
        batch = [issued for issued, its in self._queue.values() if its is store]
        await store.put_issued(batch)
        for issued in batch:
            if self._queue.get(issued.key) == (issued, store):
                del self._queue[issued.key]

    def _drop(self, store: Store) -> None:
        self._queue = {key: each for key, each in self._queue.items() if each[1] is not store}
