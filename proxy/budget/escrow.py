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
from dataclasses import dataclass
from itertools import count
from typing import Final, TypeAlias
from uuid import uuid4

from typing_extensions import override

from ..stores.forwarding_store import ForwardingStore
from ..stores.records import Denied, Held, LedgerEntry, Line
from ..stores.store import Store, StoreDown
from .settlement_queue import SettlementQueue
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

_Key: TypeAlias = tuple[str, int]
"""Account and bucket; the bucket is 0 for accounts that are not sums."""


@dataclass(slots=True, eq=False)
class _Slice:
    """One slice: a hold in the store that serves local holds.

    `free` is the amount still available for each account. `used` is the store's total at the time of the
    slice, without the slice itself, plus what local holds took. `spent` is what settled local holds took.
    `ends` is when the slice stops serving holds and `last` when it was last used, in seconds of the loop's
    clock. `open` is the number of local holds that are not settled. A `closed` slice serves no new requests.
    """

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
class _Hold:
    """A hold that is served from a slice, if it has one. `held` is the amount taken from it for each account.

    `rest` is what the request spent beyond that, which the store books; it is None until the settlement.
    `in_store` is whether the store may have a hold of the same id.
    """

    slice: _Slice | None
    held: dict[_Key, int]
    rest: tuple[Line, ...] | None = None
    in_store: bool = False


class Escrow(ForwardingStore):
    """A store wrapper that serves holds on sums and rates from slices where possible.

    `settle` writes a request's ledger entries at once, and `settle_behind` soon. `release` writes what is
    left and returns all slices to the wrapped store.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._outbox = SettlementQueue(store)
        self._slices: dict[frozenset[_Key], _Slice] = {}
        self._remaining: dict[_Key, int] = {}
        self._holds: dict[str, _Hold] = {}
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
        if enforce and lines and not [line for line in lines if line.kind == "lease" or line.limit is None]:
            keys, known = _keys(lines), self._holds.get(hold_id)
            piece = None if known is None else known.slice
            if known is None:
                piece = self._find_slice(keys, lines) or await self._new_slice(keys, lines, lease, entries)
                if piece is not None:
                    known = self._holds[hold_id] = _Hold(piece, {})
                    piece.open += 1
            if known is not None and piece is not None and self._take(piece, known.held, keys, lines):
                return self._held_of(piece, keys, lines)
        return await self._hold_in_store(hold_id, lines, lease, entries, enforce=enforce)

    async def _hold_in_store(
        self,
        hold_id: str,
        lines: Sequence[Line],
        lease: float,
        entries: Sequence[LedgerEntry],
        *,
        enforce: bool,
    ) -> Held | Denied:
        known = self._holds.get(hold_id)
        is_first = known is None
        if known is None:
            known = self._holds[hold_id] = _Hold(None, {})
        known.in_store = True
        await self._outbox.begun()
        try:
            outcome = await self._store.hold(hold_id, lines, lease=lease, entries=entries, enforce=enforce)
            if isinstance(outcome, Denied) and await self._return(lines):
                outcome = await self._store.hold(
                    hold_id, lines, lease=lease, entries=entries, enforce=enforce
                )
        except StoreDown as error:
            if is_first and not error.asked:
                self._holds.pop(hold_id, None)  # it has not begun, and nobody will settle it
            raise
        if isinstance(outcome, Held):
            self._update_remaining(lines, outcome.used)
        elif is_first:
            self._holds.pop(hold_id, None)
        return outcome

    @override
    async def settle(self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> bool:
        known = self._holds.get(hold_id)
        if known is None or known.slice is None:
            self._holds.pop(hold_id, None)
            return await self._store.settle(hold_id, lines, entries)
        if known.rest is None:  # otherwise this is a retry after the store failed
            known.rest = self._spend(known.slice, known.held, lines)
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
        self._behind.add(self._spend(known.slice, known.held, lines), entries)
        self._leave(known.slice)
        return True

    @property
    def waiting(self) -> int:
        """The number of ledger entries that are not on their way to the store yet."""
        return len(self._behind)

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

    def _find_slice(self, keys: Sequence[_Key], lines: Sequence[Line]) -> _Slice | None:
        """Returns the slice that has room for these lines, or None. Closes one that is full or too old."""
        piece = self._slices.get(frozenset(keys))
        if piece is None:
            return None
        now = asyncio.get_running_loop().time()
        if now < piece.ends and _has_room(piece.free, keys, lines):
            piece.last = now
            return piece
        self._close(piece)
        return None

    async def _new_slice(
        self, keys: Sequence[_Key], lines: Sequence[Line], lease: float, entries: Sequence[LedgerEntry]
    ) -> _Slice | None:
        """Takes a new slice for requests with these lines, sized by the remaining budget.

        Returns None if the remaining budget is unknown or too small, if the store refuses the slice, or if
        two lines have the same account and bucket. Raises StoreDown.
        """
        remaining = self._remaining
        sizes = [
            min(HOLDS * line.amount, remaining.get(key, 0) // SHARE)
            for key, line in zip(keys, lines, strict=True)
        ]
        if any(size < line.amount for size, line in zip(sizes, lines, strict=True)):
            return None
        signature = frozenset(keys)
        if len(signature) < len(lines):
            return None
        slice_id = self._new_id()
        slice_lines = [line.of(size) for line, size in zip(lines, sizes, strict=True)]
        cost = max((line.amount for line in slice_lines if "/cost/" in line.account), default=None)
        expiry = [entry._replace(request_id=slice_id, cost=cost, charged=cost) for entry in entries[:1]]
        await self._outbox.begun()
        began = asyncio.get_running_loop().time()
        try:
            outcome = await self._store.hold(slice_id, slice_lines, lease=lease + 2 * LIFE, entries=expiry)
        except BaseException:
            self._outbox.settle(slice_id, (), ())  # the store may have taken the slice
            raise
        if isinstance(outcome, Denied):
            self._remaining.update((key, 0) for key in signature)
            return None
        self._update_remaining(lines, outcome.used)
        free = dict(zip(keys, sizes, strict=True))
        used = {key: amount - free[key] for key, amount in zip(keys, outcome.used, strict=True)}
        piece = _Slice(slice_id, signature, free, used, {}, ends=began + LIFE, last=began)
        if (other := self._slices.get(signature)) is not None:
            self._close(other)  # another request took one concurrently
        self._slices[signature] = piece
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(IDLE, self._tick)
        return piece

    @staticmethod
    def _take(piece: _Slice, held: dict[_Key, int], keys: Sequence[_Key], lines: Sequence[Line]) -> bool:
        """Takes these lines from a slice, for a hold that has `held` of it.

        Returns False, and takes nothing, if there is no room.
        """
        free = piece.free
        if (piece.closed and piece.open == 0) or not _has_room(free, keys, lines):
            return False
        for key, line in zip(keys, lines, strict=True):
            free[key] -= line.amount
            held[key] = held[key] + line.amount if key in held else line.amount
        return True

    @staticmethod
    def _held_of(piece: _Slice, keys: Sequence[_Key], lines: Sequence[Line]) -> Held:
        """Returns the used amounts after these lines, as far as this process can see."""
        used = piece.used
        for key, line in zip(keys, lines, strict=True):
            used[key] += line.amount
        return Held(tuple([used[key] for key in keys]))

    def _spend(self, piece: _Slice, held: dict[_Key, int], lines: Sequence[Line]) -> tuple[Line, ...]:
        """Books what a hold spent in its slice, of which it has `held`, and frees the unspent part.

        Returns the lines that exceed what was held, which the store must book.
        """
        rest: list[Line] = []
        unspent, spent = held.copy(), piece.spent
        for key, line in zip(_keys(lines), lines, strict=True):
            within = min(line.amount, unspent.get(key, 0))
            if within:
                unspent[key] -= within
                spent[key] = line.of(spent[key].amount + within if key in spent else within)
            if within < line.amount:
                rest.append(line.of(line.amount - within))
        for key, amount in unspent.items():
            piece.free[key] += amount
            piece.used[key] -= amount
        return tuple(rest)

    def _leave(self, piece: _Slice) -> None:
        """A hold of the slice is settled, and its entries are written or will be before the slice's end."""
        piece.open -= 1
        if piece.closed and not piece.open:
            self._settle(piece)

    def _close(self, piece: _Slice) -> None:
        """Stops the slice from serving new requests. It is returned when its open holds are settled."""
        if self._slices.get(piece.signature) is piece:
            del self._slices[piece.signature]
        if piece.closed:
            return
        piece.closed = True
        if not piece.open:
            self._settle(piece)

    def _settle(self, piece: _Slice) -> None:
        self._behind.flush()  # first: what an account has spent must not be missing from the ledger
        self._outbox.settle(piece.id, tuple(piece.spent.values()), ())

    async def _return(self, lines: Sequence[Line]) -> bool:
        """Returns idle slices that share an account with these lines to the store. Whether there were any."""
        requested = {_key(line) for line in lines}
        idle = [piece for piece in self._slices.values() if not piece.open and piece.signature & requested]
        for piece in idle:
            del self._slices[piece.signature]
            piece.closed = True
        self._behind.flush()
        await self._outbox.begun()
        for piece in idle:
            try:
                await self._store.settle(piece.id, tuple(piece.spent.values()), ())
            except StoreDown:
                self._settle(piece)
        return bool(idle)

    def _update_remaining(self, lines: Sequence[Line], used: Iterable[int]) -> None:
        if len(self._remaining) > 10_000:
            self._remaining.clear()
        for line, taken in zip(lines, used, strict=True):
            self._remaining[_key(line)] = 0 if line.limit is None else line.limit - taken

    def _tick(self) -> None:
        """Closes the slices that are idle or too old, and schedules the next check."""
        loop = asyncio.get_running_loop()
        for piece in tuple(self._slices.values()):
            if loop.time() >= min(piece.last + IDLE, piece.ends):
                self._close(piece)
        self._timer = loop.call_later(IDLE, self._tick) if self._slices else None

    @override
    async def aclose(self) -> None:
        """Returns the slices. Does not close the wrapped store; its owner does that."""
        await self.release()


def _key(line: Line) -> _Key:
    return line.account, line.bucket if line.kind == "sum" else 0


def _keys(lines: Sequence[Line]) -> list[_Key]:
    return [(line.account, line.bucket if line.kind == "sum" else 0) for line in lines]


def _has_room(free: dict[_Key, int], keys: Sequence[_Key], lines: Sequence[Line]) -> bool:
    for key, line in zip(keys, lines, strict=True):
        if key not in free or free[key] < line.amount:
            return False
    return True
