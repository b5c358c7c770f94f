"""Assigns connections to requests: idle ones most recent first, waiting requests in FIFO order. No I/O."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextvars import Context

import httpx2

from .connection import Connection

__all__ = ["Slots"]


class Slots:
    """Limits the connections of one event loop to `limit`, and closes those idle for `keep_alive` seconds.

    A slot is one connection that is in use, idle, or being opened. Each `acquire` needs one `release`.
    """

    def __init__(self, limit: int, keep_alive: float) -> None:
        self.loop = asyncio.get_running_loop()
        self._limit = limit
        self._keep_alive = keep_alive
        self._idle: dict[Connection, float] = {}  # the loop time since when it is idle; oldest first
        self._waiters: OrderedDict[asyncio.Future[Connection | None], None] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._all: set[Connection] = set()
        self._all_closed: asyncio.Future[None] | None = None
        self._connecting: set[asyncio.Task[Connection]] = set()
        self.busy = 0
        self.closed = False

    @property
    def idle(self) -> int:
        """The number of idle connections."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a connection."""
        return len(self._waiters)

    @property
    def connections(self) -> int:
        """The number of open connections, in use or idle."""
        return len(self._all)

    async def acquire(self, max_seconds: float | None) -> Connection | None:
        """Returns an idle connection, or None if the caller may open a new one.

        Waits at most `max_seconds` for a slot, without a limit if that is None. Raises httpx2.PoolTimeout.
        """
        while self._idle:
            newest, since = self._idle.popitem()
            if self.loop.time() - since < self._keep_alive and newest.usable:
                self.busy += 1
                return newest
            newest.abort()
        if self.busy < self._limit:
            self.busy += 1
            return None
        connection = await self._wait(max_seconds)
        if connection is not None and not connection.usable:
            connection.abort()
            return None
        return connection

    async def _wait(self, max_seconds: float | None) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = self.loop.create_future()
        self._waiters[waiter] = None
        # An empty context: a timer keeps the one it is created in, which would keep the request in memory.
        timer = None
        if max_seconds is not None:
            timer = self.loop.call_later(max_seconds, _reject_waiter, waiter, context=Context())
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release(waiter.result())  # the slot was assigned just before the cancellation
            raise
        finally:
            self._waiters.pop(waiter, None)
            if timer is not None:
                timer.cancel()

    def release(self, connection: Connection | None) -> None:
        """Give a slot back, with its connection if that can be reused. The longest waiter gets it, if any."""
        if self.closed and connection is not None:
            connection.abort()
            connection = None
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(connection)
                return
        self.busy -= 1
        if connection is not None:
            self._idle[connection] = self.loop.time()
            if self._timer is None:
                self._sweep_in(self._keep_alive)

    # -- opening and closing connections ----------------------------------------------------

    async def connect(self, dial: Callable[[], Awaitable[Connection]]) -> Connection:
        """Open a connection with `dial`, for a slot that was acquired.

        This runs in its own task with an empty context: a connection keeps the context it is created in, and
        the request's context would keep its prompt in memory. Raises httpx2.ConnectError if the pool is
        closed meanwhile, and what `dial` raises.
        """
        task = self.loop.create_task(self._connect(dial), context=Context())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard, context=Context())
        if self.closed:
            task.cancel()
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if task.cancelled() and current is not None and not current.cancelling():
                raise httpx2.ConnectError("the pool was closed") from None
            task.cancel()
            task.add_done_callback(_close_unused, context=Context())  # it may have connected already
            raise

    async def _connect(self, dial: Callable[[], Awaitable[Connection]]) -> Connection:
        connection = await dial()
        self.add(connection)
        return connection

    def add(self, connection: Connection) -> None:
        """Register a connection once it is open: uvloop does not report the end of one that failed before."""
        self._all.add(connection)
        if self.closed:
            connection.abort()

    def remove(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._idle.pop(connection, None)
        self._all.discard(connection)
        if not self._all and self._all_closed is not None and not self._all_closed.done():
            self._all_closed.set_result(None)

    def _sweep_in(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._sweep, context=Context())

    def _sweep(self) -> None:
        """Close the connections that have been idle for `keep_alive` seconds, and schedule the next sweep."""
        self._timer = None
        now = self.loop.time()
        for connection, since in tuple(self._idle.items()):
            if since + self._keep_alive > now:
                self._sweep_in(since + self._keep_alive - now)
                return
            del self._idle[connection]
            connection.abort()

    async def aclose(self) -> None:
        """Close every connection, including those in use, and raise PoolTimeout in every waiting request."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiter in tuple(self._waiters):
            _reject_waiter(waiter)
        for task in tuple(self._connecting):
            task.cancel()
        self._idle.clear()
        for connection in tuple(self._all):
            connection.abort()
        if self._all:
            self._all_closed = self.loop.create_future()
            await self._all_closed


def _close_unused(task: asyncio.Task[Connection]) -> None:
    """Close a connection whose request was cancelled while it was being opened."""
    if not task.cancelled() and task.exception() is None:
        task.result().abort()


def _reject_waiter(waiter: asyncio.Future[Connection | None]) -> None:
    if not waiter.done():
        waiter.set_exception(httpx2.PoolTimeout("no connection became free"))
