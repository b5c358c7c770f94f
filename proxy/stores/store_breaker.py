"""A timeout for each store operation, and a circuit breaker over all operations of a store.

A slow store counts as down. Without the breaker, a frozen store would delay every request by the timeout;
while the breaker is open, operations fail at once.
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
"""Seconds: the default timeout of an operation."""
TRIP: Final = 5
"""The number of consecutive failures that open the breaker."""
REST: Final = 1.0
"""Seconds for which the breaker is open at first. Doubles each time a probe fails."""
LONGEST_REST: Final = 30.0
"""The maximum number of seconds for which the breaker is open before the next probe."""
_LOOP_DELAY: Final = 0.05
"""Seconds. If a timer fires later than this, the event loop was blocked and the store may not be slow. The
operation then gets this much more time."""

_log = logging.getLogger("standby.store")


class StoreCall:
    """One store operation.

    The caller waits for `future`. The code that executes the operation calls `finish` or `fail`. Cancelling
    the caller has no effect on the operation. `dropped` means that it has timed out, so it need not be
    started. `probes` means that it is the probe of an open breaker.
    """

    __slots__ = ("_breaker", "_ended", "_timer", "dropped", "future", "loop", "probes")

    def __init__(self, breaker: StoreBreaker, timeout: float, probes: bool) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.dropped = False
        self.probes = probes
        self._breaker = breaker
        self._ended = False
        self._timer = self.loop.call_later(timeout, self._on_timeout, self.loop.time() + timeout)

    def finish(self, result: object) -> None:
        """Ends the call with a result. Does nothing if it has already ended."""
        if self._end(success=True):
            self.future.set_result(result)

    def fail(self, error: Exception) -> None:
        """Ends the call with an error. Does nothing if it has already ended.

        Only StoreDown counts as a failure of the store; other errors are the caller's fault.
        """
        if self._end(success=not isinstance(error, StoreDown)):
            self.future.set_exception(error)

    def _end(self, *, success: bool) -> bool:
        """Ends the call. Returns whether its caller is still waiting for the result."""
        if self._ended:
            return False
        self._ended = True
        self._timer.cancel()
        self._breaker.record(self, success=success)
        return not self.future.done()

    def _on_timeout(self, due: float) -> None:
        now = self.loop.time()
        if now - due > _LOOP_DELAY:
            self._timer = self.loop.call_later(_LOOP_DELAY, self._on_timeout, now + _LOOP_DELAY)
            return
        self.dropped = True
        self.fail(StoreDown("the store did not answer in time"))


class StoreBreaker:
    """A circuit breaker that starts calls, and refuses them while it is open.

    `store` is the store's name for logs. `clock` is monotonic, in seconds. `timeout` is the default timeout
    of a call, in seconds. When its waiting time is over, the open breaker admits one probe at a time.
    """

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
        """Returns a new call whose timeout starts now. Raises StoreDown while the breaker is open.

        `timeout` is in seconds; None is the default.
        """
        probes = False
        if self._until is not None:
            if self._probing or self._clock() < self._until:
                raise StoreDown("the store has failed, and is not asked for a while", asked=False)
            probes = self._probing = True
        return StoreCall(self, self._timeout if timeout is None else timeout, probes)

    def record(self, call: StoreCall, *, success: bool) -> None:
        """Records the outcome of a call: opens the breaker, keeps it open longer, or closes it."""
        if call.probes:
            self._probing = False
        if success:
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
