"""One store as Budget uses it: holds now, settles in the background, sweeps, and gets by while it is down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from ..stores.records import Denied, Held, LedgerEntry, Line
from ..stores.store import Store, StoreDown
from .escrow import Escrow
from .hold import Demand
from .outage_allowance import OutageAllowance
from .settlement_queue import SettlementQueue

__all__ = ["SWEEP", "BudgetStore"]

SWEEP: Final = 5.0
"""Seconds between two looks for holds whose lease is over."""

_log: Final = logging.getLogger("standby.budget")


class BudgetStore:
    """Takes and settles holds. Nothing happens before its first hold; `aclose` does not close the store."""

    __slots__ = ("_allowance", "_escrow", "_store", "_sweeping", "_timer", "outbox")

    def __init__(
        self, store: Store, *, allowance: OutageAllowance | int | None = None, escrow: bool = False
    ) -> None:
        self._escrow = Escrow(store) if escrow else None
        self._store: Store = store if self._escrow is None else self._escrow
        self._allowance = OutageAllowance(allowance) if isinstance(allowance, int) else allowance
        self._timer: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self.outbox = SettlementQueue(self._store)

    def now(self) -> float:
        """The time by the store's clock."""
        return self._store.now()

    async def hold(
        self,
        hold_id: str,
        demand: Demand,
        *,
        lease: float,
        entries: Sequence[LedgerEntry],
        enforce: bool = True,
    ) -> Held | Denied:
        """Take what is demanded, of the allowance if the store is down. Raises StoreDown."""
        if self._timer is None:
            self._rest()
        await self.outbox.begun()
        if self.outbox.full:
            raise StoreDown("too many settlements wait for the store")
        try:
            took = await self._store.hold(
                hold_id, demand.lines, lease=lease, entries=entries, enforce=enforce
            )
        except StoreDown as error:
            if self._allowance is None:
                raise
            let = await self._allowance.hold(hold_id, demand.lines, demand.cost, lease=lease, enforce=enforce)
            return let._replace(unsure=error.asked) if isinstance(let, Denied) else let
        if self._allowance is not None and not self.outbox.behind:
            self._allowance.restore()
        return took

    async def settle(
        self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry], cost: int
    ) -> None:
        """Have the hold settled. Never waits."""
        self.outbox.settle(hold_id, lines, entries)
        if self._allowance is not None:
            await self._allowance.settle(hold_id, lines, cost)

    async def settled(self) -> None:
        """Return once the store has taken every settlement, and what no request uses of the escrow."""
        await self.outbox.settled()
        if self._escrow is not None:
            await self._escrow.settled()

    async def aclose(self) -> None:
        """Have everything settled, return what is in escrow, and stop sweeping."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        await self.outbox.aclose()
        if self._escrow is not None:
            await self._escrow.release()

    def _rest(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SWEEP, self._begin)

    def _begin(self) -> None:
        self._sweeping = asyncio.create_task(self._sweep())
        self._rest()

    async def _sweep(self) -> None:
        try:
            expired = await self._store.sweep()
        except StoreDown:
            return
        if expired:
            _log.warning("%d holds were never settled, and are booked at what they held", expired)
