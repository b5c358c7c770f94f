"""However a request ends, nothing stays held, and its cost is booked once."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import httpx2
import pytest
from standby.proxy.classify.faults import Rejection
from standby.proxy.errors import Interrupted
from standby.proxy.exchange import Attempt, Exchange

from tests.middlewares.budget_gateway import (
    COST,
    ESTIMATE,
    BudgetGateway,
    answer,
    budget,
    key,
    model_event,
    usage,
)
from tests.proxy.harness import ASK, Caller, ask, virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

TIMES: Final = 'timeouts = { connect = "1s", first_token = "2s", stall = "3s", total = "10s" }'


def counted(count: int = 1, **settings: str) -> BudgetGateway:
    """Returns a gateway for a principal with a budget."""
    return BudgetGateway(key(budget()), count, pool=TIMES, **settings)


async def outcomes(budgeted: BudgetGateway) -> list[tuple[str, str | None, str, int | None]]:
    """Returns outcome, fault, source and charge of each ledger entry, and checks that nothing is held."""
    await budgeted.settled()
    assert await budgeted.store.held() == 0
    assert [call for call, _ in budgeted.store.calls].count("settle") == 1
    ledger = await budgeted.ledger()
    assert await budgeted.spent() == sum(entry.charged or 0 for entry in ledger)
    return [(entry.outcome, entry.fault, entry.source, entry.charged) for entry in ledger]


async def test_success() -> None:
    """A successful answer costs what its provider reports."""
    budgeted = counted()
    assert (await budgeted.ask()).status == 200
    assert await outcomes(budgeted) == [("served", None, "provider", COST)]


async def test_an_answer_that_is_not_streamed() -> None:
    """The usage of a document is in its body."""
    budgeted = counted()
    body = {
        "model": "model-a",
        "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 4},
    }
    budgeted["a"].say(json.dumps(body).encode(), headers=[(b"content-type", b"application/json")])
    assert (await budgeted.ask(stream=False)).status == 200
    assert await outcomes(budgeted) == [("served", None, "provider", COST)]


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
async def test_a_providers_error(status: int) -> None:
    """A provider's error before any output costs nothing, and is in the ledger."""
    budgeted = counted()
    budgeted["a"].say(b'{"error": {"message": "No."}}', status=status)
    assert (await budgeted.ask()).status >= 400
    ((outcome, fault, _, charged),) = await outcomes(budgeted)
    assert (outcome, charged, fault is None) == ("failed", 0, False)


async def test_no_connection() -> None:
    """Without a connection nothing is charged."""
    budgeted = counted()

    async def fails() -> None:
        raise httpx2.ConnectError("refused")

    budgeted["a"].before = fails
    assert (await budgeted.ask()).status == 503
    ((outcome, fault, _, charged),) = await outcomes(budgeted)
    assert (outcome, fault, charged) == ("failed", "connect", 0)


async def test_failover() -> None:
    """The ledger has an entry for each attempt at its target's price, and the sum is booked."""
    budgeted = counted(2)
    budgeted["a"].say(b"", status=503)
    assert (await budgeted.ask()).status == 200
    assert await outcomes(budgeted) == [
        ("failed", "overloaded", "provider", 0),
        ("served", None, "provider", COST),
    ]
    assert [entry.target for entry in await budgeted.ledger()] == ["a", "b"]


async def test_everybody_fails() -> None:
    """All failed attempts are in the ledger."""
    budgeted = counted(2)
    for name in "ab":
        budgeted[name].say(b"", status=500)
    assert (await budgeted.ask()).status == 502
    assert [each[0] for each in await outcomes(budgeted)] == ["failed", "failed"]


async def test_a_timeout() -> None:
    """After a timeout the estimated cost is charged, because the provider may have worked on the request."""
    budgeted = BudgetGateway(key(budget()), pool=TIMES, target='price = { input = "1000", output = "0" }')
    budgeted["a"].say(5.0)
    assert (await budgeted.ask()).status == 504
    ((outcome, fault, source, charged),) = await outcomes(budgeted)
    assert (outcome, fault, source) == ("failed", "timeout_first_byte", "estimated")
    assert charged
    assert charged > 0


async def test_a_stream_that_breaks() -> None:
    """The part of a broken stream that was sent is charged."""
    budgeted = counted()
    budgeted["a"].say(model_event("a", delta={"content": "Hello"}), httpx2.ReadError("gone"))
    assert (await budgeted.ask()).status == 200
    ((outcome, fault, source, charged),) = await outcomes(budgeted)
    assert (outcome, fault, source) == ("truncated", "stream_truncated", "estimated")
    assert charged
    assert 0 < charged < ESTIMATE


async def test_a_body_that_breaks() -> None:
    """A response that ends with a cut connection is settled."""
    budgeted = counted()
    head = [(b"content-type", b"application/json"), (b"content-length", b"100000")]
    begun = b'{"model": "model-a", "choices": [{"index": 0, "message": {"content": "' + b"x" * 70_000
    budgeted["a"].say(begun, b"y" * 1000, httpx2.ReadError("gone"), headers=head)
    with pytest.raises(Interrupted):
        await budgeted.ask(stream=False)
    ((outcome, _, source, charged),) = await outcomes(budgeted)
    assert (outcome, source) == ("truncated", "estimated")
    assert charged


async def test_a_client_that_hangs_up() -> None:
    """The upstream call is closed at once, and the output until then is charged."""
    budgeted = counted()
    budgeted["a"].say(model_event("a", delta={"content": "Hello"}), 5.0, *answer("a"))
    caller = Caller(json.dumps({**ASK, "max_tokens": 10}).encode())
    scope = budgeted.scope()
    task = asyncio.create_task(budgeted.gateway(scope, caller.receive, caller.send))
    await caller.until(lambda: len(caller.messages) > 1)
    await asyncio.sleep(1.5)
    caller.leave()
    await task
    ((outcome, _, source, charged),) = await outcomes(budgeted)
    assert (outcome, source) == ("client_gone", "estimated")
    assert charged


async def test_a_client_that_hangs_up_before_it_has_asked() -> None:
    """Nothing is held for an incomplete request."""
    budgeted = counted()
    caller = Caller(b"{")
    caller.leave()
    caller.chunks = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    await budgeted.gateway(budgeted.scope(), receive, caller.send)
    await budgeted.settled()
    assert budgeted.store.calls == []


async def test_usage_that_came_before_the_client_left() -> None:
    """The usage that the provider reported is used."""
    budgeted = counted()
    budgeted["a"].say(
        model_event("a", delta={"content": "x"}), model_event("a", finish_reason="stop"), usage(4), 20.0
    )
    await budgeted.ask()
    ((_, _, source, charged),) = await outcomes(budgeted)
    assert (source, charged) == ("provider", COST)


async def test_a_refusal_of_an_inner_layer() -> None:
    """If a clearance refuses the target, nothing is sent or charged, and there is no attempt."""
    budgeted = counted()

    async def refuses(exchange: Exchange, attempt: Attempt) -> Rejection | None:
        return Rejection("policy.residency")

    scope = budgeted.scope()
    Exchange.of(scope).clearances.append(refuses)
    caller = await ask(budgeted.gateway, {**ASK, "max_tokens": 10}, scope)
    assert (caller.status, caller.json["error"]["code"]) == (503, "policy_no_eligible_target")
    assert await outcomes(budgeted) == []
    assert budgeted.asked == {"a": 0}


async def test_an_exception() -> None:
    """After an exception the hold is settled."""
    budgeted = counted()

    async def fails() -> None:
        raise RuntimeError("a fault of ours")

    budgeted["a"].before = fails
    with pytest.raises(RuntimeError):
        await budgeted.ask()
    ((outcome, *_),) = await outcomes(budgeted)
    assert outcome == "failed"


@pytest.mark.parametrize("turns", range(12))
async def test_cancellation(turns: int) -> None:
    """A request that is cancelled at any moment is settled once."""
    budgeted = counted()
    budgeted["a"].say(model_event("a", delta={"content": "Hello"}), 1.0, *answer("a"))
    task = asyncio.create_task(budgeted.ask())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await budgeted.settled()
    assert await budgeted.store.held() == 0
    assert [call for call, _ in budgeted.store.calls].count("settle") <= 1
    assert await budgeted.spent() == sum(entry.charged or 0 for entry in await budgeted.ledger())


async def test_cancellation_while_the_store_is_asked() -> None:
    """A hold that was cancelled during its call is settled, because the store may have taken it."""
    budgeted = counted()
    budgeted.store.slow = 1.0
    task = asyncio.create_task(budgeted.ask())
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(5.0)
    assert [call for call, _ in budgeted.store.calls] == ["hold", "settle"]
    assert (await budgeted.store.held(), await budgeted.spent()) == (0, 0)


async def test_bad_requests_are_not_held_for() -> None:
    """An invalid request causes no call to the store."""
    budgeted = counted()
    assert (await budgeted.ask(model="nobody")).status == 404
    assert (await budgeted.ask(messages=[])).status == 400
    assert budgeted.store.calls == []
