"""Remembers which provider issued which state, for later requests that refer to it.

An id, a signature or encrypted reasoning is valid only at the provider that issued it. Each process remembers
what it has relayed. If the store is shared, it is also written there, in the background, so that other
workers know it too, and this one after a restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from cachetools import TTLCache

from ..stores.records import Issued
from ..stores.store import Store, StoreDown

__all__ = ["KEPT", "LIFETIME", "QUEUED", "StateAffinity"]

KEPT: Final = 50_000
"""Maximum number of keys that this process remembers at a time, about 15 MB."""
LIFETIME: Final = 24 * 3600.0
"""Seconds for which this process remembers a key. The store remembers it for longer (`records.ISSUED`)."""
QUEUED: Final = 10_000
"""Maximum number of keys that wait to be written; beyond it the oldest are dropped."""
_RETRY: Final = 1.0
"""Seconds until a failed write is tried again."""

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

    def remember(self, key: str, provider: str, owner: str = "", store: Store | None = None) -> None:
        """Remember that `provider` issued `key` to the API key of the name `owner`.

        It is written to `store` in the background, if that is shared. A key that was issued to another owner
        before has none from then on: some servers give every answer the same id.
        """
        known = self._issuers.get(key)
        if known is not None and known.owner != owner:
            owner = ""
        issued = Issued(key, provider, owner)
        if issued == known:
            return
        self._issuers[key] = issued
        if store is None or not store.shared:
            return
        self._queue.pop(key, None)
        self._queue[key] = issued, store
        if len(self._queue) > QUEUED:
            del self._queue[next(iter(self._queue))]
        loop = asyncio.get_running_loop()
        if self._writing is None or self._writing.done() or self._writing.get_loop() is not loop:
            self._writing = loop.create_task(self._write())

    def issuer_of(self, key: str) -> Issued | None:
        """Returns what this process knows of the issuer of `key`, or None."""
        return self._issuers.get(key)

    async def look_up(self, keys: Sequence[str], store: Store | None) -> None:
        """Ask `store` for the issuers of those `keys` that this process does not know. Raises StoreDown."""
        if store is None or not store.shared:
            return
        unknown = list(dict.fromkeys([key for key in keys if key not in self._issuers]))
        if unknown:
            for issued in await store.issuers(unknown):
                self._issuers[issued.key] = issued

    async def aclose(self) -> None:
        """Write what is queued, once."""
        writing, self._writing = self._writing, None
        if writing is not None and writing.get_loop() is asyncio.get_running_loop():
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        for store in self._stores():
            await self._write_to(store)
        self._queue.clear()

    async def _write(self) -> None:
        while self._queue:
            # Every store, so that one that is down does not keep keys from another.
            written = [await self._write_to(store) for store in self._stores()]
            if not any(written):
                await asyncio.sleep(_RETRY)

    async def _write_to(self, store: Store) -> bool:
        """Write what is queued for `store`. Returns whether it is written, and so off the queue."""
        batch = [entry for entry in self._queue.values() if entry[1] is store]
        try:
            await store.put_issued([issued for issued, _ in batch])
        except StoreDown as error:
            _log.debug("the issuers of %d ids and signatures wait: %s", len(batch), error)
            return False
        except Exception:  # noqa: BLE001  logged; what comes after must be written
            _log.exception("the issuers of %d ids and signatures cannot be written", len(batch))
        for entry in batch:
            if self._queue.get(entry[0].key) is entry:
                del self._queue[entry[0].key]
        return True

    def _stores(self) -> list[Store]:
        return list(dict.fromkeys([store for _, store in self._queue.values()]))
