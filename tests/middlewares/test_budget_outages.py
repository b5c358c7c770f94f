"""Budget while its store is down, slow, or loses replies."""

from __future__ import annotations

import asyncio

import pytest

from tests.middlewares.purses import COST, Counter, answer, budget, key, piece
from tests.proxy.harness import virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio


async def test_a_store_that_is_down() -> None:
    """Nothing is let through; it is an outage of ours, said with when to ask again, and nobody's fault."""
    counter = Counter(key(budget()))
    counter.store.down = True
    caller = await counter.ask()
    assert (caller.status, caller.json["error"]["code"]) == (503, "budget_unavailable")
    assert (caller.headers[b"retry-after"], counter.asked) == (b"1", {"a": 0})
    counter.store.down = False
    assert (await counter.ask()).status == 200


async def test_an_outage_leaves_nothing_to_settle() -> None:
    """A store that was not even asked need not be told of holds that it cannot have."""
    counter = Counter(key(budget()))
    counter.store.down = True
    for _ in range(10):
        await counter.ask()
    assert {call for call, _ in counter.store.calls} == {"hold"}


async def test_a_hold_whose_reply_is_lost() -> None:
    """The store may have taken it: it is ended, so that nothing stays held."""
    counter = Counter(key(budget()))
    counter.store.mute = True
    assert (await counter.ask()).status == 503
    assert await counter.store.held() == 1
    counter.store.mute = False
    await asyncio.sleep(10.0)
    assert (await counter.store.held(), await counter.spent()) == (0, 0)


async def test_a_settlement_whose_reply_is_lost() -> None:
    """It is asked for again, and booked once."""
    counter = Counter(key(budget()))

    async def mutes() -> None:
        counter.store.mute = True

    counter["a"].before = mutes
    assert (await counter.ask()).status == 200
    await asyncio.sleep(1.0)
    counter.store.mute = False
    await asyncio.sleep(10.0)
    assert (await counter.spent(), len(await counter.ledger())) == (COST, 1)


async def test_a_store_that_goes_down_during_a_request() -> None:
    """The answer goes through, and is booked once the store is back."""
    counter = Counter(key(budget()))

    async def breaks() -> None:
        counter.store.down = True

    counter["a"].before = breaks
    assert (await counter.ask()).status == 200
    await asyncio.sleep(20.0)
    assert await counter.store.held() == 1
    counter.store.down = False
    await asyncio.sleep(10.0)
    assert (await counter.store.held(), await counter.spent()) == (0, COST)


async def test_no_request_waits_for_its_settlement() -> None:
    """The answer has ended while the store is still at it."""
    counter = Counter(key(budget()))

    async def slows() -> None:
        counter.store.slow = 100.0

    counter["a"].before = slows
    counter["a"].say(piece("a", delta={"content": "x"}), *answer("a"))
    began = asyncio.get_running_loop().time()
    assert (await counter.ask()).complete
    assert asyncio.get_running_loop().time() - began < 1.0
    await asyncio.sleep(200.0)
    assert await counter.spent() == COST


async def test_a_store_that_goes_down_between_two_attempts() -> None:
    """The second target needs more than is held, and that cannot be had: it is passed over."""
    counter = Counter(key(budget()), 2)
    object.__setattr__(counter.gateway.routes.targets["b"], "budget", (budget("1.00"),))

    async def breaks() -> None:
        counter.store.down = True

    counter["a"].before = breaks
    counter["a"].say(b"", status=503)
    caller = await counter.ask()
    assert (caller.status, counter.asked) == (503, {"a": 1, "b": 0})
    assert caller.json["error"]["attempts"][1] == {"target": "b", "fault": "budget.unavailable"}
    counter.store.down = False
    await asyncio.sleep(10.0)
    assert await counter.store.held() == 0


async def test_every_clearance_finds_the_store_down() -> None:
    """It is no refusal of the caller's: 503."""
    counter = Counter(target='price = { input = "0", output = "1000" }\nlimits = { concurrent = 5 }')
    counter.store.down = True
    caller = await counter.ask()
    assert (caller.status, caller.json["error"]["code"]) == (503, "budget_unavailable")


async def test_an_allowance() -> None:
    """As much as the operator allows is let through, and all of it is booked in the end."""
    counter = Counter(key(budget("1.00")), tables='[budget]\non_store_error = "0.03"')
    counter.store.down = True
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    counter["a"].before = wait
    tasks = [asyncio.create_task(counter.ask()) for _ in range(6)]
    await asyncio.sleep(0.1)
    gate.set()
    callers = await asyncio.gather(*tasks)
    assert sorted(caller.status for caller in callers) == [200, 200, 200, 503, 503, 503]
    counter.store.down = False
    await asyncio.sleep(20.0)
    assert (await counter.spent(), len(await counter.ledger())) == (3 * COST, 3)
    assert await counter.store.held() == 0


async def test_observing_while_the_store_is_down() -> None:
    """Who only observes refuses nobody; what was let through is booked later."""
    counter = Counter(key(budget()), tables='[budget]\nmode = "observe"')
    counter.store.down = True
    assert (await counter.ask()).status == 200
    counter.store.down = False
    await asyncio.sleep(10.0)
    assert (await counter.spent(), await counter.store.held()) == (COST, 0)
