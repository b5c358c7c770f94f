"""One timer for all that have just begun, on a loop whose time jumps to whatever is due next."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from standby.proxy.upstream.coarse_timer import GRANULARITY, LISTEN_DELAY, CoarseTimer

from tests.proxy.harness import virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio


async def woken(*gaps: float) -> list[tuple[float, float]]:
    """When each joined that came so many seconds after the one before, and when it was woken."""
    loop = asyncio.get_running_loop()
    patience = CoarseTimer(loop)
    told: list[tuple[float, float]] = []

    def wake(joined: float) -> None:
        told.append((joined, loop.time()))

    for gap in gaps:
        await asyncio.sleep(gap)
        joined = loop.time()
        patience.join(joined + LISTEN_DELAY, partial(wake, joined))
    await asyncio.sleep(1)
    return told


async def test_one_alone_is_woken_in_time() -> None:
    """Who waits with nobody else is woken when it is due, also after a pause in which nobody waited."""
    told = await woken(0, 10 * LISTEN_DELAY)
    assert [woke - joined for joined, woke in told] == [pytest.approx(LISTEN_DELAY)] * 2


async def test_many_are_woken_in_their_order() -> None:
    """Each is woken once, none before it is due and none later than a grain after."""
    told = await woken(*[0.0007] * 100)
    assert len(told) == 100
    assert told == sorted(told)
    assert all(
        LISTEN_DELAY - 1e-9 <= woke - joined <= LISTEN_DELAY + GRANULARITY + 1e-9 for joined, woke in told
    )


async def test_many_share_a_timer() -> None:
    """There are no more moments at which somebody is woken than grains in the time that all of them took."""
    told = await woken(*[0.0007] * 100)
    assert len({woke for _, woke in told}) <= 1 + 100 * 0.0007 / GRANULARITY + 1
