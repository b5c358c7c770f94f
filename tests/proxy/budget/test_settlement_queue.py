"""Tests of SettlementQueue: every settlement reaches the store once, despite failures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import pytest
from standby.proxy.budget.settlement_queue import FIRST_WAIT, LONGEST_WAIT, SettlementQueue
from standby.proxy.stores.records import LedgerEntry, Line
from standby.proxy.stores.store import StoreDown
from typing_extensions import override

from tests.proxy.failing_store import FailingStore
from tests.proxy.harness import virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

LINE: Final = Line("key/k/cost/month", "sum", 5, 100, keep=10**10)


async def spent(store: FailingStore) -> int:
    """The booked amount."""
    (used,) = await store.used((LINE,))
    return used


async def test_a_settlement_is_asked_at_once() -> None:
    """A settlement is sent before later operations, without blocking the caller."""
    store = FailingStore()
    outbox = SettlementQueue(store)
    outbox.settle("a", (LINE,), ())
    outbox.settle("b", (LINE,), ())
    assert len(outbox) == 2
    await outbox.settled()
    assert (store.calls, await spent(store), len(outbox)) == ([("settle", "a"), ("settle", "b")], 10, 0)


async def test_an_idle_outbox_is_settled() -> None:
    """With an empty queue, `settled` returns at once."""
    outbox = SettlementQueue(FailingStore())
    await outbox.settled()
    assert (len(outbox), outbox.full, outbox.behind) == (0, False, False)


async def test_what_a_store_did_not_take_is_asked_again() -> None:
    """Failed settlements are retried at growing intervals until the store works, and are booked once."""
    store = FailingStore()
    store.down = True
    outbox = SettlementQueue(store)
    for name in "abc":
        outbox.settle(name, (LINE,), ())
    await asyncio.sleep(60.0)
    assert (await spent(store), len(outbox), outbox.behind) == (0, 3, True)
    calls = len(store.calls)
    await asyncio.sleep(10 * LONGEST_WAIT)
    assert 9 <= len(store.calls) - calls <= 11
    store.down = False
    await outbox.settled()
    assert (await spent(store), len(outbox), outbox.behind) == (15, 0, False)


async def test_the_first_repetition_comes_soon() -> None:
    """The first retry comes after FIRST_WAIT."""
    store = FailingStore()
    store.down = True
    outbox = SettlementQueue(store)
    outbox.settle("a", (LINE,), ())
    await asyncio.sleep(FIRST_WAIT / 2)
    store.down = False
    await asyncio.sleep(FIRST_WAIT)
    assert await spent(store) == 5


async def test_a_reply_that_is_lost() -> None:
    """A settlement whose reply was lost is sent again and booked once."""
    store = FailingStore()
    store.mute = True
    outbox = SettlementQueue(store)
    outbox.settle("a", (LINE,), ())
    await asyncio.sleep(1.0)
    store.mute = False
    await outbox.settled()
    assert await spent(store) == 5


async def test_full() -> None:
    """`full` counts running deliveries too. A full queue still accepts settlements."""
    store = FailingStore()
    store.down = True
    outbox = SettlementQueue(store, most=2)
    outbox.settle("a", (LINE,), ())
    assert not outbox.full
    outbox.settle("b", (LINE,), ())
    assert outbox.full
    outbox.settle("c", (LINE,), ())
    await asyncio.sleep(1.0)
    store.down = False
    await outbox.settled()
    assert (await spent(store), outbox.full) == (15, False)


async def test_closing_waits_for_the_store() -> None:
    """Closing waits for running and waiting settlements."""
    store = FailingStore()
    store.slow = 0.2
    outbox = SettlementQueue(store)
    outbox.settle("a", (LINE,), ())
    assert await outbox.aclose() == 0
    assert await spent(store) == 5


async def test_closing_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    """Closing gives up after its limit, and logs and returns the number of settlements not taken."""
    store = FailingStore()
    store.down = True
    outbox = SettlementQueue(store)
    outbox.settle("a", (LINE,), ())
    outbox.settle("b", (LINE,), ())
    assert await outbox.aclose(5.0) == 2
    assert "2 settlements were not taken" in caplog.text
    await outbox.settled()


async def test_an_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """An invalid settlement is logged and does not stop others."""
    store = FailingStore()
    outbox = SettlementQueue(store)
    outbox.settle("a", (LINE._replace(amount=-1),), ())
    outbox.settle("b", (LINE,), ())
    await outbox.settled()
    assert await spent(store) == 5
    assert "a: could not be settled" in caplog.text


async def test_a_hold_that_had_ended(caplog: pytest.LogCaptureFixture) -> None:
    """A settlement of an expired hold is logged: the request took longer than its lease."""
    store = FailingStore()
    await store.settle("a", (LINE,), ())
    outbox = SettlementQueue(store)
    with caplog.at_level(logging.WARNING):
        outbox.settle("a", (LINE,), ())
        await outbox.settled()
    assert "a: had ended before it was settled" in caplog.text
    assert await spent(store) == 5


class _Choosy(FailingStore):
    """A store that fails the first time for each settlement."""

    @override
    async def settle(self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> bool:
        if ("settle", hold_id) not in self.calls:
            self.calls.append(("settle", hold_id))
            raise StoreDown("once")
        return await super().settle(hold_id, lines, entries)


async def test_a_store_that_fails_now_and_then() -> None:
    """Everything is booked once, however often the store fails."""
    store = _Choosy()
    outbox = SettlementQueue(store)
    for number in range(200):
        outbox.settle(f"h{number}", (LINE,), ())
        await asyncio.sleep(0)
    await outbox.settled()
    assert await spent(store) == 1000
