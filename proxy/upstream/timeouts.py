"""The timeouts of one attempt, in wall-clock time.

Socket timeouts are measured per read, so a provider that drips one header byte or one comment a second never
exceeds them. These limits measure what a caller waits for: the connection, the first content, the next
content, the whole answer. They share one timer that is moved lazily, since re-arming a timer for every chunk
would cost more than relaying it. At first a call shares the timer of other calls (`coarse_timer`).

    phase        until                               then                  fault of the attempt
    -----------  ----------------------------------  --------------------  --------------------
    first_token  the limit for the first content     stall, on content     timeout_first_byte
    deadline     that of all attempts, if sooner     stall, on content     timeout_first_byte
    stall        the limit since the last content    stall, on content     timeout
    drain        DRAIN after the terminal marker,    the end               none
                 LINGER if only the usage is awaited

In every phase `connect` limits a connection that is being made, and `total` the whole answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from types import MappingProxyType, TracebackType
from typing import Final, Literal, Self

from ..classify.faults import FaultKind
from ..config import Timeouts
from .coarse_timer import GRANULARITY, LISTEN_DELAY, CoarseTimer

__all__ = ["DRAIN", "FAULTS", "LATE", "LINGER", "AttemptTimeouts", "Ended"]

DRAIN: Final = 0.25
"""Seconds to wait for the end of the body after the terminal marker, so that the connection can be reused."""

LINGER: Final = 1.0
"""Seconds to wait for the usage of an answer whose client left after its finish reason."""

LATE: Final = 0.05
"""Seconds. A timer that fires later than this shows that the event loop itself was blocked."""

Ended = Literal[
    "connect", "first_token", "deadline", "stall", "total", "drain", "client_gone", "client_stalled"
]
"""Which limit was exceeded, or how the client left."""

FAULTS: Final = MappingProxyType[Ended, FaultKind](
    {
        "connect": "connect",
        "first_token": "timeout_first_byte",
        "deadline": "timeout_first_byte",
        "stall": "timeout",
        "total": "timeout",
    }
)
"""The fault of an attempt by the limit that was exceeded."""


class AttemptTimeouts:
    """A context manager that cancels its block when a limit is exceeded, or on `interrupt`.

    The block then raises TimeoutError, and `ended` says why. `first` is the limit in seconds until the first
    content, and `left` another one until then, of all attempts together. While `sending` is set, a timeout is
    put down to the client, which does not read. `on_wait` is called once, in the context of this call, if the
    block takes longer than LISTEN_DELAY; `watch` is the timer that the calls of this event loop share.

    It cancels the task as `asyncio.timeout` does, of which it would otherwise need one per limit.
    """

    __slots__ = (
        "_armed",
        "_cancelling",
        "_connect_due",
        "_context",
        "_deadline",
        "_due",
        "_first",
        "_forgiven",
        "_lingers",
        "_loop",
        "_on_wait",
        "_task",
        "_timer",
        "_total_due",
        "_wait_due",
        "_watch",
        "ended",
        "phase",
        "sending",
        "sent",
        "timeouts",
    )

    def __init__(
        self,
        timeouts: Timeouts,
        first: float,
        left: float | None = None,
        on_wait: Callable[[], None] | None = None,
        watch: CoarseTimer | None = None,
    ) -> None:
        if watch is None:
            watch = CoarseTimer(asyncio.get_running_loop())
        self._lingers = False
        self._watch = watch
        self._loop = watch.loop
        now = self._loop.time()
        self.timeouts = timeouts
        self._first = first
        self._deadline = None if left is None else now + left
        self._due = now + first
        self._total_due = now + timeouts.total
        self._connect_due: float | None = None
        self._on_wait = on_wait
        self._context: Context | None = copy_context()
        self._wait_due = now + LISTEN_DELAY
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._timer: asyncio.TimerHandle | None = None
        self._forgiven = False
        self._armed = 0.0  # when the timer fires, which may be before anything is due
        self.phase: Ended = "first_token"
        self.ended: Ended | None = None
        self.sending = False
        self.sent = False
        if self._deadline is not None and self._deadline < self._due:
            self._due = self._deadline
            self.phase = "deadline"

    def __enter__(self) -> Self:
        task = self._task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("Clocks end a task: use them inside one")
        self._cancelling = task.cancelling()
        if self._on_wait is not None and self._due > self._wait_due + GRANULARITY < self._total_due:
            self._armed = self._wait_due + GRANULARITY
            self._watch.join(self._wait_due, self._wake)
        else:
            self._arm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        self._context = None
        self._on_wait = None  # it may refer to our owner: no cycles for the collector
        if self._timer is not None:
            self._timer.cancel()
        if self.ended is None or task is None:
            return
        # If somebody else has cancelled the task as well, CancelledError must go on to them.
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def connecting(self) -> None:
        """A new connection is being made."""
        self._connect_due = self._loop.time() + self.timeouts.connect
        self._hasten(self._connect_due)

    def connected(self) -> None:
        """The connection is established, and the request is being sent."""
        self._connect_due = None
        self.sent = True

    def progress(self) -> None:
        """Content arrived."""
        if self._lingers:
            return
        self._due = self._loop.time() + self.timeouts.stall
        if self.phase != "stall":
            self.phase = "stall"
            self._hasten(self._due)

    def working(self) -> None:
        """The provider works on its answer: the limit until the first content begins anew."""
        if self.phase == "first_token":
            self._due = self._loop.time() + self._first
            if self._deadline is not None and self._deadline < self._due:
                self._due, self.phase = self._deadline, "deadline"

    def drain(self) -> None:
        """The terminal marker arrived; only the end of the body is still to come."""
        self.phase = "drain"
        self._due = self._loop.time() + DRAIN
        self._hasten(self._due)

    def linger(self) -> None:
        """The client has left, and only the usage is still to come, whatever else comes meanwhile."""
        self._lingers = True
        self.phase = "drain"
        self._due = self._loop.time() + LINGER
        self._hasten(self._due)

    def interrupt(self, why: Ended) -> None:
        """End the block now."""
        if self._task is not None and self.ended is None:
            self.ended = why
            self._task.cancel()

    def _hasten(self, due: float) -> None:
        """Make the timer fire by `due`. Firing too early costs less than moving it each time."""
        if due < self._armed:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self._next()[0]
        self._armed = max(self._loop.time(), due if self._on_wait is None else min(due, self._wait_due))
        self._timer = self._loop.call_at(self._armed, self._tick)

    def _next(self) -> tuple[float, Ended]:
        due: tuple[float, Ended] = min((self._due, self.phase), (self._total_due, "total"))
        return due if self._connect_due is None else min(due, (self._connect_due, "connect"))

    def _wake(self) -> None:
        """The shared timer fired and the call is still running: from now on it has a timer of its own."""
        if self._task is not None:
            self._tick()

    def _tick(self) -> None:
        now = self._loop.time()
        if self._on_wait is not None and now >= self._wait_due and self._context is not None:
            on_wait, self._on_wait = self._on_wait, None
            self._context.run(on_wait)
        due, why = self._next()
        if due > now:
            self._arm()
        elif now - self._armed > LATE and not self._forgiven:
            # The loop was blocked, and what has arrived is not read yet: the provider was perhaps not slow.
            self._forgiven = True
            self._armed = now + LATE
            self._timer = self._loop.call_at(self._armed, self._tick)
        elif why in {"stall", "total"} and self.sending:
            self.interrupt("client_stalled")
        else:
            self.interrupt(why)
