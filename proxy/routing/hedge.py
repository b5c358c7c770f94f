"""Hedging: a second attempt beside one that is slow to begin. The first to be committed is served.

This is the only place where an attempt is not awaited by the task of its request: each attempt has its own
task.
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
"""Hedges that are allowed even if there are few requests. None, since each one costs money."""


class Hedges:
    """The delay and the budget of hedges, by pool. `now` is the event loop's time."""

    def __init__(self) -> None:
        self._budgets: dict[tuple[str, float], RetryBudget] = {}

    def request(self, pool: Pool, now: float) -> None:
        """Count one request in the pool's hedge budget."""
        if pool.hedge is not None:
            self._budget(pool, pool.hedge.share).request(now)

    def after(self, exchange: Exchange, health: Health, attempt: AttemptRun) -> float | None:
        """Returns the seconds to wait for this first attempt before a hedge, or None for no hedge."""
        pool, target = exchange.pool, attempt.candidate.target
        operation = exchange.asked_of(attempt.candidate)
        if pool is None or pool.hedge is None or operation is None or target is None:
            return None
        if pool.hedge.after != "p95":
            return pool.hedge.after
        # The duration of whole answers does not tell when a single one is late.
        known = health.percentiles(target.name, operation.name, streamed=True) if exchange.streamed else None
        return None if known is None else known.p95

    def allows(self, pool: Pool, now: float) -> bool:
        """Whether the budget allows one more hedge. Consumes nothing."""
        return pool.hedge is not None and self._budget(pool, pool.hedge.share).allows(now)

    def take(self, pool: Pool, now: float) -> None:
        """Count one more hedge. Check `allows` before."""
        if pool.hedge is not None:
            self._budget(pool, pool.hedge.share).take(now)

    def _budget(self, pool: Pool, share: float) -> RetryBudget:
        key = (pool.name, share)
        budget = self._budgets.get(key)
        if budget is None:
            budget = self._budgets[key] = RetryBudget(share=share, floor=_FLOOR)
        return budget


class Race:
    """Runs one attempt, and a hedge beside it if it is late.

    `inside` runs an attempt. `hedge` begins another attempt and returns it, or returns None for no hedge; it
    is called again if that attempt ends before the first. `ended` is called with each attempt that has ended,
    after the health of its target was updated.
    """

    __slots__ = ("_attempts", "_ended", "_exchange", "_hedge", "_inside")

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
        self._attempts: dict[asyncio.Future[None], AttemptRun] = {}

    @property
    def running(self) -> int:
        """The number of attempts in flight."""
        return len(self._attempts)

    async def run(self, attempt: AttemptRun, after: float) -> None:
        """Run until every attempt has ended. `after` is the delay of the hedge in seconds.

        Re-raises an exception of an attempt that is a bug of the gateway.
        """
        try:
            self._start(attempt)
            await asyncio.wait(self._attempts, timeout=after)
            while self._attempts:
                if not any(task.done() for task in self._attempts):
                    late = attempt in self._attempts.values() and not (
                        attempt.committed or self._exchange.client_gone
                    )
                    if late and (other := self._hedge()) is not None:
                        self._start(other)
                    await asyncio.wait(self._attempts, return_when=asyncio.FIRST_COMPLETED)
                self._collect()
        finally:
            await self._stop()

    def _start(self, attempt: AttemptRun) -> None:
        attempt.won = self._won
        self._attempts[asyncio.ensure_future(self._inside(attempt))] = attempt

    def _won(self, winner: AttemptRun) -> None:
        """Stop the other attempt when `winner` is committed, before a byte of it is sent."""
        for task, attempt in self._attempts.items():
            if attempt is not winner:
                attempt.lose()
                task.cancel()

    def _collect(self) -> None:
        for task in [task for task in self._attempts if task.done()]:
            self._finish(task)
        if self._exchange.client_gone:
            for task, attempt in self._attempts.items():
                attempt.lose()
                task.cancel()

    def _finish(self, task: asyncio.Future[None]) -> None:
        attempt = self._attempts.pop(task)
        with attempt:
            if not task.cancelled():
                task.result()
        self._ended(attempt)

    async def _stop(self) -> None:
        """Cancel the attempts that are left, for example if the request itself is cancelled.

        They count as lost, so that no target's health is affected.
        """
        if not self._attempts:
            return
        for task, attempt in self._attempts.items():
            attempt.lost = True
            task.cancel()
        try:
            await asyncio.wait(self._attempts)
        finally:
            for task in list(self._attempts):
                with suppress(Exception):  # the end of the request has already been recorded
                    self._finish(task)
