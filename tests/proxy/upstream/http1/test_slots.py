"""The assignment of connections to requests, on an event loop with virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import httpx2
import pytest
from standby.proxy.upstream.http1.connection import Connection
from standby.proxy.upstream.http1.slots import Slots

from tests.proxy.harness import VirtualLoop

__all__: list[str] = []

KEEP: float = 30.0


class Fake:
    """A fake connection that is usable until it is closed."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.usable = True
        slots.add(self.real)

    @property
    def real(self) -> Connection:
        """This object, typed as a Connection."""
        return cast("Connection", self)

    def abort(self) -> None:
        """Close it."""
        if self.usable:
            self.usable = False
            self._slots.remove(self.real)


def on_virtual_time(scene: Callable[[Slots], Awaitable[None]], *, limit: int = 2) -> None:
    """Run the scene on a virtual event loop."""

    async def play() -> None:
        await scene(Slots(limit, KEEP))

    loop = VirtualLoop()
    try:
        loop.run_until_complete(play())
    finally:
        loop.close()


async def acquire_new(slots: Slots, count: int) -> list[Fake]:
    """Returns this many new connections, all in use."""
    connections: list[Fake] = []
    for _ in range(count):
        assert await slots.acquire(None) is None
        connections.append(Fake(slots))
    return connections


def test_the_one_used_last_is_used_next() -> None:
    """The most recently used idle connection is used first, so that the others can expire."""

    async def scene(slots: Slots) -> None:
        first, second = await acquire_new(slots, 2)
        slots.release(first.real)
        slots.release(second.real)
        assert await slots.acquire(None) is second.real
        assert await slots.acquire(None) is first.real
        assert (slots.busy, slots.idle, slots.connections) == (2, 0, 2)

    on_virtual_time(scene)


def test_who_comes_first_is_served_first() -> None:
    """A released slot goes to the request that has waited longest, with or without a connection."""

    async def scene(slots: Slots) -> None:
        first, second = await acquire_new(slots, 2)
        order: list[int] = []

        async def wait(number: int) -> Connection | None:
            connection = await slots.acquire(60)
            order.append(number)
            return connection

        waiting = [asyncio.create_task(wait(number)) for number in range(4)]
        await asyncio.sleep(0)
        assert slots.waiting == 4
        slots.release(first.real)
        slots.release(None)
        assert (await waiting[0], await waiting[1]) == (first.real, None)
        assert (order, slots.busy) == ([0, 1], 2)
        slots.release(second.real)
        slots.release(first.real)
        assert [await each for each in waiting[2:]] == [second.real, first.real]
        assert (slots.busy, slots.waiting) == (2, 0)

    on_virtual_time(scene)


def test_who_waits_too_long() -> None:
    """A request that waits too long gets PoolTimeout, and the slot goes to another one."""

    async def scene(slots: Slots) -> None:
        first, _ = await acquire_new(slots, 2)
        short, long = (asyncio.create_task(slots.acquire(limit)) for limit in (0.5, 5.0))
        with pytest.raises(httpx2.PoolTimeout):
            await short
        assert slots.waiting == 1
        slots.release(first.real)
        assert await long is first.real

    on_virtual_time(scene)


@pytest.mark.parametrize("late", [False, True])
def test_who_leaves_while_waiting(late: bool) -> None:
    """If a waiting request is cancelled, its slot goes to the next one, even if it was assigned already."""

    async def scene(slots: Slots) -> None:
        first, _ = await acquire_new(slots, 2)
        leaving, staying = (asyncio.create_task(slots.acquire(60)) for _ in range(2))
        await asyncio.sleep(0)
        if late:
            slots.release(first.real)
        leaving.cancel()
        if not late:
            slots.release(first.real)
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert await staying is first.real
        assert (slots.busy, slots.waiting) == (2, 0)

    on_virtual_time(scene)


def test_idle_ones_expire() -> None:
    """Each idle connection expires at its own time.

    All share one timer, and there is none without connections.
    """

    async def scene(slots: Slots) -> None:
        loop = cast("VirtualLoop", slots.loop)
        first, second, third = await acquire_new(slots, 3)
        slots.release(first.real)
        await asyncio.sleep(10)
        slots.release(second.real)
        slots.release(third.real)
        assert loop.timers == 1
        await asyncio.sleep(KEEP - 10 + 1)
        assert (first.usable, second.usable) == (False, True)
        assert await slots.acquire(None) is third.real
        await asyncio.sleep(10)
        assert not second.usable
        assert (slots.connections, slots.idle, loop.timers) == (1, 0, 0)
        assert third.usable

    on_virtual_time(scene, limit=3)


def test_an_expired_one_is_not_used() -> None:
    """An expired connection is not used, even if the event loop was too busy to close it in time."""

    async def scene(slots: Slots) -> None:
        [first] = await acquire_new(slots, 1)
        slots.release(first.real)
        loop: Any = slots.loop
        loop._selector_with_time.now += KEEP
        assert await slots.acquire(None) is None
        assert not first.usable

    on_virtual_time(scene)


def test_one_that_has_ended_is_not_used() -> None:
    """A connection that has ended is not used; the caller opens a new one."""

    async def scene(slots: Slots) -> None:
        first, second = await acquire_new(slots, 2)
        slots.release(first.real)
        slots.release(second.real)
        second.abort()
        first.usable = False
        assert await slots.acquire(None) is None
        assert (slots.busy, slots.idle) == (1, 0)

    on_virtual_time(scene)


def test_closing() -> None:
    """After closing there are no idle connections and no waiting requests, and a connection released later is
    closed."""

    async def scene(slots: Slots) -> None:
        first, second = await acquire_new(slots, 2)
        waiting = asyncio.create_task(slots.acquire(60))
        await asyncio.sleep(0)
        await slots.aclose()
        with pytest.raises(httpx2.PoolTimeout):
            await waiting
        assert not first.usable
        late = Fake(slots)
        slots.release(late.real)
        slots.release(None)
        assert (late.usable, slots.busy, slots.idle, slots.connections) == (False, 0, 0, 0)
        assert not second.usable
        assert cast("VirtualLoop", slots.loop).timers == 0

    on_virtual_time(scene)
