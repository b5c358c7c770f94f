"""Budget and failover: each attempt needs a hold at its own price, and a target that is too expensive is
not tried."""

from __future__ import annotations

from typing import Any, Final

import pytest
from standby.proxy.config import Limits, Pool

from tests.middlewares.budget_gateway import COST, ESTIMATE, PRICE, BudgetGateway, budget, key
from tests.proxy.harness import virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

DEARER: Final = 'price = { input = "0", output = "5000" }'


def with_target(name: str, toml: str, *, base: str = "a") -> str:
    """Returns the tables of one more target with its own provider."""
    del base
    return f"""
[providers.at-{name}]
dialect = "openai"
base_url = "http://127.0.0.1:9/v1"
transport = "tests.proxy.harness:Script"
[targets.{name}]
provider = "at-{name}"
model = "model-{name}"
{toml}
"""


def pool(budgeted: BudgetGateway) -> Pool:
    """Returns the pool of the gateway."""
    return budgeted.gateway.routes.pools["support"]


def dear_alternate(principal: Any, causes: str = '"outage"', **settings: str) -> BudgetGateway:
    """Returns a gateway with target "a", and an alternate "z" for these causes that costs five times as
    much."""
    return BudgetGateway(
        principal,
        pool=f'alternates = [{{ target = "z", for = [{causes}] }}]\n' + settings.get("pool", ""),
        tables=with_target("z", DEARER) + settings.get("tables", ""),
    )


async def test_a_dearer_fallback_extends_the_hold() -> None:
    """The higher estimate is held before any byte is sent to the target."""
    budgeted = dear_alternate(key(budget("0.05")))
    budgeted["a"].say(b"", status=503)
    seen: list[int] = []

    async def look() -> None:
        seen.append(await budgeted.spent())

    budgeted["z"].before = look
    assert (await budgeted.ask()).status == 200
    assert seen == [5 * ESTIMATE]
    await budgeted.settled()
    assert (await budgeted.spent(), await budgeted.store.held()) == (5 * COST, 0)
    assert [call for call, _ in budgeted.store.calls] == ["hold", "hold", "settle"]


async def test_a_fallback_that_is_too_dear_is_passed_over() -> None:
    """A target that is too expensive is no attempt and listed with its reason.

    The earlier attempt decides the status.
    """
    budgeted = dear_alternate(key(budget("0.049")))
    budgeted["a"].say(b"", status=503)
    caller = await budgeted.ask()
    assert (caller.status, caller.headers[b"x-standby-attempts"], budgeted.asked) == (
        503,
        b"1",
        {"a": 1, "z": 0},
    )
    assert caller.json["error"]["attempts"] == [
        {"target": "a", "fault": "overloaded"},
        {"target": "z", "fault": "budget.exhausted"},
    ]
    await budgeted.settled()
    assert (await budgeted.spent(), await budgeted.store.held()) == (0, 0)
    assert [entry.target for entry in await budgeted.ledger()] == ["a"]


async def test_what_is_passed_over_uses_up_no_attempt() -> None:
    """A rejected target does not count towards `max_attempts`."""
    budgeted = BudgetGateway(
        key(budget("0.02")),
        2,
        pool='alternates = [{ target = "z", for = ["outage"] }]',
        tables=with_target("z", PRICE) + "[failover]\nmax_attempts = 1",
    )
    targets = {target.name: target for target in pool(budgeted).prefer}
    object.__setattr__(targets["a"], "price", _price(5000))
    assert (await budgeted.ask()).status == 200
    assert budgeted.asked == {"a": 0, "b": 1, "z": 0}


def _price(output: int) -> Any:
    from standby.proxy.config import Price  # noqa: PLC0415

    return Price(input=0, output=output * 10**9)


async def test_money_opens_alternates_for_it() -> None:
    """If the preferred target is too expensive, an alternate for "budget" is tried."""
    budgeted = BudgetGateway(
        key(budget("0.02")),
        target=DEARER,
        pool='alternates = [{ target = "y", for = ["outage"] }, { target = "z", for = ["budget"] }]',
        tables=with_target("y", PRICE) + with_target("z", PRICE),
    )
    caller = await budgeted.ask()
    assert (caller.status, caller.headers[b"x-standby-target"]) == (200, b"z")
    assert caller.headers[b"x-standby-degraded"] == b"budget.exhausted"


async def test_a_limit_of_a_target_opens_alternates() -> None:
    """A target whose own rate is used up opens alternates for "rate_limited"."""
    budgeted = BudgetGateway(
        target=PRICE + "\nlimits = { requests_per_minute = 1 }",
        pool='alternates = [{ target = "z", for = ["rate_limited"] }]',
        tables=with_target("z", PRICE),
    )
    served = [(await budgeted.ask()).headers[b"x-standby-target"] for _ in range(2)]
    assert served == [b"a", b"z"]


async def test_every_target_is_limited() -> None:
    """If every target is limited, the response is 429 with the shortest Retry-After."""
    budgeted = BudgetGateway(count=2, target=PRICE + "\nlimits = { requests_per_minute = 1 }")
    for _ in range(2):
        assert (await budgeted.ask()).status == 200
    caller = await budgeted.ask()
    assert (caller.status, caller.json["error"]["code"]) == (429, "rate_limited")
    assert caller.headers[b"x-standby-limit"] == b"target/a requests_per_minute"
    assert 1 <= int(caller.headers[b"retry-after"]) <= 60
    assert caller.headers[b"x-standby-attempts"] == b"0"


async def test_every_target_is_too_dear() -> None:
    """If no budget is left the response is 402 with the budget, also if that is the target's own."""
    budgeted = BudgetGateway(target=PRICE + '\nbudget = [{ limit = "0.009", window = "day" }]')
    caller = await budgeted.ask()
    assert (caller.status, caller.json["error"]["code"]) == (402, "budget_exceeded")
    assert caller.json["error"]["param"] == "target/a cost per day"
    await budgeted.settled()
    assert await budgeted.store.held() == 0


async def test_a_targets_own_accounts_are_settled() -> None:
    """Each target is booked with the cost of its own attempts."""
    budgeted = BudgetGateway(count=2, target=PRICE + '\nbudget = [{ limit = "1.00", window = "day" }]')
    budgeted["a"].say(b"", status=500)
    await budgeted.ask()
    await budgeted.settled()
    spent = [await budgeted.spent("day", f"target/{name}") for name in "ab"]
    assert (spent, await budgeted.store.held()) == ([0, COST], 0)


async def test_spending_of_earlier_attempts_counts() -> None:
    """The possible cost of the first attempt stays held during the second."""
    times = 'timeouts = { first_token = "1s", stall = "5s" }'
    price = 'price = { input = "100", output = "1000" }'
    budgeted = BudgetGateway(key(budget("0.02")), 2, target=price, pool=times)
    budgeted["a"].say(3.0)
    seen: list[int] = []

    async def look() -> None:
        seen.append(await budgeted.spent())

    budgeted["b"].before = look
    assert (await budgeted.ask()).status == 200
    await budgeted.settled()
    first, second = await budgeted.ledger()
    assert first.charged
    assert seen[0] >= first.charged + ESTIMATE
    assert await budgeted.spent() == first.charged + (second.charged or 0)


async def test_at_budget_the_cheapest_go_first() -> None:
    """After `at_budget` the order is by price, including the alternates for "budget"."""
    budgeted = BudgetGateway(
        key(budget("0.20")),
        target=DEARER,
        pool='alternates = [{ target = "z", for = ["budget"] }]\nat_budget = { "0.5" = "cheapest" }',
        tables=with_target("z", PRICE),
    )
    served: list[bytes] = []
    for _ in range(6):
        served.append((await budgeted.ask()).headers[b"x-standby-target"])
        await budgeted.settled()
    assert served == [b"a"] * 5 + [b"z"]


async def test_observing_clears_every_target() -> None:
    """In observe mode a target over its limit is tried, and the header names the limit."""
    budgeted = BudgetGateway(
        key(budget("0.02"), limits=Limits()),
        target=PRICE + "\nlimits = { concurrent = 1, requests_per_minute = 1 }",
        tables='[budget]\nmode = "observe"',
    )
    await budgeted.ask()
    caller = await budgeted.ask()
    assert (caller.status, caller.headers[b"x-standby-target"]) == (200, b"a")
    assert caller.headers[b"x-standby-would-refuse"] == b"target/a requests_per_minute"
