"""A store that passes every operation on to another one, for those that change some of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from typing_extensions import override

from .records import Denied, Held, Issued, KeyRecord, LedgerEntry, Line
from .store import Store

__all__ = ["ForwardingStore"]


class ForwardingStore(Store):
    """Passes every operation on to `store`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @override
    def now(self) -> float:
        return self._store.now()

    @override
    async def hold(
        self,
        hold_id: str,
        lines: Sequence[Line],
        *,
        lease: float,
        entries: Sequence[LedgerEntry] = (),
        enforce: bool = True,
    ) -> Held | Denied:
        return await self._store.hold(hold_id, lines, lease=lease, entries=entries, enforce=enforce)

    @override
    async def settle(self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> bool:
        return await self._store.settle(hold_id, lines, entries)

    @override
    async def put_issued(self, issued: Sequence[Issued]) -> None:
        await self._store.put_issued(issued)

    @override
    async def issuers(self, keys: Sequence[str]) -> list[Issued]:
        return await self._store.issuers(keys)

    @override
    async def sweep(self) -> int:
        return await self._store.sweep()

    @override
    async def used(self, lines: Sequence[Line]) -> tuple[int, ...]:
        return await self._store.used(lines)

    @override
    async def held(self) -> int:
        return await self._store.held()

    @override
    def entries(self, since: float = 0.0) -> AsyncIterator[LedgerEntry]:
        return self._store.entries(since)

    @override
    async def key_by_hash(self, digest: str) -> KeyRecord | None:
        return await self._store.key_by_hash(digest)

    @override
    async def key(self, name: str) -> KeyRecord | None:
        return await self._store.key(name)

    @override
    async def keys(self) -> list[KeyRecord]:
        return await self._store.keys()

    @override
    async def put_key(self, record: KeyRecord) -> None:
        await self._store.put_key(record)

    @override
    async def delete_key(self, name: str) -> bool:
        return await self._store.delete_key(name)

    @override
    async def aclose(self) -> None:
        await self._store.aclose()
