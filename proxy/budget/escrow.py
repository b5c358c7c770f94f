"""Budget slices that are reserved in advance with one store operation each and then serve holds locally.

A slice is an ordinary hold in the store, sized for many requests like the last one. Slices get smaller as the
budget runs low. When a slice would not cover one request, each request goes to the store. So no budget is
overspent, and the rest of a budget is not stuck in slices. The amounts that requests take from a slice are
booked in the store when the slice is returned; their ledger entries are written in batches.

If its process is killed, a slice is not returned. It expires like any hold, and all of it counts as spent.
The ledger entries of the last moment are lost then; what they cost is a part of the expired slice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextvars import Context
from functools import partial
from itertools import count
from typing import Final
from uuid import uuid4

from typing_extensions import override

from ..stores.forwarding_store import ForwardingStore
from ..stores.records import Denied, Held, LedgerEntry, Line
from ..stores.store import Store, StoreDown
from .settlement_queue import SettlementQueue
from .slices import Key, Slice, SlicedHold, is_sliceable, key_of, keys_of
from .write_behind import WriteBehind

__all__ = ["HOLDS", "IDLE", "LIFE", "SHARE", "Escrow"]

HOLDS: Final = 32
"""The maximum size of a slice, in requests like the one it is taken for."""
SHARE: Final = 16
"""A slice is at most 1/SHARE of the remaining budget."""
IDLE: Final = 1.0
"""Seconds without use after which a slice is returned."""
LIFE: Final = 10.0
"""Seconds for which a slice serves holds. Until the slice is returned, what they spend counts as held."""

_log: Final = logging.getLogger("standby.escrow")


class Escrow(ForwardingStore):
    """A store wrapper that serves holds on sums and rates from slices where possible.

    `settle` writes a request's ledger entries at once, and `settle_behind` soon. `release` writes what is
    left and returns all slices to the wrapped store.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._outbox = SettlementQueue(store)
        self._slices: dict[frozenset[Key], Slice] = {}
        self._remaining: dict[Key, int] = {}
        self._open: set[Slice] = set()  # also those that are closed, but not returned
        self._taking: dict[frozenset[Key], asyncio.Task[None]] = {}
        self._holds: dict[str, SlicedHold] = {}
        self._ids = count()
        self._prefix = f"escrow_{uuid4().hex}"
        self._timer: asyncio.TimerHandle | None = None
        self._behind = WriteBehind(self._outbox, self._new_id)

    def _new_id(self) -> str:
        return f"{self._prefix}_{next(self._ids)}"

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
        known, sliceable = self._holds.get(hold_id), enforce and is_sliceable(lines)
        is_first = known is None
        if known is None:
            known = self._holds[hold_id] = SlicedHold(None, {})
        try:
            if sliceable:
                if is_first:
                    known.join(self._find_slice(lines) or await self._new_slice(lines, lease, entries))
                if (taken := known.take(lines)) is not None:
                    return taken
            outcome = await self._hold_in_store(known, hold_id, lines, lease, entries, enforce=enforce)
            if isinstance(outcome, Denied) and is_first and sliceable and known.slice is None:
                known.join(await self._any_slice(lines, lease))
                if (taken := known.take(lines)) is not None:
                    return taken
        except StoreDown as error:
            if is_first and not error.asked:
                self._forget(hold_id, known)
            raise
        if isinstance(outcome, Denied) and is_first:
            self._forget(hold_id, known)
        return outcome

    async def _hold_in_store(
        self,
        known: SlicedHold,
        hold_id: str,
        lines: Sequence[Line],
        lease: float,
        entries: Sequence[LedgerEntry],
        *,
        enforce: bool,
    ) -> Held | Denied:
        known.in_store = True
        await self._outbox.begun()
        outcome = await self._store.hold(hold_id, lines, lease=lease, entries=entries, enforce=enforce)
        if isinstance(outcome, Denied) and await self._return(lines):
            outcome = await self._store.hold(hold_id, lines, lease=lease, entries=entries, enforce=enforce)
        if isinstance(outcome, Held):
            self._update_remaining(lines, outcome.used)
        return outcome

    def _forget(self, hold_id: str, known: SlicedHold) -> None:
        """A hold was not taken, and nobody will settle it."""
        if known.slice is None and self._holds.get(hold_id) is known:
            del self._holds[hold_id]

    def is_sliced(self, hold_id: str) -> bool:
        """Whether all of a hold is from a slice, so that the store was not asked for it."""
        known = self._holds.get(hold_id)
        return known is not None and known.slice is not None and not known.in_store

    @override
    async def settle(self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> bool:
        known = self._holds.get(hold_id)
        if known is None or known.slice is None:
            self._holds.pop(hold_id, None)
            return await self._store.settle(hold_id, lines, entries)
        if known.rest is None:  # otherwise this is a retry after the store failed
            known.rest = known.spend(known.slice, lines)
        settled = await self._store.settle(hold_id, known.rest, entries)
        self._holds.pop(hold_id, None)
        self._leave(known.slice)
        return settled

    def settle_behind(self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> bool:
        """Settles a hold and writes its entries to the store soon. False if `settle` must be used for it."""
        known = self._holds.get(hold_id)
        if known is None or known.slice is None or known.in_store:
            return False
        del self._holds[hold_id]
        self._behind.add(known.spend(known.slice, lines), entries)
        self._leave(known.slice)
        return True

    @property
    def waiting(self) -> int:
        """The number of settlements and batches that the store has not confirmed yet."""
        return len(self._behind) + len(self._outbox)

    @property
    def full(self) -> bool:
        """Whether no more requests should be admitted, because too many settlements are unconfirmed."""
        return self._outbox.full

    @property
    def behind(self) -> bool:
        """Whether some of them wait for a retry after a failure of the store."""
        return self._outbox.behind

    async def settled(self) -> None:
        """Closes every slice and waits until the store has confirmed the return of those not in use."""
        self._behind.flush()
        for piece in tuple(self._slices.values()):
            self._close(piece)
        await self._outbox.settled()

    async def release(self) -> None:
        """Closes every slice, stops the timer, and delivers the slices that no request uses to the store."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._behind.flush()
        for piece in tuple(self._slices.values()):
            self._close(piece)
        await self._outbox.aclose()

    # -- slices -----------------------------------------------------------------------------

    def _find_slice(self, lines: Sequence[Line]) -> Slice | None:
        """Returns the slice that has room for these lines, or None. Closes one that is full or too old."""
        piece = self._slices.get(frozenset(keys_of(lines)))
        if piece is None:
            return None
        now = asyncio.get_running_loop().time()
        if now < piece.ends and piece.has_room(lines):
            piece.last = now
            return piece
        self._close(piece)
        return None

    async def _any_slice(self, lines: Sequence[Line], lease: float) -> Slice | None:
        """Returns a slice of this process that has room for these lines, or None.

        It may be one that is closed for others: what it holds must not be what a request is refused for.
        """
        for piece in tuple(self._open):
            if piece.has_room(lines):
                extended = await self._store.hold(piece.id, (), lease=lease + 2 * LIFE)
                if isinstance(extended, Held) and piece in self._open and piece.has_room(lines):
                    return piece
        return None

    async def _new_slice(
        self, lines: Sequence[Line], lease: float, entries: Sequence[LedgerEntry]
    ) -> Slice | None:
        """Returns a new slice for requests with these lines, which concurrent ones take together, or None.

        Raises StoreDown.
        """
        signature = frozenset(keys_of(lines))
        taking = self._taking.get(signature)
        if taking is None:
            # An empty context: the task must not keep the request that started it.
            taking = self._taking[signature] = asyncio.get_running_loop().create_task(
                self._take_slice(signature, lines, lease, entries), context=Context()
            )
            taking.add_done_callback(partial(self._taken, signature))
        await asyncio.shield(taking)
        return self._find_slice(lines)

    def _taken(self, signature: frozenset[Key], taking: asyncio.Task[None]) -> None:
        del self._taking[signature]
        if not taking.cancelled():
            taking.exception()  # retrieved: every request that waited may have left

    async def _take_slice(
        self,
        signature: frozenset[Key],
        lines: Sequence[Line],
        lease: float,
        entries: Sequence[LedgerEntry],
    ) -> None:
        """Takes a slice, sized by the remaining budget.

        Takes none if the remaining budget is unknown or too small, if the store refuses the slice, or if two
        lines have the same account and bucket. Raises StoreDown.
        """
        keys, remaining = keys_of(lines), self._remaining
        sizes = [
            min(HOLDS * line.amount, remaining.get(key, 0) // SHARE)
            for key, line in zip(keys, lines, strict=True)
        ]
        if any(size < line.amount for size, line in zip(sizes, lines, strict=True)):
            return
        if len(signature) < len(lines):
            return
        slice_id = self._new_id()
        slice_lines = [line.of(size) for line, size in zip(lines, sizes, strict=True)]
        cost = max((line.amount for line in slice_lines if "/cost/" in line.account), default=None)
        expiry = [entry._replace(request_id=slice_id, cost=cost, charged=cost) for entry in entries[:1]]
        await self._outbox.begun()
        began = asyncio.get_running_loop().time()
        try:
            outcome = await self._store.hold(slice_id, slice_lines, lease=lease + 2 * LIFE, entries=expiry)
        except BaseException as error:
            if not isinstance(error, StoreDown) or error.asked:
                self._outbox.settle(slice_id, (), ())  # the store may have taken the slice
            raise
        if isinstance(outcome, Denied):
            self._remaining.update((key, 0) for key in signature)
            return
        self._update_remaining(lines, outcome.used)
        free = dict(zip(keys, sizes, strict=True))
        used = {key: amount - free[key] for key, amount in zip(keys, outcome.used, strict=True)}
        limits = {key: line.limit for key, line in zip(keys, lines, strict=True)}
        piece = Slice(slice_id, signature, limits, free, used, {}, ends=began + LIFE, last=began)
        self._slices[signature] = piece
        self._open.add(piece)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(IDLE, self._tick, context=Context())

    def _leave(self, piece: Slice) -> None:
        """A hold of the slice is settled, and its entries are written or will be before the slice's end."""
        piece.open -= 1
        if piece.closed and not piece.open:
            self._settle(piece)

    def _close(self, piece: Slice) -> None:
        """Stops the slice from serving new requests. It is returned when its open holds are settled."""
        if self._slices.get(piece.signature) is piece:
            del self._slices[piece.signature]
        if piece.closed:
            return
        piece.closed = True
        if not piece.open:
            self._settle(piece)

    def _settle(self, piece: Slice) -> None:
        self._open.discard(piece)
        self._behind.flush()  # first: what an account has spent must not be missing from the ledger
        self._outbox.settle(piece.id, tuple(piece.spent.values()), ())

    async def _return(self, lines: Sequence[Line]) -> bool:
        """Returns idle slices that share an account with these lines to the store. Whether there were any."""
        requested = {key_of(line) for line in lines}
        idle = [piece for piece in self._slices.values() if not piece.open and piece.signature & requested]
        for piece in idle:
            self._close(piece)
        await self._outbox.begun()  # then the store has them before what is asked next
        return bool(idle)

    def _update_remaining(self, lines: Sequence[Line], used: Iterable[int]) -> None:
        if len(self._remaining) > 10_000:
            self._remaining.clear()
        for line, taken in zip(lines, used, strict=True):
            self._remaining[key_of(line)] = 0 if line.limit is None else line.limit - taken

    def _tick(self) -> None:
        """Closes the slices that are idle or too old, and schedules the next check."""
        loop = asyncio.get_running_loop()
        for piece in tuple(self._slices.values()):
            # One in use cannot be returned yet, and what is left of it may serve others meanwhile.
            if not piece.open and loop.time() >= min(piece.last + IDLE, piece.ends):
                self._close(piece)
        self._timer = loop.call_later(IDLE, self._tick, context=Context()) if self._slices else None

    @override
    async def aclose(self) -> None:
        """Returns the slices. Does not close the wrapped store; its owner does that."""
        await self.release()
