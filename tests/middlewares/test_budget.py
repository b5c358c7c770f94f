"""Budget: what is held, what is refused with which error, and what is booked."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from standby.proxy.config import Limits, parse_routes
from standby.proxy.errors import ConfigError

from tests.middlewares.budget_gateway import COST, ESTIMATE, PRICE, BudgetGateway, answer, budget, key
from tests.proxy.harness import ASK, ask, scripted, virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio


async def test_a_request_is_booked_at_what_it_cost() -> None:
    """Nothing stays held, and the ledger has an entry for the attempt with the right key."""
    budgeted = BudgetGateway(key(budget(), team=[budget("1.00")]))
    assert (await budgeted.ask()).status == 200
    await budgeted.settled()
    assert await budgeted.spent() == await budgeted.spent(scope="team/search") == COST
    assert await budgeted.store.held() == 0
    (entry,) = await budgeted.ledger()
    assert (entry.team, entry.key, entry.pool, entry.target) == ("search", "checkout", "support", "a")
    assert (entry.cost, entry.charged, entry.source, entry.outcome) == (COST, COST, "provider", "served")
    assert (entry.input, entry.output, entry.model, entry.attempt) == (7, 4, "model-a", 1)


async def test_what_may_be_spent_is_held_while_a_request_is_under_way() -> None:
    """Of fifty parallel requests exactly the five that fit by their estimates are accepted."""
    budgeted = BudgetGateway(key(budget()))
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    budgeted["a"].before = wait
    tasks = [asyncio.create_task(budgeted.ask()) for _ in range(50)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert (await budgeted.store.held(), await budgeted.spent()) == (5, 5 * ESTIMATE)
    gate.set()
    statuses = [caller.status for caller in await asyncio.gather(*tasks)]
    await budgeted.settled()
    assert (statuses.count(200), statuses.count(402)) == (5, 45)
    assert (budgeted.asked, await budgeted.spent(), await budgeted.store.held()) == ({"a": 5}, 5 * COST, 0)


async def test_money_that_is_used_up() -> None:
    """A used-up budget is 402, with its scope and window, and the time until the window ends."""
    budgeted = BudgetGateway(key(budget(), team=[budget("0.009", "day")]))
    caller = await budgeted.ask()
    assert (caller.status, budgeted.asked) == (402, {"a": 0})
    error = caller.json["error"]
    assert (error["code"], error["type"]) == ("budget_exceeded", "insufficient_quota")
    assert error["param"] == "team/search cost per day"
    assert caller.headers[b"x-standby-limit"] == b"team/search cost per day"
    assert caller.headers[b"x-should-retry"] == b"false"
    assert 1 <= int(caller.headers[b"retry-after"]) <= 86_400
    await budgeted.settled()
    assert (await budgeted.spent(), await budgeted.ledger(), await budgeted.store.held()) == (0, [], 0)


async def test_a_rolling_window_does_not_say_when() -> None:
    """A rolling window has no Retry-After, because it becomes free gradually."""
    budgeted = BudgetGateway(key(budget("0.009", rolling=True)))
    caller = await budgeted.ask()
    assert (caller.status, b"retry-after" in caller.headers) == (402, False)
    assert caller.json["error"]["param"] == "key/checkout cost per rolling month"


async def test_a_rate_that_is_used_up() -> None:
    """A used-up rate is 429, which SDKs retry, with Retry-After."""
    budgeted = BudgetGateway(key(limits=Limits(requests_per_minute=2)))
    statuses = [(await budgeted.ask()).status for _ in range(2)]
    caller = await budgeted.ask()
    assert (statuses, caller.status) == ([200, 200], 429)
    assert (caller.json["error"]["code"], caller.json["error"]["type"]) == (
        "rate_limited",
        "rate_limit_error",
    )
    assert caller.headers[b"x-standby-limit"] == b"key/checkout requests_per_minute"
    assert b"x-should-retry" not in caller.headers
    assert 1 <= int(caller.headers[b"retry-after"]) <= 30


async def test_a_request_larger_than_its_rate() -> None:
    """A request that never fits is refused as too large for that limit, with no time to come back."""
    budgeted = BudgetGateway(key(limits=Limits(tokens_per_minute=5)))
    caller = await budgeted.ask()
    assert (caller.status, b"retry-after" in caller.headers) == (413, False)
    assert caller.json["error"]["code"] == "too_large_for_limit"
    assert "key/checkout tokens_per_minute allows 5, and it may take" in caller.json["error"]["message"]
    assert caller.headers[b"x-should-retry"] == b"false"


async def test_a_request_larger_than_a_target_s_rate() -> None:
    """A target whose rate it never fits is passed over, and if all are, the caller is told the same."""
    budgeted = BudgetGateway(key(), target=f"{PRICE}\nlimits = {{ tokens_per_minute = 5 }}")
    caller = await budgeted.ask()
    assert (caller.status, caller.json["error"]["code"]) == (413, "too_large_for_limit")
    assert caller.json["error"]["attempts"] == [{"target": "a", "fault": "limit.too_large"}]


async def test_counting_tokens_is_no_message() -> None:
    """Vendors limit `count_tokens` apart, so it takes nothing from a rate of messages."""
    budgeted = BudgetGateway(key(limits=Limits(requests_per_minute=1)), dialect="anthropic")
    path = "/v1/messages/count_tokens"
    budgeted["a"].say(b'{"input_tokens": 7}', headers=((b"content-type", b"application/json"),))
    for _ in range(3):
        scope = {**budgeted.scope(), "path": path, "raw_path": path.encode()}
        caller = await ask(budgeted.gateway, {"model": "support", "messages": ASK["messages"]}, scope)
        assert caller.status == 200


async def test_requests_under_way() -> None:
    """The number of parallel requests is limited, and a request that ends makes room for the next."""
    budgeted = BudgetGateway(key(limits=Limits(concurrent=1)))
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    budgeted["a"].before = wait
    first = asyncio.create_task(budgeted.ask())
    await asyncio.sleep(0.1)
    second = await budgeted.ask()
    assert (second.status, second.headers[b"retry-after"]) == (429, b"1")
    assert second.headers[b"x-standby-limit"] == b"key/checkout concurrent"
    gate.set()
    assert (await first).status == 200
    assert (await budgeted.ask()).status == 200


async def test_tokens_and_requests_are_units_too() -> None:
    """Each budget counts its own unit, as reported by the provider."""
    windows = [
        budget("1000", "day", unit) for unit in ("requests", "tokens", "input_tokens", "output_tokens")
    ]
    budgeted = BudgetGateway(key(*windows))
    await budgeted.ask()
    await budgeted.settled()
    spent = [await budgeted.spent("day", unit=window.unit) for window in windows]
    assert spent == [1, 11, 7, 4]


async def test_a_rate_of_tokens_is_corrected() -> None:
    """The unused part of the hold is returned to the rate."""
    budgeted = BudgetGateway(key(limits=Limits(tokens_per_minute=100)))
    statuses = [(await budgeted.ask()).status for _ in range(5)]
    assert statuses == [200] * 5


async def test_a_budget_of_the_pool() -> None:
    """The budget of a pool applies to every caller, also without a principal."""
    budgeted = BudgetGateway(pool='budget = [{ limit = "0.015", window = "month" }]')
    statuses: list[int] = []
    for _ in range(4):
        statuses.append((await budgeted.ask()).status)
        await budgeted.settled()
    assert statuses == [200, 200, 402, 402]
    assert await budgeted.spent(scope="pool/support") == 2 * COST


async def test_a_caller_without_limits_is_in_the_ledger() -> None:
    """Without limits nothing is held, but the cost is in the ledger."""
    budgeted = BudgetGateway()
    await budgeted.ask()
    await budgeted.settled()
    assert [call for call, _ in budgeted.store.calls] == ["settle"]
    assert [entry.cost for entry in await budgeted.ledger()] == [COST]


async def test_the_main_path_asks_the_store_twice() -> None:
    """A request with one attempt needs one hold and one settlement."""
    budgeted = BudgetGateway(key(budget()))
    await budgeted.ask()
    await budgeted.settled()
    assert [call for call, _ in budgeted.store.calls] == ["hold", "settle"]


async def test_what_counts_can_be_what_was_served() -> None:
    """With `charge = "served"` a failed attempt is not charged to the caller."""
    budgeted = BudgetGateway(key(budget()), 2, tables='[budget]\ncharge = "served"')
    budgeted["a"].say(b"", 5.0, ConnectionResetError("gone"))
    await budgeted.ask()
    await budgeted.settled()
    first, second = await budgeted.ledger()
    assert (first.charged, second.charged, second.cost) == (0, COST, COST)
    assert await budgeted.spent() == COST


async def test_observing() -> None:
    """In observe mode nothing is refused.

    A header has the limit that would have refused, and the cost is booked.
    """
    budgeted = BudgetGateway(key(budget("0.005")), tables='[budget]\nmode = "observe"')
    caller = await budgeted.ask()
    assert (caller.status, caller.headers[b"x-standby-would-refuse"]) == (200, b"key/checkout cost per month")
    await budgeted.settled()
    assert (await budgeted.spent(), await budgeted.store.held()) == (COST, 0)


async def test_observing_what_is_allowed() -> None:
    """In observe mode an allowed request has no such header."""
    budgeted = BudgetGateway(key(budget()), tables='[budget]\nmode = "observe"')
    assert b"x-standby-would-refuse" not in (await budgeted.ask()).headers


async def test_alerts(caplog: pytest.LogCaptureFixture) -> None:
    """Each share is logged once when it is passed, in the log for alerts."""
    budgeted = BudgetGateway(key(budget("0.02", alert_at=(0.5, 1.0))))
    with caplog.at_level(logging.WARNING, "standby.alerts"):
        for _ in range(6):
            await budgeted.ask()
            await budgeted.settled()
    alerts = [record.getMessage() for record in caplog.records if record.name == "standby.alerts"]
    assert alerts == [
        "key/checkout cost per month: 50 % of it is spent or held",
        "key/checkout cost per month: refuses requests",
    ]


async def test_a_reload_raises_no_alert_again(caplog: pytest.LogCaptureFixture) -> None:
    """A share that was logged is not logged again after a reload."""
    budgeted = BudgetGateway(key(budget("0.02", alert_at=(0.5,))))
    with caplog.at_level(logging.WARNING, "standby.alerts"):
        for _ in range(4):
            await budgeted.ask()
            await budgeted.settled()
            await budgeted.gateway.reload(parse_routes(budgeted.gateway.routes.source))
            await budgeted.settled()
    assert [record.name for record in caplog.records].count("standby.alerts") == 1


async def test_a_reload_gives_no_other_allowance() -> None:
    """A reload during an outage of the store does not renew the outage allowance."""
    budgeted = BudgetGateway(key(budget("1.00")), tables='[budget]\non_store_error = "0.015"')
    budgeted.store.down = True
    statuses: list[int] = []
    for _ in range(3):
        statuses.append((await budgeted.ask()).status)
        await budgeted.gateway.reload(parse_routes(budgeted.gateway.routes.source))
    assert [status == 200 for status in statuses] == [True, True, False]
    budgeted.store.down = False
    await budgeted.gateway.aclose()


async def test_a_model_that_has_no_price(caplog: pytest.LogCaptureFixture) -> None:
    """A model without a price is charged at the held amount, with an alert."""
    budgeted = BudgetGateway(key(budget()))
    budgeted["a"].say(*[each.replace(b"model-a", b"surprise") for each in answer("a")])
    await budgeted.ask()
    await budgeted.settled()
    assert await budgeted.spent() == ESTIMATE
    (entry,) = await budgeted.ledger()
    assert (entry.source, entry.cost, entry.charged, entry.model) == ("unpriced", None, ESTIMATE, "surprise")
    assert "a answered with a model or service tier that has no price" in caplog.text


async def test_the_cap_of_a_pool_is_said_to_the_provider() -> None:
    """The pool's `max_output` is held and forwarded if the caller has no limit, and a higher one is
    refused."""
    budgeted = BudgetGateway(key(budget()), pool="max_output = 8")
    assert (await budgeted.ask(max_tokens=None)).status == 200
    assert json.loads(budgeted["a"].bodies[0])["max_completion_tokens"] == 8
    caller = await budgeted.ask(max_tokens=9)
    assert (caller.status, caller.json["error"]["code"]) == (400, "invalid_value")
    await budgeted.settled()
    assert await budgeted.store.held() == 0


async def test_output_that_nobody_limits() -> None:
    """Without an output limit the hold uses `assume_output`."""
    budgeted = BudgetGateway(key(budget("0.02")), tables="[budget]\nassume_output = 21")
    assert (await budgeted.ask(max_tokens=None)).status == 402
    budgeted = BudgetGateway(key(budget("0.02")), tables="[budget]\nassume_output = 20")
    assert (await budgeted.ask(max_tokens=None)).status == 200


async def test_what_asks_no_provider() -> None:
    """The list of models is neither held for nor counted."""
    budgeted = BudgetGateway(key(limits=Limits(requests_per_minute=1)))
    for _ in range(3):
        scope = {**budgeted.scope(), "path": "/v1/models", "raw_path": b"/v1/models", "method": "GET"}
        scope["headers"] = [(b"host", b"standby.test")]
        assert (await budgeted.ask_raw(scope)).status == 200
    assert budgeted.store.calls == []


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ('mode = "warn"', "mode"),
        ("on_store_error = 5", "money is text"),
        ('on_store_error = "allow"', "on_store_error"),
        ("assume_output = 0", "assume_output"),
        ('charge = "none"', "charge"),
        ('store = "memory:"', "unknown key"),
    ],
)
def test_settings(table: str, what: str) -> None:
    """Invalid settings are a ConfigError at the start."""
    with pytest.raises(ConfigError, match=what):
        BudgetGateway(tables=f"[budget]\n{table}")


async def test_in_anthropics_dialect() -> None:
    """The refusal has the format of Anthropic's dialect."""
    budgeted = BudgetGateway(key(budget("0.005")), dialect="anthropic")
    caller = await budgeted.ask_anthropic()
    assert (caller.status, caller.json["error"]["type"]) == (402, "billing_error")
    assert caller.json["error"]["param"] == "key/checkout cost per month"


async def test_escrow() -> None:
    """With escrow the same is booked with fewer calls to the store, and closing returns the rest."""
    budgeted = BudgetGateway(key(budget("10.00")), tables="[budget]\nescrow = true")
    for _ in range(20):
        assert (await budgeted.ask()).status == 200
        await budgeted.settled()
    assert [call for call, _ in budgeted.store.calls].count("hold") == 2
    await budgeted.gateway.aclose()
    assert (await budgeted.spent(), await budgeted.store.held()) == (20 * COST, 0)


async def test_closing() -> None:
    """Pending settlements are sent before the store is closed, and a later request opens it again."""
    budgeted = BudgetGateway(key(budget()))
    await budgeted.ask()
    await budgeted.gateway.aclose()
    assert (budgeted.store.calls[-1][0], budgeted.store.closed, await budgeted.spent()) == ("settle", 1, COST)
    budgeted.scripts = scripted(budgeted.gateway)
    budgeted.say("a")
    assert (await budgeted.ask()).status == 200
    await budgeted.gateway.aclose()
    assert await budgeted.spent() == 2 * COST
