"""Slices of budgets, taken in advance in one store operation each, from which holds are served.

A slice is a hold of the store like any other, for what many requests like the last one would need. It shrinks
as the budget runs low, and where it would be less than one request's worth, the store is asked each time: so
no budget is overspent, and the last of it is not left lying in slices. What a request took of a slice becomes
spending when the slice is returned; its ledger entries are written at once.

A slice that is not returned, since its process was killed, expires like any hold: all of it counts as spent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Final, TypeAlias
from uuid import uuid4

from typing_extensions import override

from ..stores.records import Denied, Held, KeyRecord, LedgerEntry, Line
from ..stores.store import Store, StoreDown
from .settlement_queue import SettlementQueue

__all__ = ["HOLDS", "IDLE", "LIFE", "SHARE", "Escrow"]

HOLDS: Final = 32
"""How many requests' worth a slice is at most."""
SHARE: Final = 16
"""A slice is at most one part in so many of what is left."""
IDLE: Final = 1.0
"""Seconds without use after which a slice is returned."""
LIFE: Final = 10.0
"""Seconds for which a slice serves holds. What they spend counts as held until it is returned."""

_log: Final = logging.getLogger("standby.escrow")

_Key: TypeAlias = tuple[str, int]
"""Account and bucket."""


@dataclass(slots=True, eq=False)
class _Slice:
    """`free` is what more holds may take, `spent` what settled ones took, `open` how many are not settled."""

    id: str
    signature: frozenset[_Key]
    free: dict[_Key, int]
    used: dict[_Key, int]
    spent: dict[_Key, Line]
    ends: float
    last: float
    open: int = 0
    closed: bool = False


@dataclass(slots=True, eq=False)
class _Local:
    """A hold that is served from a slice, as far as `held` goes; `rest` is what the store is to book."""

    slice: _Slice
    held: dict[_Key, int]
    rest: tuple[Line, ...] | None = None


class Escrow(Store):
    """A store that serves sums and rates from slices where it can. `release` returns them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._outbox = SettlementQueue(store)
        self._slices: dict[frozenset[_Key], _Slice] = {}
        self._closing: set[_Slice] = set()
        self._left: dict[_Key, int] = {}
        self._local: dict[str, _Local] = {}
        self._ids = count()
        self._prefix = f"escrow_{uuid4().hex}"
        self._timer: asyncio.TimerHandle | None = None

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
        if enforce and lines and all(line.kind != "lease" and line.limit is not None for line in lines):
            if (local := self._local.get(hold_id)) is not None:
                if self._take(local, lines):
                    return self._held_of(local.slice, lines)
            elif (piece := self._slice(lines)) or (piece := await self._cut(lines, lease, entries)):
                local = self._local[hold_id] = _Local(piece, {})
                piece.open += 1
                self._take(local, lines)
                return self._held_of(piece, lines)
        await self._outbox.begun()
        took = await self._store.hold(hold_id, lines, lease=lease, entries=entries, enforce=enforce)
        if isinstance(took, Denied) and await self._return(lines):
            took = await self._store.hold(hold_id, lines, lease=lease, entries=entries, enforce=enforce)
        if isinstance(took, Held):
            self._learn(lines, took.used)
        return took

    @override
    async def settle(self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> bool:
        local = self._local.get(hold_id)
        if local is None:
            return await self._store.settle(hold_id, lines, entries)
        if local.rest is None:  # else the store failed the last time
            local.rest = self._spend(local, lines)
        settled = await self._store.settle(hold_id, local.rest, entries)
        self._local.pop(hold_id, None)
        return settled

    async def settled(self) -> None:
        """Return every slice that no request uses, and return once the store has taken them."""
        for piece in tuple(self._slices.values()):
            self._close(piece)
        await self._outbox.settled()

    async def release(self) -> None:
        """Return every slice that no request uses any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for piece in tuple(self._slices.values()):
            self._close(piece)
        await self._outbox.aclose()

    # -- slices -----------------------------------------------------------------------------

    def _slice(self, lines: Sequence[Line]) -> _Slice | None:
        """The slice that has room for these lines."""
        piece = self._slices.get(frozenset([_key(line) for line in lines]))
        if piece is None:
            return None
        now = asyncio.get_running_loop().time()
        if now < piece.ends and all(piece.free[_key(line)] >= line.amount for line in lines):
            piece.last = now
            return piece
        self._close(piece)
        return None

    async def _cut(
        self, lines: Sequence[Line], lease: float, entries: Sequence[LedgerEntry]
    ) -> _Slice | None:
        """A new slice, of a size that what is left allows; None where that is too small, or not known."""
        sizes = [min(HOLDS * line.amount, self._left.get(_key(line), 0) // SHARE) for line in lines]
        if any(size < line.amount for size, line in zip(sizes, lines, strict=True)):
            return None
        signature = frozenset([_key(line) for line in lines])
        if len(signature) < len(lines):
            return None
        slice_id = f"{self._prefix}_{next(self._ids)}"
        larger = [line._replace(amount=size) for line, size in zip(lines, sizes, strict=True)]
        money = max((line.amount for line in larger if "/cost/" in line.account), default=None)
        expiry = [replace(entry, request_id=slice_id, cost=money, charged=money) for entry in entries[:1]]
        await self._outbox.begun()
        began = asyncio.get_running_loop().time()
        try:
            took = await self._store.hold(slice_id, larger, lease=lease + 2 * LIFE, entries=expiry)
        except BaseException:
            self._outbox.settle(slice_id, (), ())  # it may have been taken
            raise
        if isinstance(took, Denied):
            self._left.update((key, 0) for key in signature)
            return None
        self._learn(lines, took.used)
        free = {_key(line): line.amount for line in larger}
        used = {_key(line): amount - line.amount for line, amount in zip(larger, took.used, strict=True)}
        piece = _Slice(slice_id, signature, free, used, {}, ends=began + LIFE, last=began)
        if (other := self._slices.get(signature)) is not None:
            self._close(other)  # cut by another request meanwhile
        self._slices[signature] = piece
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(IDLE, self._tick)
        return piece

    @staticmethod
    def _take(local: _Local, lines: Sequence[Line]) -> bool:
        """Whether the slice of this hold has room for these lines; then they are taken."""
        free = local.slice.free
        if local.slice.closed and local.slice.open == 0:
            return False
        if any(free.get(_key(line), -1) < line.amount for line in lines):
            return False
        for line in lines:
            key = _key(line)
            free[key] -= line.amount
            local.held[key] = local.held.get(key, 0) + line.amount
        return True

    @staticmethod
    def _held_of(piece: _Slice, lines: Sequence[Line]) -> Held:
        """What is used, as far as this process knows."""
        for line in lines:
            piece.used[_key(line)] += line.amount
        return Held(tuple([piece.used[_key(line)] for line in lines]))

    def _spend(self, local: _Local, lines: Sequence[Line]) -> tuple[Line, ...]:
        """Book what the hold took of its slice, and give back the rest. Returns what the slice lacks."""
        piece, rest = local.slice, list[Line]()
        unspent = dict(local.held)
        for line in lines:
            key = _key(line)
            within = min(line.amount, unspent.get(key, 0))
            if within:
                unspent[key] -= within
                before = piece.spent.get(key, line._replace(amount=0))
                piece.spent[key] = before._replace(amount=before.amount + within)
            if within < line.amount:
                rest.append(line._replace(amount=line.amount - within))
        for key, amount in unspent.items():
            piece.free[key] += amount
            piece.used[key] -= amount
        piece.open -= 1
        if piece.closed and not piece.open:
            self._settle(piece)
        return tuple(rest)

    def _close(self, piece: _Slice) -> None:
        """The slice serves no more requests, and is returned once those are done that it serves."""
        if self._slices.get(piece.signature) is piece:
            del self._slices[piece.signature]
        if piece.closed:
            return
        piece.closed = True
        if piece.open:
            self._closing.add(piece)
        else:
            self._settle(piece)

    def _settle(self, piece: _Slice) -> None:
        self._closing.discard(piece)
        self._outbox.settle(piece.id, tuple(piece.spent.values()), ())

    async def _return(self, lines: Sequence[Line]) -> bool:
        """Return what idle slices hold of these accounts. Whether there were any."""
        wanted = {_key(line) for line in lines}
        idle = [piece for piece in self._slices.values() if not piece.open and piece.signature & wanted]
        for piece in idle:
            del self._slices[piece.signature]
            piece.closed = True
        for piece in idle:
            try:
                await self._store.settle(piece.id, tuple(piece.spent.values()), ())
            except StoreDown:
                self._settle(piece)
        return bool(idle)

    def _learn(self, lines: Sequence[Line], used: Iterable[int]) -> None:
        if len(self._left) > 10_000:
            self._left.clear()
        for line, taken in zip(lines, used, strict=True):
            self._left[_key(line)] = 0 if line.limit is None else line.limit - taken

    def _tick(self) -> None:
        """Return the slices that are not used."""
        loop = asyncio.get_running_loop()
        for piece in tuple(self._slices.values()):
            if loop.time() >= min(piece.last + IDLE, piece.ends):
                self._close(piece)
        self._timer = loop.call_later(IDLE, self._tick) if self._slices else None

    # -- what the store does ----------------------------------------------------------------

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
        """Return the slices. The store is closed by whoever opened it."""
        await self.release()


def _key(line: Line) -> _Key:
    return line.account, line.bucket if line.kind == "sum" else 0
