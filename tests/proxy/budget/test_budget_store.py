"""Tests of BudgetStore: holds, the allowance during an outage of the store, and sweeping."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest
from standby.proxy.budget.accounts import Account, Accounts, Amounts
from standby.proxy.budget.budget_store import SWEEP, BudgetStore
from standby.proxy.budget.hold import Demand, Hold
from standby.proxy.budget.outage_allowance import OutageAllowance
from standby.proxy.config import BudgetWindow, Grants, Limits
from standby.proxy.stores.records import Denied, Held
from standby.proxy.stores.store import StoreDown

from tests.proxy.failing_store import FailingStore
from tests.proxy.harness import virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

LEASE: Final = 60.0


def demand(cost: int = 10, **limits: int) -> Demand:
    """The demand of a request, for a key with a budget of 100 per month."""
    owner = Grants(name="k", budget=(BudgetWindow(limit=100, window="month"),), limits=Limits(**limits))
    accounts: tuple[Account, ...] = Accounts().of("key", owner, 0.0)
    return Hold(accounts).entry(Amounts(1, 1, 1, cost))


async def hold(budget_store: BudgetStore, name: str, wanted: Demand) -> Held | Denied:
    """Takes a hold for this demand."""
    return await budget_store.hold(name, wanted, lease=LEASE, entries=())


async def test_hold_and_settle() -> None:
    """A held amount counts against the limit, and the settlement replaces it by the actual amount."""
    store = FailingStore()
    budget_store = BudgetStore(store)
    wanted = demand(60)
    assert isinstance(await hold(budget_store, "a", wanted), Held)
    assert isinstance(await hold(budget_store, "b", wanted), Denied)
    await budget_store.settle("a", (wanted.lines[0]._replace(amount=30),), (), 30)
    assert isinstance(await hold(budget_store, "b", wanted), Held)
    await budget_store.aclose()
    assert await store.used(wanted.lines) == (90,)


async def test_without_an_allowance() -> None:
    """Without an allowance no hold is taken while the store is down."""
    store = FailingStore()
    store.down = True
    budget_store = BudgetStore(store)
    with pytest.raises(StoreDown):
        await hold(budget_store, "a", demand())
    await budget_store.aclose()


async def test_an_allowance() -> None:
    """While the store is down, holds are taken up to the allowance. What was spent is booked afterwards."""
    store = FailingStore()
    budget_store = BudgetStore(store, allowance=25)
    store.down = True
    wanted = demand(10)
    assert [type(await hold(budget_store, name, wanted)) for name in "abc"] == [Held, Held, Denied]
    refused = await hold(budget_store, "c", wanted)
    assert isinstance(refused, Denied)
    assert refused.line == len(wanted.lines)
    for name in "ab":
        await budget_store.settle(name, (wanted.lines[0]._replace(amount=5),), (), 5)
    assert isinstance(await hold(budget_store, "c", wanted), Held)
    store.down = False
    await budget_store.settle("c", wanted.lines, (), 10)
    await budget_store.outbox.settled()
    assert await store.used(wanted.lines) == (20,)
    await budget_store.aclose()


async def test_limits_hold_during_an_outage() -> None:
    """During an outage, limits are counted in this process."""
    store = FailingStore()
    store.down = True
    budget_store = BudgetStore(store, allowance=1000)
    wanted = demand(0, concurrent=1)
    assert isinstance(await hold(budget_store, "a", wanted), Held)
    refused = await hold(budget_store, "b", wanted)
    assert isinstance(refused, Denied)
    assert wanted.accounts[refused.line].what == "concurrent"
    await budget_store.settle("a", (), (), 0)
    assert isinstance(await hold(budget_store, "b", wanted), Held)
    store.down = False
    await budget_store.aclose()


async def test_the_next_outage_has_all_of_the_allowance_again() -> None:
    """The allowance is restored only when the store has booked everything spent during the outage."""
    store = FailingStore()
    budget_store = BudgetStore(store, allowance=10)
    store.down = True
    assert isinstance(await hold(budget_store, "a", demand(10)), Held)
    await budget_store.settle("a", demand(10).lines, (), 10)
    await asyncio.sleep(1.0)
    store.down = False
    assert isinstance(await hold(budget_store, "b", demand(1)), Held)  # settlements still wait
    store.down = True
    assert isinstance(await hold(budget_store, "c", demand(1)), Denied)
    store.down = False
    await budget_store.outbox.settled()
    assert isinstance(await hold(budget_store, "d", demand(1)), Held)
    store.down = True
    assert isinstance(await hold(budget_store, "e", demand(10)), Held)
    store.down = False
    await budget_store.aclose()


async def test_an_allowance_is_not_restored_while_it_is_in_use() -> None:
    """The allowance is not reset while a hold on it is open."""
    allowance = OutageAllowance(10)
    assert isinstance(await allowance.hold("a", (), 10, lease=LEASE, enforce=True), Held)
    allowance.restore()
    assert isinstance(await allowance.hold("b", (), 1, lease=LEASE, enforce=True), Denied)
    await allowance.settle("a", (), 10)
    await allowance.settle("unknown", (), 10)
    allowance.restore()
    assert isinstance(await allowance.hold("b", (), 10, lease=LEASE, enforce=True), Held)


async def test_observing_an_outage() -> None:
    """Without enforcement, exceeded limits are reported, and the allowance itself refuses nothing."""
    allowance = OutageAllowance(10)
    lines = demand(200).lines
    outcome = await allowance.hold("a", lines, 200, lease=LEASE, enforce=False)
    assert outcome == Held((200,), (0,))


async def test_an_outbox_that_is_full() -> None:
    """While the settlement queue is full, holds raise StoreDown."""
    store = FailingStore()
    budget_store = BudgetStore(store, allowance=1000)
    store.down = True
    for number in range(10_000):
        budget_store.outbox.settle(f"h{number}", (), ())
    with pytest.raises(StoreDown):
        await hold(budget_store, "a", demand())
    store.down = False
    await budget_store.aclose()


async def test_sweeping(caplog: pytest.LogCaptureFixture) -> None:
    """Expired holds are swept until the BudgetStore is closed."""
    store = FailingStore()
    budget_store = BudgetStore(store)
    await hold(budget_store, "mine", demand(1))
    assert isinstance(await store.hold("dead", demand(20).lines, lease=-1.0), Held)
    assert await store.held() == 2
    await asyncio.sleep(SWEEP + 0.1)
    assert await store.held() == 1
    assert "1 holds were never settled" in caplog.text
    await budget_store.settle("mine", (), (), 0)
    await budget_store.aclose()
    assert isinstance(await store.hold("late", demand(20).lines, lease=-1.0), Held)
    await asyncio.sleep(10 * SWEEP)
    assert await store.held() == 1


async def test_the_time() -> None:
    """The time is the store's."""
    store = FailingStore()
    assert abs(BudgetStore(store).now() - store.now()) < 60
