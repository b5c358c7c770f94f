"""Settlements on their way to the store, so that no request waits for one.

Each is asked of the store at once, in the order in which they come; what the store did not take is kept and
asked again, for as long as it takes. A settlement takes effect once, whatever became of the replies.

Nothing is dropped to save memory. Instead `full` says when no more requests should be let in that would have
to be settled here: then at most as many as are under way can still come.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ..stores.records import LedgerEntry, Line
from ..stores.store import Store, StoreDown

__all__ = ["FIRST_WAIT", "LONGEST_WAIT", "MOST", "SettlementQueue"]

MOST: Final = 10_000
"""Settlements that wait, or are under way, before the outbox is full."""
FIRST_WAIT: Final = 0.05
"""Seconds until a store that failed is asked again; doubled each time that it fails."""
LONGEST_WAIT: Final = 5.0
_AT_ONCE: Final = 64
"""Settlements asked together of a store that answers again."""

_log: Final = logging.getLogger("standby.settlement")


class _Settlement(NamedTuple):
    hold_id: str
    lines: Sequence[Line]
    entries: Sequence[LedgerEntry]


class SettlementQueue:
    """Settles holds of one store in the background. Lives in the loop that first uses it."""

    __slots__ = ("_fresh", "_idle", "_most", "_pump", "_store", "_tasks", "_waiting")

    def __init__(self, store: Store, *, most: int = MOST) -> None:
        self._store = store
        self._most = most
        self._waiting: deque[_Settlement] = deque()
        self._tasks: set[asyncio.Task[bool]] = set()
        self._fresh = 0  # tasks that have not begun
        self._pump: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        """How many settlements the store has not confirmed yet."""
        return len(self._waiting) + len(self._tasks)

    @property
    def full(self) -> bool:
        """Whether nothing more should be begun that will have to be settled."""
        return len(self) >= self._most

    @property
    def behind(self) -> bool:
        """Whether the store has failed to take a settlement, and still has to."""
        return bool(self._waiting)

    def settle(self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> None:
        """Have the hold settled. Returns at once."""
        settlement = _Settlement(hold_id, lines, entries)
        self._idle.clear()
        if self._waiting:  # it would fail as well, and may not overtake
            self._waiting.append(settlement)
        else:
            self._ask(settlement)

    async def begun(self) -> None:
        """Return once the store has been asked: what is asked of it after this comes after them."""
        while self._fresh:  # noqa: ASYNC110 - a turn of the loop, and all of them have begun
            await asyncio.sleep(0)

    async def settled(self) -> None:
        """Return once the store has taken everything."""
        await self._idle.wait()

    async def aclose(self, limit: float = 10.0) -> int:
        """Try for `limit` seconds to have everything taken; returns how many settlements were not.

        Their holds, where the store knows them, expire in time and are booked at what they held.
        """
        try:
            async with asyncio.timeout(limit):
                await self.settled()
        except TimeoutError:
            _log.error("%d settlements were not taken by the store; their holds will expire", len(self))
        left = len(self)
        tasks: set[asyncio.Task[Any]] = {*self._tasks, *(() if self._pump is None else (self._pump,))}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._waiting.clear()
        self._fresh = 0
        self._rest()
        return left

    def _ask(self, settlement: _Settlement) -> asyncio.Task[bool]:
        self._fresh += 1
        task = asyncio.create_task(self._deliver(settlement))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def _deliver(self, settlement: _Settlement) -> bool:
        """Whether the store answered; if not, the settlement waits for the next time."""
        self._fresh -= 1
        try:
            if not await self._store.settle(*settlement):
                _log.warning("%s: had ended before it was settled", settlement.hold_id)
        except StoreDown:
            self._waiting.append(settlement)
            if self._pump is None:
                self._pump = asyncio.create_task(self._retry())
            return False
        except Exception:  # noqa: BLE001 - it is logged
            # A fault of ours, and the next time would end no better. The hold expires at what it held.
            _log.exception("%s: could not be settled", settlement.hold_id)
        return True

    def _done(self, task: asyncio.Task[bool]) -> None:
        self._tasks.discard(task)
        self._rest()

    def _rest(self) -> None:
        if not self._waiting and not self._tasks:
            self._idle.set()

    async def _retry(self) -> None:
        """Ask again until nothing waits: the oldest alone, and more together once that has worked."""
        wait, together = FIRST_WAIT, 1
        try:
            while self._waiting:
                await asyncio.sleep(wait)
                batch = [self._waiting.popleft() for _ in range(min(together, len(self._waiting)))]
                if all(await asyncio.gather(*map(self._ask, batch))):
                    wait, together = 0.0, _AT_ONCE
                else:
                    wait, together = min(max(wait, FIRST_WAIT / 2) * 2, LONGEST_WAIT), 1
        finally:
            self._pump = None
