"""Budget while its store is down, slow, or loses replies."""

from __future__ import annotations

import asyncio

import pytest

from tests.middlewares.budget_gateway import COST, BudgetGateway, answer, budget, key, model_event
from tests.proxy.harness import virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio


async def test_a_store_that_is_down() -> None:
    """Requests are refused with 503 and Retry-After, and it is not a fault of a target."""
    budgeted = BudgetGateway(key(budget()))
    budgeted.store.down = True
    caller = await budgeted.ask()
    assert (caller.status, caller.json["error"]["code"]) == (503, "budget_unavailable")
    assert (caller.headers[b"retry-after"], budgeted.asked) == (b"1", {"a": 0})
    budgeted.store.down = False
    assert (await budgeted.ask()).status == 200


async def test_an_outage_leaves_nothing_to_settle() -> None:
    """A hold that was certainly not taken needs no settlement."""
    budgeted = BudgetGateway(key(budget()))
    budgeted.store.down = True
    for _ in range(10):
        await budgeted.ask()
    assert {call for call, _ in budgeted.store.calls} == {"hold"}


async def test_a_hold_whose_reply_is_lost() -> None:
    """The store may have taken the hold, so it is settled."""
    budgeted = BudgetGateway(key(budget()))
    budgeted.store.mute = True
    assert (await budgeted.ask()).status == 503
    assert await budgeted.store.held() == 1
    budgeted.store.mute = False
    await asyncio.sleep(10.0)
    assert (await budgeted.store.held(), await budgeted.spent()) == (0, 0)


async def test_a_settlement_whose_reply_is_lost() -> None:
    """The settlement is repeated, and booked once."""
    budgeted = BudgetGateway(key(budget()))

    async def mutes() -> None:
        budgeted.store.mute = True

    budgeted["a"].before = mutes
    assert (await budgeted.ask()).status == 200
    await asyncio.sleep(1.0)
    budgeted.store.mute = False
    await asyncio.sleep(10.0)
    assert (await budgeted.spent(), len(await budgeted.ledger())) == (COST, 1)


async def test_a_store_that_goes_down_during_a_request() -> None:
    """The answer is served, and booked once the store is back."""
    budgeted = BudgetGateway(key(budget()))

    async def breaks() -> None:
        budgeted.store.down = True

    budgeted["a"].before = breaks
    assert (await budgeted.ask()).status == 200
    await asyncio.sleep(20.0)
    assert await budgeted.store.held() == 1
    budgeted.store.down = False
    await asyncio.sleep(10.0)
    assert (await budgeted.store.held(), await budgeted.spent()) == (0, COST)


async def test_no_request_waits_for_its_settlement() -> None:
    """The response ends without waiting for the store."""
    budgeted = BudgetGateway(key(budget()))

    async def slows() -> None:
        budgeted.store.slow = 100.0

    budgeted["a"].before = slows
    budgeted["a"].say(model_event("a", delta={"content": "x"}), *answer("a"))
    began = asyncio.get_running_loop().time()
    assert (await budgeted.ask()).complete
    assert asyncio.get_running_loop().time() - began < 1.0
    await asyncio.sleep(200.0)
    assert await budgeted.spent() == COST


async def test_a_store_that_goes_down_between_two_attempts() -> None:
    """A second target that needs a larger hold is rejected while the store is down."""
    budgeted = BudgetGateway(key(budget()), 2)
    object.__setattr__(budgeted.gateway.routes.targets["b"], "budget", (budget("1.00"),))

    async def breaks() -> None:
        budgeted.store.down = True

    budgeted["a"].before = breaks
    budgeted["a"].say(b"", status=503)
    caller = await budgeted.ask()
    assert (caller.status, budgeted.asked) == (503, {"a": 1, "b": 0})
    assert caller.json["error"]["attempts"][1] == {"target": "b", "fault": "budget.unavailable"}
    budgeted.store.down = False
    await asyncio.sleep(10.0)
    assert await budgeted.store.held() == 0


async def test_every_clearance_finds_the_store_down() -> None:
    """An unavailable store is 503, not a refusal of the caller."""
    budgeted = BudgetGateway(target='price = { input = "0", output = "1000" }\nlimits = { concurrent = 5 }')
    budgeted.store.down = True
    caller = await budgeted.ask()
    assert (caller.status, caller.json["error"]["code"]) == (503, "budget_unavailable")


async def test_an_allowance() -> None:
    """Requests within the outage allowance are served, and all of them are booked in the end."""
    budgeted = BudgetGateway(key(budget("1.00")), tables='[budget]\non_store_error = "0.03"')
    budgeted.store.down = True
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    budgeted["a"].before = wait
    tasks = [asyncio.create_task(budgeted.ask()) for _ in range(6)]
    await asyncio.sleep(0.1)
    gate.set()
    callers = await asyncio.gather(*tasks)
    assert sorted(caller.status for caller in callers) == [200, 200, 200, 503, 503, 503]
    budgeted.store.down = False
    await asyncio.sleep(20.0)
    assert (await budgeted.spent(), len(await budgeted.ledger())) == (3 * COST, 3)
    assert await budgeted.store.held() == 0


async def test_observing_while_the_store_is_down() -> None:
    """In observe mode nothing is refused, and the requests are booked later."""
    budgeted = BudgetGateway(key(budget()), tables='[budget]\nmode = "observe"')
    budgeted.store.down = True
    assert (await budgeted.ask()).status == 200
    budgeted.store.down = False
    await asyncio.sleep(10.0)
    assert (await budgeted.spent(), await budgeted.store.held()) == (COST, 0)
