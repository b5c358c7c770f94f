"""The store as the Budget middleware uses it.

Holds are taken at once. Settlements are delivered in the background. Expired holds are swept periodically.
While the store is down, an optional allowance serves holds from memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextvars import Context
from typing import Final

from ..stores.records import Denied, Held, LedgerEntry, Line
from ..stores.store import Store, StoreBusy, StoreDown
from .escrow import Escrow
from .hold import Demand
from .outage_allowance import OutageAllowance
from .settlement_queue import SettlementQueue

__all__ = ["SWEEP", "BudgetStore"]

SWEEP: Final = 5.0
"""Seconds between two sweeps for holds whose lease has expired."""

_log: Final = logging.getLogger("standby.budget")


class BudgetStore:
    """Takes and settles holds. Background work starts with the first hold. `aclose` does not close the store.

    `allowance` is for outages of the store: an OutageAllowance, an amount in nano-dollars, or None for none.
    With `escrow`, holds are served from slices that are taken from the store in advance, unless the store is
    in this process's memory.
    """

    __slots__ = ("_allowance", "_escrow", "_store", "_sweeping", "_timer", "outbox")

    def __init__(
        self, store: Store, *, allowance: OutageAllowance | int | None = None, escrow: bool = False
    ) -> None:
        self._escrow = Escrow(store) if escrow and not store.immediate else None
        self._store: Store = store if self._escrow is None else self._escrow
        self._allowance = OutageAllowance(allowance) if isinstance(allowance, int) else allowance
        self._timer: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self.outbox = SettlementQueue(self._store)

    def now(self) -> float:
        """Returns the store's time, in seconds since 1970."""
        return self._store.now()

    @property
    def waiting(self) -> int:
        """The number of settlements that the store has not confirmed yet."""
        return len(self.outbox) + (0 if self._escrow is None else self._escrow.waiting)

    async def hold(
        self,
        hold_id: str,
        demand: Demand,
        *,
        lease: float,
        entries: Sequence[LedgerEntry],
        enforce: bool = True,
    ) -> Held | Denied:
        """Takes a hold for `demand` from the store, or from the allowance if the store is down.

        `lease` is in seconds. Raises StoreDown if the store is down and there is no allowance, or if the
        settlement queue is full; StoreBusy if that is for load alone.
        """
        if self._timer is None:
            self._schedule_sweep()
        if not self._store.immediate:
            await self.outbox.begun()
        if self.outbox.full or (self._escrow is not None and self._escrow.full):
            error = StoreDown if self.behind else StoreBusy
            raise error("too many settlements wait for the store")
        try:
            outcome = await self._store.hold(
                hold_id, demand.lines, lease=lease, entries=entries, enforce=enforce
            )
        except StoreBusy:
            raise  # no outage
        except StoreDown as error:
            if self._allowance is None:
                raise
            fallback = await self._allowance.hold(
                hold_id, demand.lines, demand.cost, lease=lease, enforce=enforce
            )
            # The store may have taken the hold even though the allowance refused it.
            return fallback._replace(unsure=error.asked) if isinstance(fallback, Denied) else fallback
        if self._allowance is not None and not self.behind and self._store_answered(hold_id):
            self._allowance.restore()
        return outcome

    @property
    def behind(self) -> bool:
        """Whether settlements wait for a retry after a failure of the store."""
        return self.outbox.behind or (self._escrow is not None and self._escrow.behind)

    def _store_answered(self, hold_id: str) -> bool:
        """Whether a hold that was taken shows that the store works: slices serve on while it is down."""
        return self._escrow is None or not self._escrow.is_sliced(hold_id)

    async def settle(
        self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry], cost: int
    ) -> None:
        """Queues the settlement of a hold. Never waits for the store. `cost` is in nano-dollars."""
        if self._store.immediate:
            await self.outbox.deliver(hold_id, lines, entries)
        elif self._escrow is None or not self._escrow.settle_behind(hold_id, lines, entries):
            self.outbox.settle(hold_id, lines, entries)
        if self._allowance is not None:
            await self._allowance.settle(hold_id, lines, cost)

    async def settled(self) -> None:
        """Waits until the store has confirmed every settlement and taken back all unused escrow slices."""
        await self.outbox.settled()
        if self._escrow is not None:
            await self._escrow.settled()

    async def aclose(self) -> None:
        """Stops sweeping, delivers the queued settlements and returns the escrow slices to the store."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        await self.outbox.aclose()
        if self._escrow is not None:
            await self._escrow.release()

    def _schedule_sweep(self) -> None:
        # An empty context: a timer keeps the one it is created in, and with it the request's data.
        self._timer = asyncio.get_running_loop().call_later(SWEEP, self._start_sweep, context=Context())

    def _start_sweep(self) -> None:
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.create_task(self._sweep())
        self._schedule_sweep()

    async def _sweep(self) -> None:
        try:
            expired = await self._store.sweep()
        except StoreDown:
            return
        if expired:
            _log.warning("%d holds were never settled, and are booked at what they held", expired)
