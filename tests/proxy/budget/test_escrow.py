"""Tests of Escrow: holds are served from slices of a budget, and no budget is overspent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standby.proxy.budget.escrow import HOLDS, IDLE, LIFE, SHARE, Escrow
from standby.proxy.stores.memory import Memory
from standby.proxy.stores.records import Denied, Held, KeyRecord, LedgerEntry, Line
from standby.proxy.stores.store import StoreDown
from standby.proxy.stores.tables import Clocks
from typing_extensions import override

from tests.proxy.failing_store import FailingStore
from tests.proxy.harness import VirtualLoop, virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

LEASE: Final = 600.0


def money(amount: int, limit: int = 1_000_000, name: str = "key/k/cost/month") -> Line:
    """A line of a cost budget."""
    return Line(name, "sum", amount, limit, keep=10**10)


async def hold(store: Escrow, name: str, *lines: Line, entries: Sequence[LedgerEntry] = ()) -> Held | Denied:
    """Takes a hold on these lines."""
    return await store.hold(name, lines, lease=LEASE, entries=entries)


def asked(store: FailingStore, what: str = "hold") -> int:
    """The number of calls of this operation."""
    return [call for call, _ in store.calls].count(what)


async def used(store: Memory, *lines: Line) -> tuple[int, ...]:
    """What is spent and held."""
    return await store.used(lines or (money(0),))


async def test_most_holds_do_not_ask_the_store() -> None:
    """The first hold reports the remaining budget, the second takes a slice, the next ones use the slice."""
    store = FailingStore()
    escrow = Escrow(store)
    for number in range(2 + HOLDS - 1):
        assert isinstance(await hold(escrow, f"h{number}", money(10)), Held)
    assert asked(store) == 2
    assert isinstance(await hold(escrow, "next", money(10)), Held)
    assert asked(store) == 3
    assert await used(store) == (10 + 2 * HOLDS * 10,)


async def test_what_is_settled_is_booked_when_the_slice_is_returned() -> None:
    """Ledger entries are written at once. Unspent amounts are free again when the slice is returned."""
    store = FailingStore()
    escrow = Escrow(store)
    for name in "abc":
        await hold(escrow, name, money(10))
        entry = LedgerEntry(at=1.0, request_id=name, attempt=1, charged=4)
        assert await escrow.settle(name, (money(4, 0),), (entry,))
    assert [entry.request_id async for entry in escrow.entries()] == ["a", "b", "c"]
    assert await escrow.held() == 1
    await escrow.release()
    assert (await used(store), await escrow.held()) == ((12,), 0)


async def test_a_slice_that_is_not_used_is_returned() -> None:
    """A slice is returned after about a second without use, even if no further request arrives."""
    store = FailingStore()
    escrow = Escrow(store)
    for name in "ab":
        await hold(escrow, name, money(10))
        await escrow.settle(name, (money(10),), ())
    await asyncio.sleep(2.5 * IDLE)
    assert (await used(store), await store.held()) == ((20,), 0)
    await escrow.aclose()


async def test_a_slice_does_not_live_long() -> None:
    """Even a slice in constant use is returned in time, so that other processes see its spending."""
    store = FailingStore()
    escrow = Escrow(store)
    for number in range(int(4 * LIFE)):
        await hold(escrow, f"h{number}", money(1))
        await escrow.settle(f"h{number}", (money(1),), ())
        await asyncio.sleep(0.5)
    assert 2 <= asked(store) - 1 <= 4
    await escrow.release()
    assert await used(store) == (40,)


async def test_a_slice_waits_for_those_it_serves() -> None:
    """A slice is returned when the last request that holds an amount of it is settled."""
    store = FailingStore()
    escrow = Escrow(store)
    for name in "ab":
        await hold(escrow, name, money(10))
    await asyncio.sleep(2 * LIFE)
    assert await store.held() == 2
    for name in "ab":
        await escrow.settle(name, (money(10),), ())
    await escrow.release()
    assert (await used(store), await store.held()) == ((20,), 0)


async def test_a_low_budget_is_held_exactly() -> None:
    """When a slice would not cover a request, requests go to the store, so the whole budget is usable."""
    store = FailingStore()
    escrow = Escrow(store)
    limit = 10 * SHARE - 1
    results = [await hold(escrow, f"h{number}", money(10, limit)) for number in range(16)]
    assert [type(result) for result in results] == [Held] * 15 + [Denied]
    assert asked(store) == 16


async def test_slices_of_ours_are_returned_before_we_refuse() -> None:
    """Unused slices of this process are returned before a hold is refused."""
    store = FailingStore()
    escrow = Escrow(store)
    for name in "ab":
        await hold(escrow, name, money(10, 1000))
        await escrow.settle(name, (money(0, 1000),), ())
    assert isinstance(await hold(escrow, "all", money(1000, 1000)), Held)
    assert isinstance(await hold(escrow, "more", money(1, 1000)), Denied)


async def test_a_hold_that_is_extended() -> None:
    """A hold is extended from the slice if it has room, else in the store. Both settle together."""
    store = FailingStore()
    escrow = Escrow(store)
    await hold(escrow, "first", money(10))
    await hold(escrow, "a", money(10))
    await hold(escrow, "a", money(100))
    assert asked(store) == 2
    await hold(escrow, "a", money(1000))
    assert asked(store) == 3
    await escrow.settle("a", (money(700),), ())
    await escrow.settle("first", (), ())
    await escrow.release()
    assert (await used(store), await store.held()) == ((700,), 0)


async def test_a_request_that_took_more_than_it_held() -> None:
    """All of the spending is booked; the part that exceeds the held amount is booked in the store at once."""
    store = FailingStore()
    escrow = Escrow(store)
    for name in "ab":
        await hold(escrow, name, money(10))
    await escrow.settle("a", (money(10),), ())
    await escrow.settle("b", (money(25),), ())
    await escrow.release()
    assert await used(store) == (35,)


async def test_a_store_that_fails_while_it_settles() -> None:
    """A repeated settlement books the same amounts once."""
    store = FailingStore()
    escrow = Escrow(store)
    for name in "ab":
        await hold(escrow, name, money(10))
    await escrow.settle("a", (), ())
    store.down = True
    for _ in range(2):
        with pytest.raises(StoreDown):
            await escrow.settle("b", (money(25),), ())
    store.down = False
    assert await escrow.settle("b", (money(25),), ())
    await escrow.release()
    assert await used(store) == (25,)


async def test_a_store_that_is_down() -> None:
    """Taking a slice raises StoreDown. A slice that may have been taken is returned."""
    store = FailingStore()
    escrow = Escrow(store)
    await hold(escrow, "a", money(10))
    store.mute = True
    with pytest.raises(StoreDown):
        await hold(escrow, "b", money(10))
    assert asked(store) == 2
    store.mute = False
    await escrow.settle("a", (), ())
    await escrow.release()
    assert (await used(store), await store.held()) == ((0,), 0)


async def test_what_is_counted_exactly() -> None:
    """Concurrency limits and holds without enforcement always go to the store."""
    store = FailingStore()
    escrow = Escrow(store)
    lease = Line("key/k/concurrent", "lease", 1, 100)
    for number in range(4):
        await hold(escrow, f"h{number}", money(10), lease)
        await escrow.hold(f"o{number}", (money(10),), lease=LEASE, enforce=False)
    assert asked(store) == 8


async def test_what_expires_of_a_slice() -> None:
    """The slice of a killed process expires, with a ledger entry for the amount it held."""
    clock = 0.0
    store = Memory(Clocks(wall=lambda: 1000.0 + clock, monotonic=lambda: clock))
    escrow = Escrow(store)
    entry = LedgerEntry(at=1.0, request_id="a", attempt=0, key="k", charged=10)
    for name in "ab":
        await hold(escrow, name, money(10), entries=(entry,))
    await escrow.settle("a", (), ())
    clock = LEASE + 3 * LIFE
    assert await store.sweep() == 1
    (expired,) = [entry async for entry in store.entries()]
    assert (expired.key, expired.charged, expired.source) == ("k", HOLDS * 10, "expired")
    assert await used(store) == (HOLDS * 10,)


async def test_the_rest_is_the_stores() -> None:
    """Other operations are passed on to the store."""
    store = FailingStore()
    escrow = Escrow(store)
    record = KeyRecord(name="k", hashes={"sha256:1": None})
    await escrow.put_key(record)
    assert await escrow.key("k") == await escrow.key_by_hash("sha256:1") == record
    assert await escrow.keys() == [record]
    assert await escrow.delete_key("k")
    assert (await escrow.sweep(), await escrow.used((money(0),))) == (0, (0,))
    assert abs(escrow.now() - store.now()) < 60
    await escrow.aclose()
    assert store.closed == 0


class _Wire(Memory):
    """One process's access to a shared store. Once `cut`, its settlements fail."""

    immediate = False

    def __init__(self, store: Memory) -> None:
        super().__init__()
        self._far = store
        self.cut = False

    @override
    async def hold(
        self,
        hold_id: str,
        lines: Sequence[Line],
        *,
        lease: float,
        entries: Sequence[LedgerEntry] = (),
        enforce: bool = True,
    ) -> Held | Denied:
        return await self._far.hold(hold_id, lines, lease=lease, entries=entries, enforce=enforce)

    @override
    async def settle(self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> bool:
        if self.cut:
            raise RuntimeError("its process was killed")
        return await self._far.settle(hold_id, lines, entries)


STEP: Final = st.tuples(
    st.integers(0, 2),
    st.sampled_from(("hold", "extend", "settle", "settle", "crash", "wait", "down", "up")),
    st.integers(0, 60),
    st.integers(0, 30),
)


@settings(max_examples=200)
@given(limit=st.integers(100, 4000), steps=st.lists(STEP, max_size=120))
def test_no_budget_is_overspent(limit: int, steps: list[tuple[int, str, int, int]]) -> None:
    """Several processes use slices of one budget, some are killed, and the store fails at times.

    Spent and held amounts never exceed the limit, and booked spending is never less than the requests' cost.
    """
    loop = VirtualLoop()
    try:
        loop.run_until_complete(_play(limit, steps))
    finally:
        loop.close()


class _World:
    """Three processes with one store, their open holds, and the total cost of their requests."""

    def __init__(self, limit: int) -> None:
        loop = asyncio.get_running_loop()
        self.store = FailingStore(Clocks(wall=loop.time, monotonic=loop.time))
        self.line = money(0, limit)
        self.wires = [_Wire(self.store) for _ in range(3)]
        self.escrows = [Escrow(wire) for wire in self.wires]
        self.holds: list[dict[str, int]] = [{} for _ in self.wires]
        self.cost = 0

    async def hold(self, process: int, name: str, amount: int) -> None:
        """Takes or extends a hold in one process."""
        outcome = await self.escrows[process].hold(name, (self.line._replace(amount=amount),), lease=LEASE)
        if isinstance(outcome, Held):
            self.holds[process][name] = self.holds[process].get(name, 0) + amount

    async def settle(self, process: int, name: str, cost: int) -> None:
        """Settles a hold with this cost, or with the held amount if that is lower."""
        cost = min(cost, self.holds[process][name])
        await self.escrows[process].settle(name, (self.line._replace(amount=cost),), ())
        del self.holds[process][name]
        self.cost += cost

    def crash(self, process: int) -> None:
        """Replaces a process by a new one. What it held counts as cost, since the provider may bill it."""
        self.wires[process].cut = True
        self.wires[process] = _Wire(self.store)
        self.escrows[process] = Escrow(self.wires[process])
        self.cost += sum(self.holds[process].values())
        self.holds[process] = {}

    async def used(self) -> int:
        """What is spent and held."""
        (used,) = await self.store.used((self.line,))
        return used

    async def end(self) -> None:
        """Settles and releases everything, and lets abandoned holds expire."""
        self.store.down = False
        for escrow, holds in zip(self.escrows, self.holds, strict=True):
            for name in holds:
                await escrow.settle(name, (), ())
            await escrow.release()
        await asyncio.sleep(2 * LEASE)
        await self.store.sweep()


async def _play(limit: int, steps: list[tuple[int, str, int, int]]) -> None:
    world = _World(limit)
    for number, (process, what, amount, take) in enumerate(steps):
        name = f"h{number}" if what == "hold" else next(iter(world.holds[process]), None)
        try:
            if what == "crash":
                world.crash(process)
            elif what == "wait":
                await asyncio.sleep(amount / 10)
            elif what in {"down", "up"}:
                world.store.down = what == "down"
            elif name is not None and what == "settle":
                await world.settle(process, name, take)
            elif name is not None:
                await world.hold(process, name, amount)
        except StoreDown:
            pass
        assert await world.used() <= limit
    await world.end()
    assert await world.store.held() == 0
    assert world.cost <= await world.used() <= limit
