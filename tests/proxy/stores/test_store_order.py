"""Tests of concurrent operations in every kind of store: order, the ledger, closing."""

from __future__ import annotations

import asyncio

import pytest
from standby.proxy.stores.records import Held, Line
from standby.proxy.stores.store import Store

from tests.proxy.stores.lines import LEASE, entry, ledger, money, rate, slot
from tests.proxy.stores.scenes import BEGAN, Scene

__all__: list[str] = []

pytestmark = pytest.mark.anyio


async def test_parallel_holds_admit_what_there_is_room_for(store: Store) -> None:
    """Fifty concurrent holds with room for five admit exactly five."""
    lines = [money(20, 100), rate(1, 1000), slot(1, 1000)]
    answers = await asyncio.gather(*[store.hold(str(number), lines, lease=LEASE) for number in range(50)])
    assert sum(isinstance(answer, Held) for answer in answers) == 5
    assert await store.used([money(0), rate(0), slot(0)]) == (100, 5, 5)


async def test_operations_take_effect_in_their_order(store: Store) -> None:
    """A settlement whose result is not awaited takes effect before the next hold."""
    await store.hold("0", [money(100, 100)], lease=LEASE)
    for number in range(20):
        settling = asyncio.ensure_future(store.settle(str(number), [], []))
        holding = asyncio.ensure_future(store.hold(str(number + 1), [money(100, 100)], lease=LEASE))
        assert await holding == Held((100,))
        assert await settling


async def test_a_caller_that_is_cancelled_cancels_nothing(store: Store) -> None:
    """An operation is executed even if its caller is cancelled at once."""
    await store.hold("0", [money(100)], lease=LEASE)
    settling = asyncio.ensure_future(store.settle("0", [money(40)], [entry()]))
    asyncio.get_running_loop().call_soon(settling.cancel)
    await asyncio.wait([settling])  # a store in memory finishes before the cancellation
    assert await store.used([money(0)]) == (40,)
    assert await store.held() == 0
    assert await ledger(store) == [entry()]


async def test_the_ledger_keeps_order_and_every_figure(store: Store) -> None:
    """Entries are returned unchanged and in order, from the requested time on."""
    written = [entry(f"r{number}", 1, BEGAN + number % 7) for number in range(2500)]
    for start in range(0, 2500, 250):
        await store.settle(f"s{start}", [], written[start : start + 250])
    assert await ledger(store) == written
    assert await ledger(store, BEGAN + 5) == [line for line in written if line.at >= BEGAN + 5]
    assert await ledger(store, BEGAN + 100) == []


async def test_what_was_closed_opens_again(scene: Scene) -> None:
    """A closed store opens again at its next use, with its data."""
    await scene.store.hold("1", [money(70)], lease=LEASE)
    await scene.store.aclose()
    assert await scene.store.held() == 1
    await scene.store.settle("1", [money(7)], [entry()])
    await scene.store.aclose()
    await scene.store.aclose()
    assert await scene.store.used([money(0)]) == (7,)


async def test_names_are_only_names(store: Store) -> None:
    """Accounts and ids may contain any characters and are never confused."""
    names = ["a:b", "a b", "a\nb", "{x}", "ü", "a%b*?[]", "'; DROP TABLE sums; --", "-", "s:0:a", ""]
    lines = [money(number + 1, None, name) for number, name in enumerate(names)]
    for number, name in enumerate(names):
        lease = Line(name, "lease", number + 1, None)
        refill = Line(name, "rate", number + 1, 100, per_second=0.5)
        await store.hold(name, [lines[number], lease, refill], lease=LEASE)
    expected = tuple(range(1, len(names) + 1))
    assert await store.used(lines) == expected
    assert await store.used([Line(name, "lease", 0, None) for name in names]) == expected
    for name in names:
        await store.settle(name, [], [])
    assert await store.used(lines) == (0,) * len(names)
    assert await store.used([Line(name, "lease", 0, None) for name in names]) == (0,) * len(names)


async def test_now_is_the_time_of_the_store(scene: Scene) -> None:
    """`now` is the store's time."""
    await scene.store.used([rate(0)])
    before = scene.store.now()
    scene.jump(1000)
    await scene.store.used([rate(0)])
    assert 999 < scene.store.now() - before < 1010
    assert before == pytest.approx(BEGAN, abs=10)
