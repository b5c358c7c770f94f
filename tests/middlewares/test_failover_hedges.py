"""Hedges: a second attempt in parallel with one that is late."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
from standby.proxy.classify.faults import Rejection
from standby.proxy.exchange import Attempt, Exchange
from standby.proxy.health.target_health import TRIP

from tests.middlewares.budget_gateway import COST, ESTIMATE, BudgetGateway, answer, budget, key
from tests.middlewares.scene import DONE, Scene
from tests.proxy.harness import ASK, ask, chunk, virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

AFTER: Final = 'hedge = { after = "1s", share = 0.5 }'
LONG: Final = 'timeouts = { first_token = "10s", answer = "10s", stall = "20s", total = "100s" }\n'


class Hedged(Scene):
    """A pool that hedges after a second. `warm` sends enough requests for a hedge to be within its share."""

    def __init__(self, count: int = 2, hedge: str = AFTER, **settings: str) -> None:
        super().__init__(count, pool=LONG + hedge + "\n" + settings.pop("pool", ""), **settings)
        self.on_loop_time()

    async def warm(self, requests: int = 3) -> Hedged:
        """Send this many requests, one after another, that are answered at once."""
        for _ in range(requests):
            await self.ask()
        for script in self.scripts.values():
            script.requests.clear()
            script.closed = 0
        return self


async def leftover() -> set[asyncio.Task[Any]]:
    """Returns the tasks that are left after the event loop has run a few times."""
    for _ in range(5):
        await asyncio.sleep(0)
    return asyncio.all_tasks() - {asyncio.current_task()}


async def test_off_by_default() -> None:
    """Without the setting there is no hedge."""
    scene = Scene(pool=LONG)
    scene["a"].say(5.0, chunk("slow"), DONE)
    assert (await scene.ask()).body == chunk("slow") + DONE
    assert scene.asked == {"a": 1, "b": 0}


async def test_an_attempt_in_time() -> None:
    """An attempt that starts to answer in time is not hedged, even if the rest takes long."""
    scene = await Hedged().warm()
    scene["a"].say(0.5, chunk("one"), 5.0, chunk("two"), DONE)
    assert (await scene.ask()).body == chunk("one") + chunk("two") + DONE
    assert scene.asked == {"a": 1, "b": 0}


async def test_the_second_is_served_if_it_is_first() -> None:
    """If the hedge is first the caller gets only its answer. The other attempt is closed without a fault."""
    scene = await Hedged().warm()
    scene["a"].say(chunk(role="assistant"), 9.0, chunk("slow"), DONE)
    before, began = await leftover(), asyncio.get_running_loop().time()
    caller = await scene.ask()
    assert (caller.status, caller.body) == (200, chunk("from b") + DONE)
    assert asyncio.get_running_loop().time() - began == pytest.approx(1.0)
    assert scene.attempts == [("a", "primary"), ("b", "hedge")]
    assert caller.headers[b"x-standby-target"] == b"b"
    assert caller.headers[b"x-standby-attempts"] == b"2"
    assert caller.headers[b"x-standby-degraded"] == b"hedged"
    assert scene["a"].closed == scene["b"].closed == 1
    assert await leftover() == before
    health = scene.gateway.health
    assert (scene.rejection("a"), health.busy("a"), health.busy("b")) == (None, 0, 0)


async def test_the_loser_is_released_at_once() -> None:
    """The slower attempt is closed before the first byte of the other one is sent."""
    scene = await Hedged().warm()
    scene["a"].say(9.0, chunk("slow"), DONE)
    scene["b"].say(chunk("one"), 50.0, DONE)
    caller, running = scene.begin()
    await caller.until(lambda: caller.started)
    await asyncio.sleep(0.001)
    assert (scene["a"].closed, scene["b"].closed) == (1, 0)
    assert scene.gateway.health.busy("a") == 0
    await running


async def test_the_first_is_served_if_it_is_first() -> None:
    """The late first attempt can still win, and then the answer is not degraded."""
    scene = await Hedged().warm()
    scene["a"].say(2.0, chunk("late"), DONE)
    scene["b"].say(9.0, chunk("later"), DONE)
    caller = await scene.ask()
    assert caller.body == chunk("late") + DONE
    assert b"x-standby-degraded" not in caller.headers
    assert scene.asked == {"a": 1, "b": 1}
    assert scene["b"].closed == 1


async def test_a_loser_is_never_blamed() -> None:
    """However often a target is slower than its hedge, it is not ejected."""
    scene = Hedged()
    for _ in range(TRIP + 2):
        await scene.warm(2)
        scene["a"].say(9.0, chunk("slow"), DONE)
        await scene.ask()
        assert scene.attempts[-1] == ("b", "hedge")
        scene["a"].say(chunk("from a"), DONE)
    assert scene.rejection("a") is None


@pytest.mark.parametrize(("first", "second", "served"), [(2.0, 5.0, "b"), (8.0, 1.0, "a")])
async def test_one_fails_and_the_other_goes_on(first: float, second: float, served: str) -> None:
    """If one attempt fails the other is served, and only the failed target has a fault."""
    scene = await Hedged(3).warm()
    broken = OSError("reset")
    scene["a"].say(first, *((chunk("from a"), DONE) if served == "a" else (broken,)))
    scene["b"].say(second, *((chunk("from b"), DONE) if served == "b" else (broken,)))
    caller = await scene.ask()
    assert caller.body == chunk(f"from {served}") + DONE
    assert scene.asked == {"a": 1, "b": 1, "c": 0}
    faults = {each.candidate.name: each.fault for each in scene.exchanges[-1].attempts}
    assert faults.pop(served) is None
    assert [fault.kind for fault in faults.values() if fault] == ["stream_failed"]


async def test_both_fail_and_the_walk_goes_on() -> None:
    """If both fail, the next target is tried without a hedge."""
    scene = await Hedged(3).warm()
    scene["a"].say(2.0, OSError("reset"))
    scene["b"].say(3.0, OSError("reset"))
    assert (await scene.ask()).body == chunk("from c") + DONE
    assert scene.attempts == [("a", "primary"), ("b", "hedge"), ("c", "failover")]


async def test_both_fail_within_the_limit_of_attempts() -> None:
    """A hedge counts towards `max_attempts`."""
    scene = await Hedged(3, tables="[failover]\nmax_attempts = 2").warm()
    scene["a"].say(2.0, OSError("reset"))
    scene["b"].say(3.0, OSError("reset"))
    caller = await scene.ask()
    assert (caller.status, scene.asked) == (502, {"a": 1, "b": 1, "c": 0})


async def test_nobody_to_ask() -> None:
    """Without another target or attempt, the first attempt is awaited."""
    for scene in (Hedged(1), Hedged(2, tables="[failover]\nmax_attempts = 1")):
        await scene.warm()
        scene["a"].say(5.0, chunk("slow"), DONE)
        assert (await scene.ask()).body == chunk("slow") + DONE
        assert scene.attempts == [("a", "primary")]


async def test_alternates_for_the_slow() -> None:
    """Alternates for "slow" can be hedges, others cannot."""
    other = "[targets.{0}]\nprovider = 'at-a'\nmodel = 'model-{0}'\n"
    pool = 'alternates = [{ target = "x", for = ["outage"] }, { target = "y", for = ["slow"] }]'
    scene = await Hedged(1, pool=pool, tables=other.format("x") + other.format("y")).warm()
    scene["a"].say(9.0, chunk("slow"), DONE)
    assert (await scene.ask()).body == chunk("from y") + DONE
    assert scene.attempts == [("a", "primary"), ("y", "hedge")]


async def test_its_share_of_the_requests() -> None:
    """The hedges are limited to the pool's share of its requests in ten seconds."""
    scene = await Hedged(hedge='hedge = { after = "10ms", share = 0.1 }').warm(0)
    scene["a"].say(0.02, chunk("slow"), DONE)
    for _ in range(100):
        await scene.ask()
    kinds = [each.kind for exchange in scene.exchanges for each in exchange.attempts]
    assert 5 <= kinds.count("hedge") <= 10


async def test_a_refused_target_counts_no_request_again() -> None:
    """A request whose first target is refused by a clearance is one request of the share, not two."""
    scene = await Hedged(3, hedge='hedge = { after = "10ms", share = 0.1 }').warm(0)
    scene["b"].say(0.02, chunk("slow"), DONE)

    async def refuse(exchange: Exchange, attempt: Attempt) -> Rejection | None:
        return Rejection("limit.rate") if attempt.candidate.name == "a" else None

    hedges = 0
    for _ in range(100):
        scope = scene.scope()
        scene.exchanges[-1].clearances.append(refuse)
        await ask(scene.gateway, ASK, scope)
        hedges += "hedge" in {kind for _, kind in scene.attempts}
    assert 5 <= hedges <= 10


async def test_no_hedge_while_requests_are_few() -> None:
    """With a share of one in twenty there is no hedge among the first nineteen requests."""
    scene = await Hedged(hedge='hedge = { after = "1s" }').warm(18)
    scene["a"].say(2.0, chunk("slow"), DONE)
    await scene.ask()
    assert scene.attempts == [("a", "primary")]
    await scene.ask()
    assert scene.attempts == [("a", "primary"), ("b", "hedge")]


async def test_the_p95_of_the_target_itself() -> None:
    """With "p95" an attempt is late after the target's own p95, once that is known, for streams only."""
    scene = Hedged(hedge='hedge = { after = "p95", share = 0.5 }')
    scene["a"].say(0.2, chunk("from a"), DONE)
    for _ in range(19):
        await scene.ask()
    scene["a"].say(5.0, chunk("slow"), DONE)
    await scene.ask()
    assert scene.attempts == [("a", "primary")]
    scene["a"].say(0.2, chunk("from a"), DONE)
    for _ in range(40):
        await scene.ask()
    scene["a"].say(5.0, chunk("slow"), DONE)
    began = asyncio.get_running_loop().time()
    await scene.ask()
    assert scene.attempts == [("a", "primary"), ("b", "hedge")]
    assert asyncio.get_running_loop().time() - began == pytest.approx(0.2, rel=0.1)
    whole = b'{"choices": [{"message": {"content": "slow"}}]}'
    scene["a"].say(5.0, whole, headers=((b"content-type", b"application/json"),))
    assert (await scene.ask(stream=False)).body == whole
    assert scene.attempts == [("a", "primary")]


async def test_a_whole_answer_may_be_hedged_after_a_time() -> None:
    """A fixed time applies to documents as well as streams."""
    whole = b'{"choices": [{"message": {"content": "from b"}}]}'
    scene = await Hedged().warm()
    scene["a"].say(5.0, b"{}", headers=((b"content-type", b"application/json"),))
    scene["b"].say(whole, headers=((b"content-type", b"application/json"),))
    assert (await scene.ask(stream=False)).body == whole


@pytest.mark.parametrize("leaves", [0.5, 3.0])
async def test_a_hang_up_ends_both(leaves: float) -> None:
    """A disconnect before or during a hedge ends all attempts, without a fault."""
    scene = await Hedged(3).warm()
    for name in "abc":
        scene[name].say(9.0, chunk("slow"), DONE)
    before = await leftover()
    caller, running = scene.begin()
    await asyncio.sleep(leaves)
    caller.leave()
    await running
    assert scene.asked == {"a": 1, "b": int(leaves > 1.0), "c": 0}
    assert [scene[name].closed for name in "ab"] == [1, int(leaves > 1.0)]
    assert (await leftover(), caller.messages) == (before, [])
    assert [scene.gateway.health.busy(name) for name in "ab"] == [0, 0]


@pytest.mark.parametrize("cancelled", [0.5, 3.0])
async def test_a_cancelled_request_is_cancelled(cancelled: float) -> None:
    """If the server cancels a request, both attempts end, and no task is left."""
    scene = await Hedged().warm()
    for name in "ab":
        scene[name].say(9.0, chunk("slow"), DONE)
    before = await leftover()
    caller, running = scene.begin()
    await asyncio.sleep(cancelled)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await leftover() == before
    assert caller.status == 503
    assert [scene.gateway.health.busy(name) for name in "ab"] == [0, 0]
    assert scene["a"].closed == 1


async def test_a_shutdown_while_the_winner_speaks() -> None:
    """On a shutdown the client of a hedged stream gets the error event."""
    scene = await Hedged().warm()
    scene["a"].say(9.0, chunk("slow"), DONE)
    scene["b"].say(chunk("one"), 9.0, DONE)
    caller, running = scene.begin()
    await asyncio.sleep(3.0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert caller.body.startswith(chunk("one"))
    assert b"gateway_draining" in caller.body
    assert caller.complete


async def test_a_refusal_that_is_the_callers() -> None:
    """If the first target rejects the request, its answer is returned at once; a hedge that does may follow a
    rule of its own, so that the first target is waited for."""
    refusal = b'{"error": {"message": "No."}}'
    scene = await Hedged().warm()
    scene["a"].say(9.0, chunk("slow"), DONE)
    scene["b"].say(refusal, status=400)
    assert (await scene.ask()).body == chunk("slow") + DONE
    scene = await Hedged().warm()
    scene["a"].say(5.0, refusal, status=400)
    scene["b"].say(9.0, chunk("slow"), DONE)
    assert (await scene.ask()).status == 400
    assert scene["b"].closed == 1


async def test_a_refusal_that_the_other_may_not_share() -> None:
    """A fault that another target may not have waits for the other attempt, and is returned if that fails."""
    refusal = b'{"error": {"code": "unsupported_value", "message": "No."}}'
    for spoken, expected in ((chunk("from a"), chunk("from a") + DONE), (b"", refusal)):
        scene = await Hedged().warm()
        scene["a"].say(5.0, *((spoken, DONE) if spoken else (OSError("reset"),)))
        scene["b"].say(refusal, status=400)
        caller = await scene.ask()
        assert (caller.body, caller.complete) == (expected, True)


async def test_refused_content_is_not_taken_elsewhere() -> None:
    """A content refusal is returned to the caller, even if another attempt is running."""
    scene = await Hedged().warm()
    scene["a"].say(5.0, chunk("from a"), DONE)
    scene["b"].say(b'{"error": {"code": "content_filter"}}', status=400)
    assert (await scene.ask()).status == 400


def hedged_with(dollars: str) -> BudgetGateway:
    """Returns a gateway with hedges for a principal with a budget."""
    return BudgetGateway(key(budget(dollars)), 2, pool=LONG + AFTER)


async def test_both_are_paid_for() -> None:
    """Each attempt has its own hold and ledger entry, and nothing stays held."""
    hedged = hedged_with("0.1")
    for _ in range(3):
        await hedged.ask()
    hedged["a"].say(9.0, chunk("slow"), DONE)
    hedged["b"].say(3.0, *answer("b"))
    asking = asyncio.create_task(hedged.ask())
    await asyncio.sleep(2.0)
    assert await hedged.spent() == 3 * COST + 2 * ESTIMATE
    caller = await asking
    await hedged.settled()
    assert caller.headers[b"x-standby-target"] == b"b"
    first, second = (await hedged.ledger())[-2:]
    assert [(line.attempt, line.target, line.outcome) for line in (first, second)] == [
        (1, "a", "failed"),
        (2, "b", "served"),
    ]
    assert first.duration == pytest.approx(4.0)
    assert second.duration == pytest.approx(3.0)
    assert await hedged.spent() == 4 * COST + (first.charged or 0)


async def test_a_hedge_that_cannot_be_paid_for() -> None:
    """A hedge without budget is not sent, and the first attempt is awaited."""
    hedged = hedged_with("0.025")
    for _ in range(3):
        await hedged.ask()
    hedged["a"].say(5.0, *answer("a"))
    caller = await hedged.ask()
    assert (caller.status, hedged.asked) == (200, {"a": 4, "b": 0})
    assert caller.headers[b"x-standby-attempts"] == b"1"


async def test_two_that_are_cleared_at_once() -> None:
    """With a slow store and two holds at once nothing stays held, and the sums are right."""
    hedged = hedged_with("0.1")
    for _ in range(3):
        await hedged.ask()
    hedged.store.slow = 1.5
    hedged["a"].say(9.0, chunk("slow"), DONE)
    caller = await hedged.ask()
    hedged.store.slow = 0.0
    await asyncio.sleep(5.0)
    await hedged.settled()
    assert caller.status == 200
    lines = (await hedged.ledger())[3:]
    assert await hedged.spent() == 3 * COST + sum(line.charged or 0 for line in lines)
