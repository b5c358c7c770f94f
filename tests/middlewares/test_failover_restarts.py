"""Broken streams that are restarted at the next target, for clients that accept this."""

from __future__ import annotations

import asyncio
import json
import zlib
from typing import Any, Final

import httpx2
import pytest
from standby.middlewares.failover import Failover
from standby.proxy.classify.faults import Fault
from standby.proxy.dialects.sse import MAX_EVENT
from standby.proxy.errors import Interrupted
from standby.proxy.exchange import Exchange
from standby.proxy.health.target_health import TRIP

from tests.middlewares.budget_gateway import COST, BudgetGateway, budget, key, model_event
from tests.middlewares.scene import DONE, Scene
from tests.proxy.harness import ASK, SSE, ask, chunk, rest, scope_of, virtual_time
from tests.proxy.streams import SPOKEN

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

RESTART: Final = 'on_break = "restart"\n'
WANTED: Final = (b"x-standby-on-break", b"restart")
BROKEN: Final = httpx2.ReadError("reset")
STALLS: Final = 'timeouts = { stall = "20s", total = "100s" }\n'
EXTRA: Final = "[targets.{0}]\nprovider = 'at-a'\nmodel = 'model-{0}'\n"


def restarting(count: int = 2, pool: str = "", **settings: str) -> Scene:
    """Returns a gateway whose pool restarts broken streams."""
    scene = Scene(count, pool=RESTART + STALLS + pool, **settings)
    scene.on_loop_time()
    scene["a"].say(chunk("one"), BROKEN)
    return scene


def reset_in(body: bytes) -> dict[str, Any]:
    """Returns the content of the only reset event of a chat stream."""
    (event,) = [json.loads(part[6:]) for part in body.split(b"\n\n") if b'"standby"' in part]
    restart: dict[str, Any] = event["standby"]["restart"]
    return restart


BREAKS: Final[dict[str, tuple[tuple[bytes | BaseException | float, ...], str]]] = {
    "cut": ((BROKEN,), "upstream_interrupted"),
    "no terminal marker": ((), "upstream_interrupted"),
    "half an event": ((b'data: {"choices": [{"del', BROKEN), "upstream_interrupted"),
    "an error event": ((SPOKEN["chat"].refused,), "upstream_interrupted"),
    "an error event in the same chunk": ((chunk("two") + SPOKEN["chat"].refused,), "upstream_interrupted"),
    "an error event in two pieces": (
        (SPOKEN["chat"].refused[:9], SPOKEN["chat"].refused[9:]),
        "upstream_interrupted",
    ),
    "a stall": ((1000.0,), "upstream_stall"),
    "an event without end": ((b"data: " + b"x" * MAX_EVENT, b"x" * 2**10), "upstream_event_too_large"),
}


@pytest.mark.parametrize("how", BREAKS)
async def test_the_next_stream_follows(how: str) -> None:
    """After a reset event the next stream follows from its start, without a second response head."""
    scene = restarting()
    pieces, code = BREAKS[how]
    scene["a"].say(chunk("one"), *pieces)
    caller = await scene.ask(WANTED)
    before, _, after = caller.body.partition(b'data: {"id":"c1","object":"chat.completion.chunk"')
    assert before.rstrip(b"\n") == (chunk("one") + chunk("two") * ("same" in how)).rstrip(b"\n")
    assert before.endswith(b"\n\n")
    assert after.partition(b"\n\n")[2] == chunk("from b") + DONE
    assert reset_in(caller.body) == {"reason": code, "attempt": 2}
    assert b"error" not in caller.body
    assert (caller.status, caller.complete) == (200, True)
    assert caller.headers[b"x-standby-target"] == b"a"
    assert scene.attempts == [("a", "primary"), ("b", "failover")]
    assert scene["a"].closed == scene["b"].closed == 1


@pytest.mark.parametrize(
    ("pool", "headers"),
    [
        (RESTART, ()),
        (RESTART, ((b"x-standby-on-break", b"terminate"),)),
        (RESTART, ((b"x-standby-on-break", b"Restart!"),)),
        ('on_break = "terminate"\n', (WANTED,)),
        ("", (WANTED,)),
    ],
)
async def test_only_where_both_want_it(pool: str, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """Unless both the pool and the caller allow it, a broken stream ends with its error event."""
    scene = Scene(pool=pool)
    scene["a"].say(chunk("one"), BROKEN)
    caller = await scene.ask(*headers)
    assert caller.body.startswith(chunk("one"))
    assert caller.body.count(b"upstream_interrupted") == 1
    assert b"standby" not in caller.body
    assert scene.asked == {"a": 1, "b": 0}


async def test_the_header_goes_no_further() -> None:
    """The request header is not forwarded to a provider."""
    scene = restarting()
    await scene.ask(WANTED)
    for name in "ab":
        assert WANTED[0].decode() not in scene[name].requests[0].headers


@pytest.mark.parametrize("how", BREAKS)
async def test_nobody_is_left(how: str) -> None:
    """Then the stream ends as ever: with one error event, the provider's own where it said one."""
    scene, plain = restarting(1), Scene(1, pool=STALLS)
    for each in (scene, plain):
        each["a"].say(chunk("one"), *BREAKS[how][0])
    caller, expected = await scene.ask(WANTED), await plain.ask()
    assert caller.complete
    ids = [each.exchanges[0].id.encode() for each in (scene, plain)]
    bodies = zip((caller.body, expected.body), ids, strict=True)
    first, second = [body.replace(each, b"").replace(b"\n", b"") for body, each in bodies]
    assert first == second


@pytest.mark.parametrize("status", [400, 401, 500])
async def test_nobody_does_better(status: int) -> None:
    """If the next target fails, the client gets one error event at the end of its stream."""
    scene = restarting()
    scene["b"].say(b'{"error": {"message": "upstream text"}}', status=status)
    caller = await scene.ask(WANTED)
    assert caller.body.startswith(chunk("one"))
    assert caller.body.count(b"upstream_interrupted") == 1
    assert b"standby" not in caller.body
    assert b"upstream text" not in caller.body
    assert (caller.status, caller.complete) == (200, True)
    assert scene.asked == {"a": 1, "b": 1}


async def test_the_one_after_next() -> None:
    """A target that fails before content is skipped, and the reset event comes with the next one."""
    scene = restarting(3)
    scene["b"].say(*SPOKEN["chat"].preamble, BROKEN)
    caller = await scene.ask(WANTED)
    assert caller.body.endswith(chunk("from c") + DONE)
    assert reset_in(caller.body)["attempt"] == 3


async def test_once_in_a_request() -> None:
    """If the second stream breaks too, the response ends."""
    scene = restarting(3)
    scene["b"].say(chunk("two"), BROKEN)
    caller = await scene.ask(WANTED)
    assert caller.body.count(b'"standby"') == 1
    assert caller.body.count(b"upstream_interrupted") == 2  # the reason of the restart, and the end
    assert (caller.complete, scene.asked) == (True, {"a": 1, "b": 1, "c": 0})


async def test_within_the_limit_of_attempts() -> None:
    """A restart counts towards `max_attempts`."""
    scene = restarting(tables="[failover]\nmax_attempts = 1")
    caller = await scene.ask(WANTED)
    assert (b"upstream_interrupted" in caller.body, scene.asked) == (True, {"a": 1, "b": 0})


async def test_within_the_deadline() -> None:
    """A stream that breaks after the deadline is not restarted."""
    scene = restarting(tables='[failover]\ndeadline = "10s"')
    scene["a"].say(chunk("one"), 15.0, BROKEN)
    caller = await scene.ask(WANTED)
    assert (b"upstream_interrupted" in caller.body, scene.asked) == (True, {"a": 1, "b": 0})


async def test_an_answer_that_took_too_long_altogether() -> None:
    """The pool's `total` limit ends the answer without a restart."""
    scene = restarting()
    scene["a"].say(*(piece for _ in range(9) for piece in (chunk("one"), 15.0)))
    caller = await scene.ask(WANTED)
    assert (b"answer_timeout" in caller.body, scene.asked) == (True, {"a": 1, "b": 0})


@pytest.mark.parametrize("cause", ["truncated", "outage", "slow"])
async def test_alternates_for_it(cause: str) -> None:
    """The alternates for a restart are those that name `truncated`."""
    scene = restarting(
        1, pool=f'alternates = [{{ target = "x", for = ["{cause}"] }}]', tables=EXTRA.format("x")
    )
    caller = await scene.ask(WANTED)
    assert (b"from x" in caller.body) == (cause == "truncated")


async def test_who_rests_is_not_asked() -> None:
    """Ejected targets are skipped as for every attempt, and the break counts against its target."""
    scene = restarting(3)
    rest(scene.gateway.health, "b", Fault("rate_limited", 429, retry_after=60.0))
    for _ in range(TRIP):
        assert (await scene.ask(WANTED)).body.endswith(chunk("from c") + DONE)
    assert scene.asked == {"a": TRIP, "b": 0, "c": TRIP}
    assert scene.rejection("a") is not None


async def test_a_compressed_stream() -> None:
    """A compressed stream can neither be restarted nor follow another stream."""
    packed = zlib.compressobj(wbits=31)
    body = packed.compress(chunk("one")) + packed.flush(zlib.Z_SYNC_FLUSH)
    encoded = (*SSE, (b"content-encoding", b"gzip"))
    scene = restarting()
    scene["a"].say(body, BROKEN, headers=encoded)
    with pytest.raises(Interrupted):
        await scene.ask(WANTED)
    assert scene.asked == {"a": 1, "b": 0}
    scene = restarting(3)
    scene["b"].say(body, headers=encoded)
    assert (await scene.ask(WANTED)).body.endswith(chunk("from c") + DONE)


async def test_a_document_cannot_follow() -> None:
    """A response that is not a stream is skipped."""
    scene = restarting(3)
    whole = b'{"choices": [{"message": {"content": "Hi"}}]}'
    scene["b"].say(whole, headers=((b"content-type", b"application/json"),))
    assert (await scene.ask(WANTED)).body.endswith(chunk("from c") + DONE)


async def test_our_own_refusal_cannot_follow() -> None:
    """A response of the gateway itself is not sent, and the client gets the error event."""
    scene = restarting(
        top='stack = ["failover", "inner"]', tables='[inner]\nuse = "tests.proxy.custom:RefusesLater"'
    )
    caller = await scene.ask(WANTED)
    assert caller.body.startswith(chunk("one"))
    assert caller.body.count(b"upstream_interrupted") == 1
    assert (caller.complete, scene.asked) == (True, {"a": 1, "b": 0})


async def test_responses() -> None:
    """The reset event of the Responses API is named and continues the sequence numbers of the first
    stream."""
    spoken = SPOKEN["responses"]
    scene = restarting()
    scene["a"].say(*spoken.preamble, spoken.content[0], BROKEN)
    scene["b"].say(spoken.whole)
    caller = await ask(scene.gateway, spoken.document, scene.scope(WANTED, path="/v1/responses"))
    assert caller.body.endswith(spoken.whole)
    head, _, data = caller.body.partition(b"event: standby.restart\ndata: ")
    event = json.loads(data.partition(b"\n\n")[0])
    assert head.endswith(b"\n\n")
    assert (event["type"], event["sequence_number"]) == ("standby.restart", 4)
    assert event["standby"]["restart"] == {"reason": "upstream_interrupted", "attempt": 2}


async def test_a_hang_up_between_the_two() -> None:
    """After a disconnect no other target is tried."""
    scene = restarting(3)
    scene["b"].say(9.0, BROKEN)
    caller, running = scene.begin(WANTED)
    await asyncio.sleep(1.0)
    caller.leave()
    await running
    assert scene.asked == {"a": 1, "b": 1, "c": 0}
    assert caller.body == chunk("one")
    assert scene["b"].closed == 1


async def test_a_shutdown_between_the_two() -> None:
    """On a shutdown the client gets the error event in its open stream."""
    scene = restarting()
    scene["b"].say(9.0, chunk("late"), DONE)
    caller, running = scene.begin(WANTED)
    await asyncio.sleep(1.0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert caller.body.startswith(chunk("one"))
    assert caller.body.count(b"gateway_draining") == 1
    assert caller.complete


async def test_both_are_paid_for() -> None:
    """The sent part of the first stream and all of the second are charged, each with its own ledger entry."""
    scene = BudgetGateway(key(budget("0.05")), 2, pool=RESTART)
    scene["a"].say(model_event("a", delta={"content": "one"}), BROKEN)
    scope = scene.scope()
    scope["headers"].append(WANTED)
    caller = await ask(scene.gateway, {**ASK, "max_tokens": 10}, scope)
    await scene.settled()
    assert caller.complete
    first, second = await scene.ledger()
    assert [(line.target, line.outcome, line.fault) for line in (first, second)] == [
        ("a", "truncated", "stream_truncated"),
        ("b", "served", None),
    ]
    assert second.charged == COST
    assert await scene.spent() == (first.charged or 0) + COST
    assert b"completion_tokens" not in caller.body


async def test_after_a_hedge() -> None:
    """The winner of a hedge can be restarted, and the loser is not tried again."""
    scene = restarting(3, pool='hedge = { after = "1s", share = 0.5 }')
    for name in "ab":
        scene[name].say(chunk("Hi"), DONE)
    for _ in range(3):
        await scene.ask()
    scene["a"].say(9.0, chunk("slow"), DONE)
    scene["b"].say(chunk("two"), BROKEN)
    caller = await scene.ask(WANTED)
    assert caller.body.endswith(chunk("from c") + DONE)
    assert scene.attempts == [("a", "primary"), ("b", "hedge"), ("c", "failover")]


async def test_a_foreign_app_is_left_alone() -> None:
    """Around an app without Relay a broken stream is not restarted."""
    calls: list[str] = []

    async def breaks(scope: Any, receive: Any, send: Any) -> None:
        calls.append(scope["standby.attempt"].candidate.name)
        await send({"type": "http.response.start", "status": 200, "headers": list(SSE)})
        await send({"type": "http.response.body", "body": chunk("one"), "more_body": True})
        raise ZeroDivisionError

    scope = scope_of(headers=[WANTED])
    Exchange.of(scope)
    with pytest.raises(ZeroDivisionError):
        await ask(Failover(breaks, targets=("a", "b")), {}, scope)
    assert calls == ["a"]
