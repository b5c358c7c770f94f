"""Budget and failover: each attempt is cleared at its own price, and what is too dear is passed over."""

from __future__ import annotations

from typing import Any, Final

import pytest
from standby.proxy.config import Limits, Pool

from tests.middlewares.purses import COST, ESTIMATE, PRICE, Counter, budget, key
from tests.proxy.harness import virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

DEARER: Final = 'price = { input = "0", output = "5000" }'


def with_target(name: str, toml: str, *, base: str = "a") -> str:
    """Tables of one more target, at a provider of its own."""
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


def pool(counter: Counter) -> Pool:
    """The pool of a gateway."""
    return counter.gateway.routes.pools["support"]


def dear_alternate(principal: Any, causes: str = '"outage"', **settings: str) -> Counter:
    """A gateway with target "a", and "z", five times as dear, for these causes."""
    return Counter(
        principal,
        pool=f'alternates = [{{ target = "z", for = [{causes}] }}]\n' + settings.get("pool", ""),
        tables=with_target("z", DEARER) + settings.get("tables", ""),
    )


async def test_a_dearer_fallback_extends_the_hold() -> None:
    """What it may cost more is held before a byte is sent to it."""
    counter = dear_alternate(key(budget("0.05")))
    counter["a"].say(b"", status=503)
    seen: list[int] = []

    async def look() -> None:
        seen.append(await counter.spent())

    counter["z"].before = look
    assert (await counter.ask()).status == 200
    assert seen == [5 * ESTIMATE]
    await counter.settled()
    assert (await counter.spent(), await counter.store.held()) == (5 * COST, 0)
    assert [call for call, _ in counter.store.calls] == ["hold", "hold", "settle"]


async def test_a_fallback_that_is_too_dear_is_passed_over() -> None:
    """It is no attempt, and told with its reason; what was asked before decides what the caller is told."""
    counter = dear_alternate(key(budget("0.049")))
    counter["a"].say(b"", status=503)
    caller = await counter.ask()
    assert (caller.status, caller.headers[b"x-standby-attempts"], counter.asked) == (
        503,
        b"1",
        {"a": 1, "z": 0},
    )
    assert caller.json["error"]["attempts"] == [
        {"target": "a", "fault": "overloaded"},
        {"target": "z", "fault": "budget.exhausted"},
    ]
    await counter.settled()
    assert (await counter.spent(), await counter.store.held()) == (0, 0)
    assert [entry.target for entry in await counter.ledger()] == ["a"]


async def test_what_is_passed_over_uses_up_no_attempt() -> None:
    """The limit of attempts is one of targets that were asked."""
    counter = Counter(
        key(budget("0.02")),
        2,
        pool='alternates = [{ target = "z", for = ["outage"] }]',
        tables=with_target("z", PRICE) + "[failover]\nmax_attempts = 1",
    )
    targets = {target.name: target for target in pool(counter).prefer}
    object.__setattr__(targets["a"], "price", _price(5000))
    assert (await counter.ask()).status == 200
    assert counter.asked == {"a": 0, "b": 1, "z": 0}


def _price(output: int) -> Any:
    from standby.proxy.config import Price  # noqa: PLC0415

    return Price(input=0, output=output * 10**9)


async def test_money_opens_alternates_for_it() -> None:
    """Where the preferred target is too dear, one that is there for "budget" is asked."""
    counter = Counter(
        key(budget("0.02")),
        target=DEARER,
        pool='alternates = [{ target = "y", for = ["outage"] }, { target = "z", for = ["budget"] }]',
        tables=with_target("y", PRICE) + with_target("z", PRICE),
    )
    caller = await counter.ask()
    assert (caller.status, caller.headers[b"x-standby-target"]) == (200, b"z")
    assert caller.headers[b"x-standby-degraded"] == b"budget.exhausted"


async def test_a_limit_of_a_target_opens_alternates() -> None:
    """A target whose own rate is used up is passed over as one that is rate limited."""
    counter = Counter(
        target=PRICE + "\nlimits = { requests_per_minute = 1 }",
        pool='alternates = [{ target = "z", for = ["rate_limited"] }]',
        tables=with_target("z", PRICE),
    )
    served = [(await counter.ask()).headers[b"x-standby-target"] for _ in range(2)]
    assert served == [b"a", b"z"]


async def test_every_target_is_limited() -> None:
    """429, and when the first of them may be asked again."""
    counter = Counter(count=2, target=PRICE + "\nlimits = { requests_per_minute = 1 }")
    for _ in range(2):
        assert (await counter.ask()).status == 200
    caller = await counter.ask()
    assert (caller.status, caller.json["error"]["code"]) == (429, "rate_limited")
    assert caller.headers[b"x-standby-limit"] == b"target/a requests_per_minute"
    assert 1 <= int(caller.headers[b"retry-after"]) <= 60
    assert caller.headers[b"x-standby-attempts"] == b"0"


async def test_every_target_is_too_dear() -> None:
    """402, with the budget that refuses, also where that is the target's own."""
    counter = Counter(target=PRICE + '\nbudget = [{ limit = "0.009", window = "day" }]')
    caller = await counter.ask()
    assert (caller.status, caller.json["error"]["code"]) == (402, "budget_exceeded")
    assert caller.json["error"]["param"] == "target/a cost per day"
    await counter.settled()
    assert await counter.store.held() == 0


async def test_a_targets_own_accounts_are_settled() -> None:
    """Each target is booked with what its own attempts took."""
    counter = Counter(count=2, target=PRICE + '\nbudget = [{ limit = "1.00", window = "day" }]')
    counter["a"].say(b"", status=500)
    await counter.ask()
    await counter.settled()
    spent = [await counter.spent("day", f"target/{name}") for name in "ab"]
    assert (spent, await counter.store.held()) == ([0, COST], 0)


async def test_spending_of_earlier_attempts_counts() -> None:
    """What a first attempt may have cost is not there for the second one."""
    times = 'timeouts = { first_token = "1s", stall = "5s" }'
    price = 'price = { input = "100", output = "1000" }'
    counter = Counter(key(budget("0.02")), 2, target=price, pool=times)
    counter["a"].say(3.0)
    seen: list[int] = []

    async def look() -> None:
        seen.append(await counter.spent())

    counter["b"].before = look
    assert (await counter.ask()).status == 200
    await counter.settled()
    first, second = await counter.ledger()
    assert first.charged
    assert seen[0] >= first.charged + ESTIMATE
    assert await counter.spent() == first.charged + (second.charged or 0)


async def test_at_budget_the_cheapest_go_first() -> None:
    """Once so much of a budget is used, the order is by price, with the alternates for "budget"."""
    counter = Counter(
        key(budget("0.20")),
        target=DEARER,
        pool='alternates = [{ target = "z", for = ["budget"] }]\nat_budget = { "0.5" = "cheapest" }',
        tables=with_target("z", PRICE),
    )
    served: list[bytes] = []
    for _ in range(6):
        served.append((await counter.ask()).headers[b"x-standby-target"])
        await counter.settled()
    assert served == [b"a"] * 5 + [b"z"]


async def test_observing_clears_every_target() -> None:
    """What would have been passed over is asked, and it is said."""
    counter = Counter(
        key(budget("0.02"), limits=Limits()),
        target=PRICE + "\nlimits = { concurrent = 1, requests_per_minute = 1 }",
        tables='[budget]\nmode = "observe"',
    )
    await counter.ask()
    caller = await counter.ask()
    assert (caller.status, caller.headers[b"x-standby-target"]) == (200, b"a")
    assert caller.headers[b"x-standby-would-refuse"] == b"target/a requests_per_minute"
