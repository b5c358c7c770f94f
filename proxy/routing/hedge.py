"""A second attempt beside one that is slow to begin, of which the first to prove good is served.

This is the one place where an attempt is not awaited by the task of its request: each has a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from ..config import Pool
from ..exchange import Exchange
from ..health.retry_budget import RetryBudget
from ..health.target_health import Health
from .attempt_run import AttemptRun

__all__ = ["Hedges", "Race"]

_FLOOR: Final = 0
"""Hedges that are allowed however few the requests: none, since each is paid for."""


class Hedges:
    """When the requests to each pool are hedged, and how many of them may be. `now` is the loop's time."""

    def __init__(self) -> None:
        self._budgets: dict[tuple[str, float], RetryBudget] = {}

    def after(self, exchange: Exchange, health: Health, leg: AttemptRun, now: float) -> float | None:
        """Seconds to wait for this first attempt; None for as long as it takes. The request is counted."""
        pool, operation, target = exchange.pool, exchange.operation, leg.candidate.target
        if pool is None or pool.hedge is None or operation is None or target is None:
            return None
        self._budget(pool, pool.hedge.share).request(now)
        if pool.hedge.after != "p95":
            return pool.hedge.after
        # How long whole answers take says nothing of one that is late.
        return health.p95(target.name, operation.name) if exchange.streamed else None

    def allows(self, pool: Pool, now: float) -> bool:
        """Whether there is room for one more; takes nothing."""
        return pool.hedge is not None and self._budget(pool, pool.hedge.share).allows(now)

    def take(self, pool: Pool, now: float) -> None:
        """Count one more, for which there is room."""
        if pool.hedge is not None:
            self._budget(pool, pool.hedge.share).take(now)

    def _budget(self, pool: Pool, share: float) -> RetryBudget:
        key = (pool.name, share)
        budget = self._budgets.get(key)
        if budget is None:
            budget = self._budgets[key] = RetryBudget(share=share, floor=_FLOOR)
        return budget


class Race:
    """One attempt, and if it is late another one beside it.

    `inside` is the run of an attempt. `hedge` begins the other one, or says None if there is to be none; it
    is asked again if that one is over before the first. `ended` is told of each that is over, once its
    target's health knows of it.
    """

    __slots__ = ("_ended", "_exchange", "_hedge", "_inside", "_legs")

    def __init__(
        self,
        exchange: Exchange,
        *,
        inside: Callable[[AttemptRun], Awaitable[None]],
        hedge: Callable[[], AttemptRun | None],
        ended: Callable[[AttemptRun], None],
    ) -> None:
        self._exchange = exchange
        self._inside = inside
        self._hedge = hedge
        self._ended = ended
        self._legs: dict[asyncio.Future[None], AttemptRun] = {}

    @property
    def running(self) -> int:
        """How many attempts are under way."""
        return len(self._legs)

    async def run(self, leg: AttemptRun, after: float) -> None:
        """Return once every attempt is over. Raises what an attempt raised that is our own fault."""
        try:
            self._start(leg)
            await asyncio.wait(self._legs, timeout=after)
            while self._legs:
                if not any(task.done() for task in self._legs):
                    late = leg in self._legs.values() and not (leg.committed or self._exchange.client_gone)
                    if late and (other := self._hedge()) is not None:
                        self._start(other)
                    await asyncio.wait(self._legs, return_when=asyncio.FIRST_COMPLETED)
                self._collect()
        finally:
            await self._stop()

    def _start(self, leg: AttemptRun) -> None:
        leg.won = self._won
        self._legs[asyncio.ensure_future(self._inside(leg))] = leg

    def _won(self, winner: AttemptRun) -> None:
        """One is committed: the other is stopped before a byte of this one goes out."""
        for task, leg in self._legs.items():
            if leg is not winner:
                leg.lose()
                task.cancel()

    def _collect(self) -> None:
        for task in [task for task in self._legs if task.done()]:
            self._over(task)
        if self._exchange.client_gone:
            for task, leg in self._legs.items():
                leg.lose()
                task.cancel()

    def _over(self, task: asyncio.Future[None]) -> None:
        leg = self._legs.pop(task)
        with leg:
            if not task.cancelled():
                task.result()
        self._ended(leg)

    async def _stop(self) -> None:
        """End what is left, as when the request itself is cancelled: nobody is to blame for that."""
        if not self._legs:
            return
        for task, leg in self._legs.items():
            leg.lost = True
            task.cancel()
        try:
            await asyncio.wait(self._legs)
        finally:
            for task in list(self._legs):
                with suppress(Exception):  # whatever it is, the end of the request is told already
                    self._over(task)
