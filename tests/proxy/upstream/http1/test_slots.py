"""Who gets which connection, on a loop whose time can be moved."""

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
    """A connection that is usable until it is closed."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.usable = True
        slots.made(self.real)

    @property
    def real(self) -> Connection:
        """As what it passes for."""
        return cast("Connection", self)

    def abort(self) -> None:
        """Be closed."""
        if self.usable:
            self.usable = False
            self._slots.lost(self.real)


def on_virtual_time(scene: Callable[[Slots], Awaitable[None]], *, limit: int = 2) -> None:
    """Play this, in a time of its own."""

    async def play() -> None:
        await scene(Slots(limit, KEEP))

    loop = VirtualLoop()
    try:
        loop.run_until_complete(play())
    finally:
        loop.close()


async def taken(slots: Slots, count: int) -> list[Fake]:
    """So many connections, made and in use."""
    made: list[Fake] = []
    for _ in range(count):
        assert await slots.take(None) is None
        made.append(Fake(slots))
    return made


def test_the_one_used_last_is_used_next() -> None:
    """So that the others can expire."""

    async def scene(slots: Slots) -> None:
        first, second = await taken(slots, 2)
        slots.give(first.real)
        slots.give(second.real)
        assert await slots.take(None) is second.real
        assert await slots.take(None) is first.real
        assert (slots.busy, slots.idle, slots.connections) == (2, 0, 2)

    on_virtual_time(scene)


def test_who_comes_first_is_served_first() -> None:
    """A connection or room for one goes to who has waited longest."""

    async def scene(slots: Slots) -> None:
        first, second = await taken(slots, 2)
        order: list[int] = []

        async def wait(number: int) -> Connection | None:
            found = await slots.take(60)
            order.append(number)
            return found

        waiting = [asyncio.create_task(wait(number)) for number in range(4)]
        await asyncio.sleep(0)
        assert slots.waiting == 4
        slots.give(first.real)
        slots.give(None)
        assert (await waiting[0], await waiting[1]) == (first.real, None)
        assert (order, slots.busy) == ([0, 1], 2)
        slots.give(second.real)
        slots.give(first.real)
        assert [await each for each in waiting[2:]] == [second.real, first.real]
        assert (slots.busy, slots.waiting) == (2, 0)

    on_virtual_time(scene)


def test_who_waits_too_long() -> None:
    """They are turned away, and take no one's turn."""

    async def scene(slots: Slots) -> None:
        first, _ = await taken(slots, 2)
        short, long = (asyncio.create_task(slots.take(limit)) for limit in (0.5, 5.0))
        with pytest.raises(httpx2.PoolTimeout):
            await short
        assert slots.waiting == 1
        slots.give(first.real)
        assert await long is first.real

    on_virtual_time(scene)


@pytest.mark.parametrize("late", [False, True])
def test_who_leaves_while_waiting(late: bool) -> None:
    """What was meant for who has left goes to the next, also when it was already handed over."""

    async def scene(slots: Slots) -> None:
        first, _ = await taken(slots, 2)
        leaving, staying = (asyncio.create_task(slots.take(60)) for _ in range(2))
        await asyncio.sleep(0)
        if late:
            slots.give(first.real)
        leaving.cancel()
        if not late:
            slots.give(first.real)
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert await staying is first.real
        assert (slots.busy, slots.waiting) == (2, 0)

    on_virtual_time(scene)


def test_idle_ones_expire() -> None:
    """Each at its own time, with one timer for all, and none when there is none."""

    async def scene(slots: Slots) -> None:
        loop = cast("VirtualLoop", slots.loop)
        first, second, third = await taken(slots, 3)
        slots.give(first.real)
        await asyncio.sleep(10)
        slots.give(second.real)
        slots.give(third.real)
        assert loop.timers == 1
        await asyncio.sleep(KEEP - 10 + 1)
        assert (first.usable, second.usable) == (False, True)
        assert await slots.take(None) is third.real
        await asyncio.sleep(10)
        assert not second.usable
        assert (slots.connections, slots.idle, loop.timers) == (1, 0, 0)
        assert third.usable

    on_virtual_time(scene, limit=3)


def test_an_expired_one_is_not_used() -> None:
    """Also when the loop was too busy to close it in time."""

    async def scene(slots: Slots) -> None:
        [first] = await taken(slots, 1)
        slots.give(first.real)
        loop: Any = slots.loop
        loop._selector_with_time.now += KEEP
        assert await slots.take(None) is None
        assert not first.usable

    on_virtual_time(scene)


def test_one_that_has_ended_is_not_used() -> None:
    """Another is, or one is made."""

    async def scene(slots: Slots) -> None:
        first, second = await taken(slots, 2)
        slots.give(first.real)
        slots.give(second.real)
        second.abort()
        first.usable = False
        assert await slots.take(None) is None
        assert (slots.busy, slots.idle) == (1, 0)

    on_virtual_time(scene)


def test_closing() -> None:
    """Nothing is kept, nobody waits on, and what is given back later is closed."""

    async def scene(slots: Slots) -> None:
        first, second = await taken(slots, 2)
        waiting = asyncio.create_task(slots.take(60))
        await asyncio.sleep(0)
        await slots.aclose()
        with pytest.raises(httpx2.PoolTimeout):
            await waiting
        assert not first.usable
        late = Fake(slots)
        slots.give(late.real)
        slots.give(None)
        assert (late.usable, slots.busy, slots.idle, slots.connections) == (False, 0, 0, 0)
        assert not second.usable
        assert cast("VirtualLoop", slots.loop).timers == 0

    on_virtual_time(scene)
