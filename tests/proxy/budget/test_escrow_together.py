"""Tests of Escrow with several requests at once, at a store that takes its time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import pytest
from standby.proxy.budget.budget_store import BudgetStore
from standby.proxy.budget.escrow import IDLE, LIFE, Escrow
from standby.proxy.budget.hold import Demand
from standby.proxy.stores.records import Denied, Held, LedgerEntry, Line
from standby.proxy.stores.store import StoreDown

from tests.proxy.failing_store import FailingStore
from tests.proxy.harness import virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

LEASE: Final = 600.0


def line(account: str = "key/k", amount: int = 10, limit: int = 10_000) -> Line:
    """A line of a cost budget."""
    return Line(f"{account}/cost/month", "sum", amount, limit, keep=10**10)


def entries(name: str) -> tuple[LedgerEntry, ...]:
    """The ledger entries of a request."""
    return (LedgerEntry(at=1.0, request_id=name, attempt=1, cost=10, charged=10),)


async def hold(escrow: Escrow, name: str, *lines: Line) -> Held | Denied:
    """Takes a hold on these lines."""
    return await escrow.hold(name, lines, lease=LEASE, entries=entries(name))


async def settle(escrow: Escrow, name: str, lines: Sequence[Line]) -> None:
    """Settles a hold as BudgetStore does."""
    if not escrow.settle_behind(name, lines, entries(name)):
        await escrow.settle(name, lines, entries(name))


async def slow(*lines: Line) -> tuple[FailingStore, Escrow]:
    """A store that takes 50 ms, and an escrow that knows what remains of these accounts."""
    store = FailingStore()
    store.slow = 0.05
    escrow = Escrow(store)
    await hold(escrow, "first", *lines)
    await settle(escrow, "first", lines)
    return store, escrow


async def test_a_burst_takes_one_slice() -> None:
    """Requests that come together wait for one slice, and none is refused while there is room."""
    store, escrow = await slow(line(limit=1000))
    outcomes = await asyncio.gather(*(hold(escrow, f"h{n}", line(limit=1000)) for n in range(40)))
    assert [type(outcome) for outcome in outcomes] == [Held] * 40
    for n in range(40):
        await settle(escrow, f"h{n}", [line(limit=1000)])
    await escrow.release()
    assert (await store.used((line(),)), await store.held()) == ((410,), 0)


async def test_what_is_in_slices_is_no_reason_to_refuse() -> None:
    """A request that the store refuses is served from what slices of this process have left."""
    _, escrow = await slow(line(limit=1000))
    for number in range(80):
        assert isinstance(await hold(escrow, f"h{number}", line(limit=1000)), Held)
        await asyncio.sleep(LIFE / 20)  # the holds stay open, and slices end with some left
    for number in range(80):
        await settle(escrow, f"h{number}", [line(limit=1000)])
    await escrow.release()


@pytest.mark.parametrize("limit", [10_000, 100], ids=["both_from_slices", "one_in_the_store"])
async def test_two_first_holds_of_one_request(limit: int) -> None:
    """Two attempts that begin together are booked once each, and nothing stays held."""
    lines = [line("target/a"), line("target/b", limit=limit)]
    store, escrow = await slow(*lines)
    await asyncio.gather(*(hold(escrow, "both", each) for each in lines))
    await settle(escrow, "both", lines)
    await escrow.release()
    assert (await store.used(lines), await store.held()) == ((20, 20), 0)


async def test_a_request_that_leaves_while_slices_are_returned() -> None:
    """The slices are returned all the same."""
    a, b = line("key/a", limit=1000), line("key/b", limit=1000)
    store, escrow = await slow(a, b)
    for name, lines in (("one", [a]), ("two", [a, b])):
        await hold(escrow, name, *lines)
        await settle(escrow, name, lines)
    big = asyncio.create_task(hold(escrow, "big", a.of(1000)))
    await asyncio.sleep(0.08)
    big.cancel()
    await asyncio.gather(big, return_exceptions=True)
    await settle(escrow, "big", [])
    await asyncio.sleep(1.0)
    await escrow.release()
    assert (await store.used((a, b)), await store.held()) == ((30, 20), 0)


async def test_a_slice_whose_holds_are_open_serves_on() -> None:
    """A slice that is idle, but cannot be returned yet, serves the next request."""
    store, escrow = await slow(line())
    for number in range(3):
        await hold(escrow, f"h{number}", line())
        await asyncio.sleep(2 * IDLE)
    assert [name for call, name in store.calls if call == "hold"].count("first") == 1
    assert len([call for call, _ in store.calls if call == "hold"]) == 2
    for number in range(3):
        await settle(escrow, f"h{number}", [line()])
    await escrow.release()
    assert (await store.used((line(),)), await store.held()) == ((40,), 0)


async def test_a_slice_does_not_end_an_outage() -> None:
    """Holds from slices do not give a store that is down its allowance again."""
    store = FailingStore()
    budget_store = BudgetStore(store, allowance=100, escrow=True)
    other = line("key/other", 60)

    async def take(name: str, each: Line) -> Held | Denied:
        demand = Demand((), (each,), each.amount)
        outcome = await budget_store.hold(name, demand, lease=LEASE, entries=entries(name))
        if isinstance(outcome, Held):
            await budget_store.settle(name, [each], entries(name), each.amount)
        return outcome

    for name in ("one", "two"):
        await take(name, line())
        await asyncio.sleep(0.2)
    store.down = True
    let_through = 0
    for number in range(4):
        let_through += isinstance(await take(f"other{number}", other), Held)
        assert isinstance(await take(f"own{number}", line()), Held)
    assert let_through == 1
    store.down = False
    await budget_store.settled()
    await budget_store.aclose()


async def test_a_limit_that_is_lowered() -> None:
    """A slice that was taken under another limit serves no more holds."""
    store, escrow = await slow(line())
    for name in ("one", "two"):
        await hold(escrow, name, line())
        await settle(escrow, name, [line()])
    assert isinstance(await hold(escrow, "late", line(limit=20)), Denied)
    await escrow.release()
    assert (await store.used((line(),)), await store.held()) == ((30,), 0)


async def test_slices_that_were_never_asked_for() -> None:
    """While the store is known to be down, a request leaves nothing to settle."""
    store, escrow = await slow(line())
    store.down = True
    for number in range(3):
        with pytest.raises(StoreDown):
            await hold(escrow, f"h{number}", line())
    assert escrow.waiting == 0
    store.down = False
    await escrow.release()
