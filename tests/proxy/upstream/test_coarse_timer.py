"""One timer shared by attempts that start at about the same time, on a virtual event loop."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from standby.proxy.upstream.coarse_timer import GRANULARITY, LISTEN_DELAY, CoarseTimer

from tests.proxy.harness import virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio


async def woken(*gaps: float) -> list[tuple[float, float]]:
    """Returns for each entry when it joined and when it was woken.

    Each joins this many seconds after the previous one.
    """
    loop = asyncio.get_running_loop()
    timer = CoarseTimer(loop)
    wakeups: list[tuple[float, float]] = []

    def wake(joined: float) -> None:
        wakeups.append((joined, loop.time()))

    for gap in gaps:
        await asyncio.sleep(gap)
        joined = loop.time()
        timer.join(joined + LISTEN_DELAY, partial(wake, joined))
    await asyncio.sleep(1)
    return wakeups


async def test_one_alone_is_woken_in_time() -> None:
    """A single entry is woken when it is due, also after a pause without entries."""
    wakeups = await woken(0, 10 * LISTEN_DELAY)
    assert [woke - joined for joined, woke in wakeups] == [pytest.approx(LISTEN_DELAY)] * 2


async def test_many_are_woken_in_their_order() -> None:
    """Each entry is woken once, not before it is due and at most GRANULARITY later."""
    wakeups = await woken(*[0.0007] * 100)
    assert len(wakeups) == 100
    assert wakeups == sorted(wakeups)
    assert all(
        LISTEN_DELAY - 1e-9 <= woke - joined <= LISTEN_DELAY + GRANULARITY + 1e-9 for joined, woke in wakeups
    )


async def test_many_share_a_timer() -> None:
    """The number of wake-ups is bounded by the total time divided by GRANULARITY."""
    wakeups = await woken(*[0.0007] * 100)
    assert len({woke for _, woke in wakeups}) <= 1 + 100 * 0.0007 / GRANULARITY + 1
