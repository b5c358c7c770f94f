"""A store that is slow is down: a limit of time for each operation, and a breaker over all of them.

A frozen store would otherwise hold every request for as long as the limit; with the breaker open it holds
none.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from .store import StoreDown

__all__ = ["LONGEST_REST", "REST", "TIMEOUT", "TRIP", "StoreBreaker", "StoreCall"]

TIMEOUT: Final = 0.25
"""Seconds from the call until an operation counts as failed."""
TRIP: Final = 5
"""Failures in a row that open the breaker."""
REST: Final = 1.0
"""Seconds for which the breaker stays open the first time; doubled each time that its probe fails."""
LONGEST_REST: Final = 30.0
"""Seconds for which it stays open at most."""
_HELD_UP: Final = 0.05
"""Seconds. When a clock rings later than this, it was our own loop that was slow, and the store gets as much
again."""

_log = logging.getLogger("standby.store")


class StoreCall:
    """One operation: `future` is for its caller, and whoever carries it out ends it.

    A caller that is cancelled changes nothing. A call that was `dropped` before it was begun, its time being
    over, need not be begun any more.
    """

    __slots__ = ("_breaker", "_ended", "_timer", "dropped", "future", "loop", "probes")

    def __init__(self, breaker: StoreBreaker, timeout: float, probes: bool) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.dropped = False
        self.probes = probes
        self._breaker = breaker
        self._ended = False
        self._timer = self.loop.call_later(timeout, self._ring, self.loop.time() + timeout)

    def finish(self, result: object) -> None:
        """The store has done it."""
        if self._end(well=True):
            self.future.set_result(result)

    def fail(self, error: Exception) -> None:
        """The store has not done it, or nobody knows. Errors that are not StoreDown are the caller's own."""
        if self._end(well=not isinstance(error, StoreDown)):
            self.future.set_exception(error)

    def _end(self, *, well: bool) -> bool:
        """Whether somebody is still waiting."""
        if self._ended:
            return False
        self._ended = True
        self._timer.cancel()
        self._breaker.record(self, well=well)
        return not self.future.done()

    def _ring(self, due: float) -> None:
        now = self.loop.time()
        if now - due > _HELD_UP:
            self._timer = self.loop.call_later(_HELD_UP, self._ring, now + _HELD_UP)
            return
        self.dropped = True
        self.fail(StoreDown("the store did not answer in time"))


class StoreBreaker:
    """Begins calls, and refuses them while the store rests. `clock` is monotonic, in seconds."""

    def __init__(
        self, store: str, clock: Callable[[], float] = time.monotonic, timeout: float = TIMEOUT
    ) -> None:
        self._store = store
        self._clock = clock
        self._timeout = timeout
        self._failures = 0
        self._rest = REST
        self._until: float | None = None
        self._probing = False

    def begin(self, timeout: float | None = None) -> StoreCall:
        """A call whose time begins now. Raises StoreDown while the breaker is open."""
        probes = False
        if self._until is not None:
            if self._probing or self._clock() < self._until:
                raise StoreDown("the store has failed, and is not asked for a while", asked=False)
            probes = self._probing = True
        return StoreCall(self, self._timeout if timeout is None else timeout, probes)

    def record(self, call: StoreCall, *, well: bool) -> None:
        """How a call has ended."""
        if call.probes:
            self._probing = False
        if well:
            if self._until is not None:
                _log.warning("the %s store answers again", self._store)
            self._failures, self._rest, self._until = 0, REST, None
        elif call.probes:
            self._rest = min(self._rest * 2, LONGEST_REST)
            self._until = self._clock() + self._rest
        elif self._until is None:
            self._failures += 1
            if self._failures >= TRIP:
                self._until = self._clock() + self._rest
                _log.warning("the %s store is down: it failed %d times in a row", self._store, TRIP)
