"""Who may use which connection: the idle ones, newest first, and those who wait, in their order. No I/O."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextvars import Context

import httpx2

from .connection import Connection

__all__ = ["Slots"]


class Slots:
    """At most `limit` connections of one event loop, idle ones kept for `keep_alive` seconds.

    A slot is one connection, in use or idle, or one that is being made. Whoever takes one gives it back.
    """

    def __init__(self, limit: int, keep_alive: float) -> None:
        self.loop = asyncio.get_running_loop()
        self._limit = limit
        self._keep_alive = keep_alive
        self._idle: dict[Connection, float] = {}  # since when, in that order
        self._waiters: OrderedDict[asyncio.Future[Connection | None], None] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._all: set[Connection] = set()
        self._emptied: asyncio.Future[None] | None = None
        self._dialling: set[asyncio.Task[Connection]] = set()
        self.busy = 0
        self.closed = False

    @property
    def idle(self) -> int:
        """How many connections wait to be used."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """How many wait for a connection."""
        return len(self._waiters)

    @property
    def connections(self) -> int:
        """How many connections stand."""
        return len(self._all)

    async def take(self, limit: float | None) -> Connection | None:
        """A connection that is idle, or None: there is room to make one. Waits `limit` seconds for either.

        Raises httpx2.PoolTimeout.
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
        connection = await self._wait(limit)
        if connection is not None and not connection.usable:
            connection.abort()
            return None
        return connection

    async def _wait(self, limit: float | None) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = self.loop.create_future()
        self._waiters[waiter] = None
        # A context of its own: a timer keeps the one it is made in, and with it a request.
        timer = None if limit is None else self.loop.call_later(limit, _turn_away, waiter, context=Context())
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give(waiter.result())  # it was handed over at this very moment
            raise
        finally:
            self._waiters.pop(waiter, None)
            if timer is not None:
                timer.cancel()

    def give(self, connection: Connection | None) -> None:
        """Give a slot back, with a connection that can be used again or without one."""
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

    # -- connections come and go ------------------------------------------------------------

    async def dialling(self, dial: Callable[[], Awaitable[Connection]]) -> Connection:
        """Have a connection made, for a slot that was taken.

        It is made in a task of its own, since a connection keeps the context it is made in for as long as it
        lives: with that of the request, its prompt would stay in memory.
        """
        task = self.loop.create_task(self._make(dial), context=Context())
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard, context=Context())
        if self.closed:
            task.cancel()
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            us = asyncio.current_task()
            if task.cancelled() and us is not None and not us.cancelling():
                raise httpx2.ConnectError("the pool was closed") from None
            task.cancel()
            task.add_done_callback(_drop, context=Context())  # it may stand by now
            raise

    async def _make(self, dial: Callable[[], Awaitable[Connection]]) -> Connection:
        connection = await dial()
        self.made(connection)
        return connection

    def made(self, connection: Connection) -> None:
        """A connection stands. Not to be told sooner: of one given up before, uvloop never says the end."""
        self._all.add(connection)
        if self.closed:
            connection.abort()

    def lost(self, connection: Connection) -> None:
        """A connection has ended."""
        self._idle.pop(connection, None)
        self._all.discard(connection)
        if not self._all and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    def _sweep_in(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._sweep, context=Context())

    def _sweep(self) -> None:
        """Close what has been idle for too long."""
        self._timer = None
        now = self.loop.time()
        for connection, since in tuple(self._idle.items()):
            if since + self._keep_alive > now:
                self._sweep_in(since + self._keep_alive - now)
                return
            del self._idle[connection]
            connection.abort()

    async def aclose(self) -> None:
        """Close every connection, also those in use, and turn away who waits."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiter in tuple(self._waiters):
            _turn_away(waiter)
        for task in tuple(self._dialling):
            task.cancel()
        self._idle.clear()
        for connection in tuple(self._all):
            connection.abort()
        if self._all:
            self._emptied = self.loop.create_future()
            await self._emptied


def _drop(task: asyncio.Task[Connection]) -> None:
    """Close a connection that nobody waits for any more."""
    if not task.cancelled() and task.exception() is None:
        task.result().abort()


def _turn_away(waiter: asyncio.Future[Connection | None]) -> None:
    if not waiter.done():
        waiter.set_exception(httpx2.PoolTimeout("no connection became free"))
