"""Tests of what settled holds book in batches, behind the requests."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest
from standby.proxy.budget.budget_store import BudgetStore
from standby.proxy.budget.escrow import HOLDS, Escrow
from standby.proxy.budget.write_behind import BATCH, BEHIND
from standby.proxy.stores.records import Held, LedgerEntry, Line

from tests.proxy.failing_store import FailingStore
from tests.proxy.harness import virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

LEASE: Final = 600.0


def money(amount: int) -> Line:
    """A line of a cost budget."""
    return Line("key/k/cost/month", "sum", amount, 1_000_000, keep=10**10)


def entry(name: str) -> LedgerEntry:
    """A ledger entry of this request."""
    return LedgerEntry(at=1.0, request_id=name, attempt=1, charged=4)


async def hold(escrow: Escrow, name: str, *lines: Line) -> None:
    """Takes a hold on these lines."""
    assert isinstance(await escrow.hold(name, lines, lease=LEASE), Held)


async def sliced(store: FailingStore) -> Escrow:
    """An escrow whose next hold is served from a slice."""
    escrow = Escrow(store)
    for name in ("first", "second"):
        await hold(escrow, name, money(10))
        await escrow.settle(name, (), ())
    store.calls.clear()
    return escrow


async def ledger(store: FailingStore) -> list[str]:
    """The requests in the ledger."""
    return [each.request_id async for each in store.entries()]


async def test_many_settlements_are_one_operation() -> None:
    """What is settled within a moment is written to the store together, and is in the order of the calls."""
    store = FailingStore()
    escrow = await sliced(store)
    for name in "abc":
        await hold(escrow, name, money(10))
        assert escrow.settle_behind(name, (money(4),), (entry(name),))
    assert (store.calls, escrow.waiting) == ([], 3)
    await asyncio.sleep(2 * BEHIND)
    assert ([call for call, _ in store.calls], escrow.waiting) == (["settle"], 0)
    assert await ledger(store) == ["a", "b", "c"]
    await escrow.release()
    assert (await store.used((money(0),)), await store.held()) == ((12,), 0)


async def test_a_batch_that_is_full() -> None:
    """A batch with enough entries does not wait."""
    store = FailingStore()
    escrow = await sliced(store)
    for number in range(BATCH):
        await hold(escrow, f"h{number}", money(10))
        assert escrow.settle_behind(f"h{number}", (money(4),), (entry(f"h{number}"),))
    await asyncio.sleep(BEHIND / 10)
    assert len(await ledger(store)) == BATCH
    await escrow.release()


async def test_what_is_left_at_the_end() -> None:
    """A batch that still waits is written when the escrow is released."""
    store = FailingStore()
    escrow = await sliced(store)
    await hold(escrow, "a", money(10))
    assert escrow.settle_behind("a", (money(10),), (entry("a"),))
    await escrow.release()
    assert (await ledger(store), await store.used((money(0),))) == (["a"], (10,))


async def test_more_than_was_held() -> None:
    """What requests took beyond their holds is booked with the batch, added up."""
    store = FailingStore()
    escrow = await sliced(store)
    for name in "ab":
        await hold(escrow, name, money(10))
        assert escrow.settle_behind(name, (money(25),), (entry(name),))
    await asyncio.sleep(2 * BEHIND)
    assert await store.used((money(0),)) == (30 + HOLDS * 10,)
    await escrow.release()
    assert await store.used((money(0),)) == (50,)


async def test_a_hold_that_is_also_in_the_store() -> None:
    """A hold of which the store has a part is settled there."""
    store = FailingStore()
    escrow = await sliced(store)
    await hold(escrow, "a", money(10))
    await hold(escrow, "a", money(HOLDS * 10))
    assert not escrow.settle_behind("a", (money(7),), (entry("a"),))
    assert await escrow.settle("a", (money(7),), (entry("a"),))
    await escrow.release()
    assert (await store.used((money(0),)), await store.held()) == ((7,), 0)


async def test_a_batch_that_the_store_does_not_take() -> None:
    """A batch is kept and sent again while the store is down, and nothing is booked twice."""
    store = FailingStore()
    escrow = await sliced(store)
    await hold(escrow, "a", money(10))
    store.mute = True  # it books, and the reply is lost
    assert escrow.settle_behind("a", (money(25),), (entry("a"),))
    await asyncio.sleep(2 * BEHIND)
    store.mute = False
    await escrow.settled()
    assert (await ledger(store), await store.used((money(0),))) == (["a"], (25,))
    await escrow.release()


async def test_a_store_in_memory_needs_no_slices() -> None:
    """Where every operation is immediate, holds and settlements are the store's own."""
    store = FailingStore()
    store.immediate = True  # type: ignore[misc]
    budget_store = BudgetStore(store, escrow=True)
    assert budget_store.waiting == 0
    for name in "abc":
        await store.hold(name, (money(10),), lease=LEASE)
        await budget_store.settle(name, (money(4),), (entry(name),), 4)
    assert (budget_store.waiting, await store.used((money(0),))) == (0, (12,))
    await budget_store.aclose()


async def test_the_last_hold_of_a_slice() -> None:
    """The slice is returned after the ledger has every request that it paid for."""
    store = FailingStore()
    escrow = await sliced(store)
    await hold(escrow, "a", money(10))
    returned = asyncio.create_task(escrow.settled())  # closes the slice, which waits for its last hold
    await asyncio.sleep(0)
    assert escrow.settle_behind("a", (money(4),), (entry("a"),))
    await returned
    await escrow.settled()
    ids = [name for call, name in store.calls if call == "settle"]
    assert (len(ids), ids) == (2, sorted(ids, reverse=True))  # the slice's id is the older one
