"""A timeout for each store operation, and a circuit breaker over all operations of a store.

A slow store counts as down. Without the breaker, a frozen store would delay every request by the timeout;
while the breaker is open, operations fail at once.

Load is no outage: an operation that waits behind others is not late while those are being executed. If it
waits for too long it is dropped, which says nothing about the store.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from .store import StoreBusy, StoreDown

__all__ = ["LONGEST_REST", "LONGEST_WAIT", "REST", "TIMEOUT", "TRIP", "Executor", "StoreBreaker", "StoreCall"]

TIMEOUT: Final = 0.25
"""Seconds without progress of the store after which an operation fails, by default."""
LONGEST_WAIT: Final = 2.0
"""Seconds after which an operation that waits behind others is dropped."""
TRIP: Final = 5
"""The number of consecutive failures that open the breaker."""
REST: Final = 1.0
"""Seconds for which the breaker is open at first. Doubles each time a probe fails."""
LONGEST_REST: Final = 30.0
"""The maximum number of seconds for which the breaker is open before the next probe."""
_LOOP_DELAY: Final = 0.05
"""Seconds. If a timer fires later than this, the event loop was blocked and the store may not be slow. The
operation then gets its whole timeout once more, at most _MOST_DELAYS times."""
_MOST_DELAYS: Final = 4

_log = logging.getLogger("standby.store")


class Executor(Protocol):
    """What executes the operations of a store, one after the other."""

    @property
    def progressed(self) -> float:
        """The time of `time.monotonic` at which it last completed a step of any operation."""
        ...


class StoreCall:
    """One store operation.

    The caller waits for `future`. The code that executes the operation sets `executor` when it takes the
    call, and `answered` once there is a result, and calls `finish` or `fail`. Cancelling the caller has no
    effect on the operation. `dropped` means that it need not be started any more. `probes` means that it is
    the probe of an open breaker.
    """

    __slots__ = (
        "_began",
        "_breaker",
        "_delays",
        "_ended",
        "_timeout",
        "_timer",
        "answered",
        "dropped",
        "executor",
        "future",
        "loop",
        "probes",
    )

    def __init__(self, breaker: StoreBreaker, timeout: float, probes: bool) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.dropped = self.answered = False
        self.executor: Executor | None = None
        self.probes = probes
        self._breaker = breaker
        self._timeout = timeout
        self._began = time.monotonic()
        self._delays = 0
        self._ended = False
        self._timer = self.loop.call_later(timeout, self._on_timeout, self.loop.time() + timeout)

    def finish(self, result: object) -> None:
        """Ends the call with a result. Does nothing if it has already ended."""
        if self._end(success=True):
            self.future.set_result(result)

    def fail(self, error: Exception) -> None:
        """Ends the call with an error. Does nothing if it has already ended.

        Only StoreDown counts as a failure of the store; other errors are the caller's fault, and StoreBusy is
        nobody's.
        """
        success = None if isinstance(error, StoreBusy) else not isinstance(error, StoreDown)
        if self._end(success=success):
            self.future.set_exception(error)

    def _end(self, *, success: bool | None) -> bool:
        """Ends the call. Returns whether its caller is still waiting for the result."""
        if self._ended:
            return False
        self._ended = True
        self._timer.cancel()
        self._breaker.record(self, success=success)
        return not self.future.done()

    def _on_timeout(self, due: float) -> None:
        now = self.loop.time()
        if now - due > _LOOP_DELAY and self._delays < _MOST_DELAYS:
            self._delays += 1
            self._again(max(self._timeout, _LOOP_DELAY))
            return
        clock = time.monotonic()
        progressed = self._began if self.executor is None else max(self._began, self.executor.progressed)
        quiet = clock - progressed
        if self.answered:
            self._again(self._timeout)  # the result is on its way to this loop
        elif quiet >= self._timeout or self._breaker.is_open:
            self.dropped = True
            self.fail(StoreDown("the store did not answer in time"))
        elif clock - self._began >= LONGEST_WAIT:
            self.dropped = True
            self.fail(StoreBusy("the store has too much to do"))
        else:
            self._again(self._timeout - quiet)

    def _again(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._on_timeout, self.loop.time() + seconds)


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

    @property
    def is_open(self) -> bool:
        """Whether the store is known to be down."""
        return self._until is not None

    def begin(self, timeout: float | None = None) -> StoreCall:
        """Returns a new call whose timeout starts now. Raises StoreDown while the breaker is open.

        `timeout` is in seconds; None is the default.
        """
        probes = False
        if self._until is not None:
            if self._probing or self._clock() < self._until:
                message = f"the {self._store} store has failed, and is not asked for a while"
                raise StoreDown(message, asked=False)
            probes = self._probing = True
        return StoreCall(self, self._timeout if timeout is None else timeout, probes)

    def record(self, call: StoreCall, *, success: bool | None) -> None:
        """Records the outcome of a call: opens the breaker, keeps it open longer, or closes it.

        A `success` of None says nothing about the store.
        """
        if call.probes:
            self._probing = False
        if success is None:
            return
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
