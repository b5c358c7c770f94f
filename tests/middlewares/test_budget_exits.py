"""However a request ends, nothing stays held, and what it cost is booked once."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import httpx2
import pytest
from standby.proxy.classify.faults import Rejection
from standby.proxy.errors import Interrupted
from standby.proxy.exchange import Attempt, Exchange

from tests.middlewares.purses import COST, ESTIMATE, Counter, answer, budget, key, piece, usage
from tests.proxy.harness import ASK, Caller, ask, virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

TIMES: Final = 'timeouts = { connect = "1s", first_token = "2s", stall = "3s", total = "10s" }'


def counted(count: int = 1, **settings: str) -> Counter:
    """A gateway for a caller with a budget, a rate and a limit of requests under way."""
    return Counter(key(budget()), count, pool=TIMES, **settings)


async def outcomes(counter: Counter) -> list[tuple[str, str | None, str, int | None]]:
    """What the ledger says: outcome, fault, source and charge of each attempt. Nothing is held any more."""
    await counter.settled()
    assert await counter.store.held() == 0
    assert [call for call, _ in counter.store.calls].count("settle") == 1
    ledger = await counter.ledger()
    assert await counter.spent() == sum(entry.charged or 0 for entry in ledger)
    return [(entry.outcome, entry.fault, entry.source, entry.charged) for entry in ledger]


async def test_success() -> None:
    """An answer costs what its provider says."""
    counter = counted()
    assert (await counter.ask()).status == 200
    assert await outcomes(counter) == [("served", None, "provider", COST)]


async def test_an_answer_that_is_not_streamed() -> None:
    """Its usage stands in its body."""
    counter = counted()
    body = {
        "model": "model-a",
        "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 4},
    }
    counter["a"].say(json.dumps(body).encode(), headers=[(b"content-type", b"application/json")])
    assert (await counter.ask(stream=False)).status == 200
    assert await outcomes(counter) == [("served", None, "provider", COST)]


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
async def test_a_providers_error(status: int) -> None:
    """A refusal before anything was generated costs nothing, and is a line of the ledger."""
    counter = counted()
    counter["a"].say(b'{"error": {"message": "No."}}', status=status)
    assert (await counter.ask()).status >= 400
    ((outcome, fault, _, charged),) = await outcomes(counter)
    assert (outcome, charged, fault is None) == ("failed", 0, False)


async def test_no_connection() -> None:
    """Nothing was sent, and nothing is due."""
    counter = counted()

    async def fails() -> None:
        raise httpx2.ConnectError("refused")

    counter["a"].before = fails
    assert (await counter.ask()).status == 503
    ((outcome, fault, _, charged),) = await outcomes(counter)
    assert (outcome, fault, charged) == ("failed", "connect", 0)


async def test_failover() -> None:
    """One line for each attempt, priced by its own target, and the sum of them is booked."""
    counter = counted(2)
    counter["a"].say(b"", status=503)
    assert (await counter.ask()).status == 200
    assert await outcomes(counter) == [
        ("failed", "overloaded", "provider", 0),
        ("served", None, "provider", COST),
    ]
    assert [entry.target for entry in await counter.ledger()] == ["a", "b"]


async def test_everybody_fails() -> None:
    """All attempts are told of."""
    counter = counted(2)
    for name in "ab":
        counter[name].say(b"", status=500)
    assert (await counter.ask()).status == 502
    assert [each[0] for each in await outcomes(counter)] == ["failed", "failed"]


async def test_a_timeout() -> None:
    """The provider may have worked on it: what it may have cost is charged, and marked as an estimate."""
    counter = Counter(key(budget()), pool=TIMES, target='price = { input = "1000", output = "0" }')
    counter["a"].say(5.0)
    assert (await counter.ask()).status == 504
    ((outcome, fault, source, charged),) = await outcomes(counter)
    assert (outcome, fault, source) == ("failed", "timeout_first_byte", "estimated")
    assert charged
    assert charged > 0


async def test_a_stream_that_breaks() -> None:
    """What was relayed is charged."""
    counter = counted()
    counter["a"].say(piece("a", delta={"content": "Hello"}), httpx2.ReadError("gone"))
    assert (await counter.ask()).status == 200
    ((outcome, fault, source, charged),) = await outcomes(counter)
    assert (outcome, fault, source) == ("truncated", "stream_truncated", "estimated")
    assert charged
    assert 0 < charged < ESTIMATE


async def test_a_body_that_breaks() -> None:
    """An answer that only a cut connection can end is settled too."""
    counter = counted()
    head = [(b"content-type", b"application/json"), (b"content-length", b"100000")]
    begun = b'{"model": "model-a", "choices": [{"index": 0, "message": {"content": "' + b"x" * 70_000
    counter["a"].say(begun, b"y" * 1000, httpx2.ReadError("gone"), headers=head)
    with pytest.raises(Interrupted):
        await counter.ask(stream=False)
    ((outcome, _, source, charged),) = await outcomes(counter)
    assert (outcome, source) == ("truncated", "estimated")
    assert charged


async def test_a_client_that_hangs_up() -> None:
    """The provider is left at once, and what it had sent is charged."""
    counter = counted()
    counter["a"].say(piece("a", delta={"content": "Hello"}), 5.0, *answer("a"))
    caller = Caller(json.dumps({**ASK, "max_tokens": 10}).encode())
    scope = counter.scope()
    task = asyncio.create_task(counter.gateway(scope, caller.receive, caller.send))
    await caller.until(lambda: len(caller.messages) > 1)
    await asyncio.sleep(1.5)
    caller.leave()
    await task
    ((outcome, _, source, charged),) = await outcomes(counter)
    assert (outcome, source) == ("client_gone", "estimated")
    assert charged


async def test_a_client_that_hangs_up_before_it_has_asked() -> None:
    """Nothing is held for half a request."""
    counter = counted()
    caller = Caller(b"{")
    caller.leave()
    caller.chunks = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    await counter.gateway(counter.scope(), receive, caller.send)
    await counter.settled()
    assert counter.store.calls == []


async def test_usage_that_came_before_the_client_left() -> None:
    """What the provider said counts, whoever heard it."""
    counter = counted()
    counter["a"].say(piece("a", delta={"content": "x"}), piece("a", finish_reason="stop"), usage(4), 20.0)
    await counter.ask()
    ((_, _, source, charged),) = await outcomes(counter)
    assert (source, charged) == ("provider", COST)


async def test_a_refusal_of_an_inner_layer() -> None:
    """A check of ours that forbids the target: nothing was sent, nothing is due, and there is no attempt."""
    counter = counted()

    async def refuses(exchange: Exchange, attempt: Attempt) -> Rejection | None:
        return Rejection("policy.residency")

    scope = counter.scope()
    Exchange.of(scope).clearances.append(refuses)
    caller = await ask(counter.gateway, {**ASK, "max_tokens": 10}, scope)
    assert (caller.status, caller.json["error"]["code"]) == (503, "policy_no_eligible_target")
    assert await outcomes(counter) == []
    assert counter.asked == {"a": 0}


async def test_an_exception() -> None:
    """A crash inside settles what was held."""
    counter = counted()

    async def fails() -> None:
        raise RuntimeError("a fault of ours")

    counter["a"].before = fails
    with pytest.raises(RuntimeError):
        await counter.ask()
    ((outcome, *_),) = await outcomes(counter)
    assert outcome == "failed"


@pytest.mark.parametrize("turns", range(12))
async def test_cancellation(turns: int) -> None:
    """A server that gives a request up may do so at any moment; it is settled all the same, and once."""
    counter = counted()
    counter["a"].say(piece("a", delta={"content": "Hello"}), 1.0, *answer("a"))
    task = asyncio.create_task(counter.ask())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await counter.settled()
    assert await counter.store.held() == 0
    assert [call for call, _ in counter.store.calls].count("settle") <= 1
    assert await counter.spent() == sum(entry.charged or 0 for entry in await counter.ledger())


async def test_cancellation_while_the_store_is_asked() -> None:
    """The hold may have been taken, with nobody there to hear of it: it is ended."""
    counter = counted()
    counter.store.slow = 1.0
    task = asyncio.create_task(counter.ask())
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(5.0)
    assert [call for call, _ in counter.store.calls] == ["hold", "settle"]
    assert (await counter.store.held(), await counter.spent()) == (0, 0)


async def test_bad_requests_are_not_held_for() -> None:
    """What is refused for what it says never comes to the store."""
    counter = counted()
    assert (await counter.ask(model="nobody")).status == 404
    assert (await counter.ask(messages=[])).status == 400
    assert counter.store.calls == []
