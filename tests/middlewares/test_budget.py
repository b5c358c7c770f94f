"""Budget: what is held, what is refused and in which words, and what is booked."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from standby.proxy.config import Limits, parse_routes
from standby.proxy.errors import ConfigError

from tests.middlewares.purses import COST, ESTIMATE, Counter, answer, budget, key
from tests.proxy.harness import scripted, virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio


async def test_a_request_is_booked_at_what_it_cost() -> None:
    """Nothing stays held, and the ledger has a line for the attempt, on the right key."""
    counter = Counter(key(budget(), team=[budget("1.00")]))
    assert (await counter.ask()).status == 200
    await counter.settled()
    assert await counter.spent() == await counter.spent(scope="team/search") == COST
    assert await counter.store.held() == 0
    (entry,) = await counter.ledger()
    assert (entry.team, entry.key, entry.pool, entry.target) == ("search", "checkout", "support", "a")
    assert (entry.cost, entry.charged, entry.source, entry.outcome) == (COST, COST, "provider", "served")
    assert (entry.input, entry.output, entry.model, entry.attempt) == (7, 4, "model-a", 1)


async def test_what_may_be_spent_is_held_while_a_request_is_under_way() -> None:
    """Fifty at once, and room for five by their estimates: exactly five are let in."""
    counter = Counter(key(budget()))
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    counter["a"].before = wait
    tasks = [asyncio.create_task(counter.ask()) for _ in range(50)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert (await counter.store.held(), await counter.spent()) == (5, 5 * ESTIMATE)
    gate.set()
    statuses = [caller.status for caller in await asyncio.gather(*tasks)]
    await counter.settled()
    assert (statuses.count(200), statuses.count(402)) == (5, 45)
    assert (counter.asked, await counter.spent(), await counter.store.held()) == ({"a": 5}, 5 * COST, 0)


async def test_money_that_is_used_up() -> None:
    """402, which no client repeats: with the scope and the window that refuse, and when the window ends."""
    counter = Counter(key(budget(), team=[budget("0.009", "day")]))
    caller = await counter.ask()
    assert (caller.status, counter.asked) == (402, {"a": 0})
    error = caller.json["error"]
    assert (error["code"], error["type"]) == ("budget_exceeded", "insufficient_quota")
    assert error["param"] == "team/search cost per day"
    assert caller.headers[b"x-standby-limit"] == b"team/search cost per day"
    assert caller.headers[b"x-should-retry"] == b"false"
    assert 1 <= int(caller.headers[b"retry-after"]) <= 86_400
    await counter.settled()
    assert (await counter.spent(), await counter.ledger(), await counter.store.held()) == (0, [], 0)


async def test_a_rolling_window_does_not_say_when() -> None:
    """It gets free bit by bit, so that no time would be the right one."""
    counter = Counter(key(budget("0.009", rolling=True)))
    caller = await counter.ask()
    assert (caller.status, b"retry-after" in caller.headers) == (402, False)
    assert caller.json["error"]["param"] == "key/checkout cost per rolling month"


async def test_a_rate_that_is_used_up() -> None:
    """429, which clients repeat by themselves, and after how long."""
    counter = Counter(key(limits=Limits(requests_per_minute=2)))
    statuses = [(await counter.ask()).status for _ in range(2)]
    caller = await counter.ask()
    assert (statuses, caller.status) == ([200, 200], 429)
    assert (caller.json["error"]["code"], caller.json["error"]["type"]) == (
        "rate_limited",
        "rate_limit_error",
    )
    assert caller.headers[b"x-standby-limit"] == b"key/checkout requests_per_minute"
    assert b"x-should-retry" not in caller.headers
    assert 1 <= int(caller.headers[b"retry-after"]) <= 30


async def test_a_request_larger_than_its_rate() -> None:
    """It would never fit, so that nobody is told to wait."""
    counter = Counter(key(limits=Limits(tokens_per_minute=5)))
    caller = await counter.ask()
    assert (caller.status, b"retry-after" in caller.headers) == (429, False)
    assert caller.headers[b"x-should-retry"] == b"false"


async def test_requests_under_way() -> None:
    """As many as are allowed at once; one that ends makes room for the next."""
    counter = Counter(key(limits=Limits(concurrent=1)))
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    counter["a"].before = wait
    first = asyncio.create_task(counter.ask())
    await asyncio.sleep(0.1)
    second = await counter.ask()
    assert (second.status, second.headers[b"retry-after"]) == (429, b"1")
    assert second.headers[b"x-standby-limit"] == b"key/checkout concurrent"
    gate.set()
    assert (await first).status == 200
    assert (await counter.ask()).status == 200


async def test_tokens_and_requests_are_units_too() -> None:
    """Each budget counts its own unit, of what the provider said."""
    windows = [
        budget("1000", "day", unit) for unit in ("requests", "tokens", "input_tokens", "output_tokens")
    ]
    counter = Counter(key(*windows))
    await counter.ask()
    await counter.settled()
    spent = [await counter.spent("day", unit=window.unit) for window in windows]
    assert spent == [1, 11, 7, 4]


async def test_a_rate_of_tokens_is_corrected() -> None:
    """What was held too much of it is given back: the next request finds room."""
    counter = Counter(key(limits=Limits(tokens_per_minute=100)))
    statuses = [(await counter.ask()).status for _ in range(5)]
    assert statuses == [200] * 5


async def test_a_budget_of_the_pool() -> None:
    """It counts for whoever asks, also without a caller."""
    counter = Counter(pool='budget = [{ limit = "0.015", window = "month" }]')
    statuses: list[int] = []
    for _ in range(4):
        statuses.append((await counter.ask()).status)
        await counter.settled()
    assert statuses == [200, 200, 402, 402]
    assert await counter.spent(scope="pool/support") == 2 * COST


async def test_a_caller_without_limits_is_in_the_ledger() -> None:
    """Nothing is held where nothing is limited; what it cost is written all the same."""
    counter = Counter()
    await counter.ask()
    await counter.settled()
    assert [call for call, _ in counter.store.calls] == ["settle"]
    assert [entry.cost for entry in await counter.ledger()] == [COST]


async def test_the_main_path_asks_the_store_twice() -> None:
    """One hold, one settlement: the attempt at the only target needs nothing besides."""
    counter = Counter(key(budget()))
    await counter.ask()
    await counter.settled()
    assert [call for call, _ in counter.store.calls] == ["hold", "settle"]


async def test_what_counts_can_be_what_was_served() -> None:
    """With `charge = "served"` an attempt that failed costs the provider's money and not the caller's."""
    counter = Counter(key(budget()), 2, tables='[budget]\ncharge = "served"')
    counter["a"].say(b"", 5.0, ConnectionResetError("gone"))
    await counter.ask()
    await counter.settled()
    first, second = await counter.ledger()
    assert (first.charged, second.charged, second.cost) == (0, COST, COST)
    assert await counter.spent() == COST


async def test_observing() -> None:
    """Nothing is refused; the log and a header say what would have been, and everything is booked."""
    counter = Counter(key(budget("0.005")), tables='[budget]\nmode = "observe"')
    caller = await counter.ask()
    assert (caller.status, caller.headers[b"x-standby-would-refuse"]) == (200, b"key/checkout cost per month")
    await counter.settled()
    assert (await counter.spent(), await counter.store.held()) == (COST, 0)


async def test_observing_what_is_allowed() -> None:
    """Nothing is said of it."""
    counter = Counter(key(budget()), tables='[budget]\nmode = "observe"')
    assert b"x-standby-would-refuse" not in (await counter.ask()).headers


async def test_alerts(caplog: pytest.LogCaptureFixture) -> None:
    """Once for each share that is passed, by the one log that is for this."""
    counter = Counter(key(budget("0.02", alert_at=(0.5, 1.0))))
    with caplog.at_level(logging.WARNING, "standby.alerts"):
        for _ in range(6):
            await counter.ask()
            await counter.settled()
    told = [record.getMessage() for record in caplog.records if record.name == "standby.alerts"]
    assert told == [
        "key/checkout cost per month: 50 % of it is spent or held",
        "key/checkout cost per month: refuses requests",
    ]


async def test_a_reload_raises_no_alert_again(caplog: pytest.LogCaptureFixture) -> None:
    """A share that was told is told, whichever configuration is in force."""
    counter = Counter(key(budget("0.02", alert_at=(0.5,))))
    with caplog.at_level(logging.WARNING, "standby.alerts"):
        for _ in range(4):
            await counter.ask()
            await counter.settled()
            await counter.gateway.reload(parse_routes(counter.gateway.routes.source))
            await counter.settled()
    assert [record.name for record in caplog.records].count("standby.alerts") == 1


async def test_a_reload_gives_no_other_allowance() -> None:
    """What may be let through during an outage of the store is not given twice in one."""
    counter = Counter(key(budget("1.00")), tables='[budget]\non_store_error = "0.015"')
    counter.store.down = True
    statuses: list[int] = []
    for _ in range(3):
        statuses.append((await counter.ask()).status)
        await counter.gateway.reload(parse_routes(counter.gateway.routes.source))
    assert [status == 200 for status in statuses] == [True, True, False]
    counter.store.down = False
    await counter.gateway.aclose()


async def test_a_model_that_has_no_price(caplog: pytest.LogCaptureFixture) -> None:
    """It is booked at what was held, never as nothing, and raises an alert."""
    counter = Counter(key(budget()))
    counter["a"].say(*[each.replace(b"model-a", b"surprise") for each in answer("a")])
    await counter.ask()
    await counter.settled()
    assert await counter.spent() == ESTIMATE
    (entry,) = await counter.ledger()
    assert (entry.source, entry.cost, entry.charged, entry.model) == ("unpriced", None, ESTIMATE, "surprise")
    assert "a answered with a model that has no price" in caplog.text


async def test_the_cap_of_a_pool_is_said_to_the_provider() -> None:
    """Its `max_output` is held and forwarded where the caller has none; more than that is refused."""
    counter = Counter(key(budget()), pool="max_output = 8")
    assert (await counter.ask(max_tokens=None)).status == 200
    assert json.loads(counter["a"].bodies[0])["max_completion_tokens"] == 8
    caller = await counter.ask(max_tokens=9)
    assert (caller.status, caller.json["error"]["code"]) == (400, "invalid_value")
    await counter.settled()
    assert await counter.store.held() == 0


async def test_output_that_nobody_limits() -> None:
    """As much is held as `assume_output` says."""
    counter = Counter(key(budget("0.02")), tables="[budget]\nassume_output = 21")
    assert (await counter.ask(max_tokens=None)).status == 402
    counter = Counter(key(budget("0.02")), tables="[budget]\nassume_output = 20")
    assert (await counter.ask(max_tokens=None)).status == 200


async def test_what_asks_no_provider() -> None:
    """The list of models is neither held for nor counted."""
    counter = Counter(key(limits=Limits(requests_per_minute=1)))
    for _ in range(3):
        scope = {**counter.scope(), "path": "/v1/models", "raw_path": b"/v1/models", "method": "GET"}
        scope["headers"] = [(b"host", b"standby.test")]
        assert (await counter.ask_raw(scope)).status == 200
    assert counter.store.calls == []


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
    """What cannot be meant stops the start."""
    with pytest.raises(ConfigError, match=what):
        Counter(tables=f"[budget]\n{table}")


async def test_in_anthropics_dialect() -> None:
    """The same refusal, as its SDK reads it."""
    counter = Counter(key(budget("0.005")), dialect="anthropic")
    caller = await counter.ask_anthropic()
    assert (caller.status, caller.json["error"]["type"]) == (402, "billing_error")
    assert caller.json["error"]["param"] == "key/checkout cost per month"


async def test_escrow() -> None:
    """With escrow the same is booked, with fewer questions to the store; closing returns what is left."""
    counter = Counter(key(budget("10.00")), tables="[budget]\nescrow = true")
    for _ in range(20):
        assert (await counter.ask()).status == 200
        await counter.settled()
    assert [call for call, _ in counter.store.calls].count("hold") == 2
    await counter.gateway.aclose()
    assert (await counter.spent(), await counter.store.held()) == (20 * COST, 0)


async def test_closing() -> None:
    """What waits is settled before the store is closed; a later request opens it again."""
    counter = Counter(key(budget()))
    await counter.ask()
    await counter.gateway.aclose()
    assert (counter.store.calls[-1][0], counter.store.closed, await counter.spent()) == ("settle", 1, COST)
    counter.scripts = scripted(counter.gateway)
    counter.say("a")
    assert (await counter.ask()).status == 200
    await counter.gateway.aclose()
    assert await counter.spent() == 2 * COST
