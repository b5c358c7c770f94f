"""A queue of settlements that are delivered to the store in the background, so that no request waits for one.

Each settlement is sent at once, in order of arrival. One that the store did not take is kept and sent again
until it is taken. A settlement takes effect exactly once, even if the store's reply is lost.

Nothing is dropped to save memory. Instead, while `full` is true, no more requests should be admitted; the
queue then grows at most by the settlements of the requests that are already running.
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
"""The number of unconfirmed settlements at which the queue is full."""
FIRST_WAIT: Final = 0.05
"""Seconds until the first retry after a failure of the store. Doubles with each further failure."""
LONGEST_WAIT: Final = 5.0
"""The maximum number of seconds between two retries."""
_BATCH: Final = 64
"""The number of settlements sent together once a retry has succeeded."""

_log: Final = logging.getLogger("standby.settlement")


class _Settlement(NamedTuple):
    hold_id: str
    lines: Sequence[Line]
    entries: Sequence[LedgerEntry]


class SettlementQueue:
    """Settles holds of one store in the background. Bound to the event loop that first uses it.

    `most` is the number of unconfirmed settlements at which the queue is full.
    """

    __slots__ = ("_idle", "_most", "_retrier", "_store", "_tasks", "_unstarted", "_waiting")

    def __init__(self, store: Store, *, most: int = MOST) -> None:
        self._store = store
        self._most = most
        self._waiting: deque[_Settlement] = deque()
        self._tasks: set[asyncio.Task[bool]] = set()
        self._unstarted = 0  # delivery tasks that have not started running
        self._retrier: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        """The number of settlements that the store has not confirmed yet."""
        return len(self._waiting) + len(self._tasks)

    @property
    def full(self) -> bool:
        """Whether no more requests should be admitted, because too many settlements are unconfirmed."""
        return len(self) >= self._most

    @property
    def behind(self) -> bool:
        """Whether settlements are waiting for a retry after a failure of the store."""
        return bool(self._waiting)

    def settle(self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> None:
        """Queues the settlement of a hold. Returns at once."""
        settlement = _Settlement(hold_id, lines, entries)
        self._idle.clear()
        if self._waiting:  # the store is failing, and settlements must stay in order
            self._waiting.append(settlement)
        else:
            self._send(settlement)

    async def deliver(self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> None:
        """Settles a hold without the queue. Raises StoreDown."""
        if not await self._store.settle(hold_id, lines, entries):
            _log.warning("%s: had ended before it was settled", hold_id)

    async def begun(self) -> None:
        """Waits until every delivery has called the store, so that later calls come after the settlements."""
        while self._unstarted:  # noqa: ASYNC110 - after one turn of the loop all of them have started
            await asyncio.sleep(0)

    async def settled(self) -> None:
        """Waits until the store has taken every settlement."""
        await self._idle.wait()

    async def aclose(self, limit: float = 10.0) -> int:
        """Waits up to `limit` seconds for the store to take every settlement, then drops the rest.

        Returns the number of dropped settlements. Their holds, if the store has them, expire later and are
        booked at the amounts they held.
        """
        try:
            async with asyncio.timeout(limit):
                await self.settled()
        except TimeoutError:
            _log.error("%d settlements were not taken by the store; their holds will expire", len(self))
        dropped = len(self)
        tasks: set[asyncio.Task[Any]] = {*self._tasks, *(() if self._retrier is None else (self._retrier,))}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._waiting.clear()
        self._unstarted = 0
        self._update_idle()
        return dropped

    def _send(self, settlement: _Settlement) -> asyncio.Task[bool]:
        self._unstarted += 1
        task = asyncio.create_task(self._deliver(settlement))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def _deliver(self, settlement: _Settlement) -> bool:
        """Sends a settlement to the store. Returns False, and keeps it for a retry, if the store is down."""
        self._unstarted -= 1
        try:
            await self.deliver(*settlement)
        except StoreDown:
            self._waiting.append(settlement)
            if self._retrier is None:
                self._retrier = asyncio.create_task(self._retry())
            return False
        except Exception:  # noqa: BLE001 - it is logged
            # This is a bug in Standby, and a retry would fail the same way. The hold will expire instead.
            _log.exception("%s: could not be settled", settlement.hold_id)
        return True

    def _done(self, task: asyncio.Task[bool]) -> None:
        self._tasks.discard(task)
        self._update_idle()

    def _update_idle(self) -> None:
        if not self._waiting and not self._tasks:
            self._idle.set()

    async def _retry(self) -> None:
        """Retries until no settlement is waiting: one at a time first, in batches once that has succeeded."""
        wait, size = FIRST_WAIT, 1
        try:
            while self._waiting:
                await asyncio.sleep(wait)
                batch = [self._waiting.popleft() for _ in range(min(size, len(self._waiting)))]
                if all(await asyncio.gather(*map(self._send, batch))):
                    wait, size = 0.0, _BATCH
                else:
                    wait, size = min(max(wait, FIRST_WAIT / 2) * 2, LONGEST_WAIT), 1
        finally:
            self._retrier = None
