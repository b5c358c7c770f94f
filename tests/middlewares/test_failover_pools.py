"""Failover over the targets of a pool, in a whole gateway with scripted providers."""

from __future__ import annotations

import asyncio
import json
from typing import Final

import httpx2
import pytest
from standby.proxy.asgi import Message
from standby.proxy.classify.faults import Fault
from standby.proxy.exchange import Exchange
from standby.proxy.health.target_health import CLOSE_AFTER, OPEN, TRIP

from tests.middlewares.scene import DONE, Scene
from tests.proxy.harness import ASK, Caller, ask, chunk, rest, scope_of, virtual_time
from tests.proxy.streams import SPOKEN

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

REFUSAL: Final = b'{"error": {"code": "unsupported_value", "message": "No."}}'
OVERFLOW: Final = b'{"error": {"code": "context_length_exceeded", "message": "Too long."}}'


async def test_the_next_target_is_asked() -> None:
    """Targets are tried in the pool's order, each with its own model in the document."""
    scene = Scene()
    scene["a"].say(b"", status=503)
    caller = await scene.ask()
    assert (caller.status, caller.body) == (200, chunk("from b") + DONE)
    assert [json.loads(scene[name].bodies[0])["model"] for name in "ab"] == ["model-a", "model-b"]
    assert scene["a"].closed == scene["b"].closed == 1


async def test_no_byte_of_the_first() -> None:
    """The buffered start of a failed answer is not sent."""
    scene = Scene()
    scene["a"].say(*SPOKEN["chat"].preamble, httpx2.ReadError("reset"))
    assert (await scene.ask()).body == chunk("from b") + DONE


async def test_after_content_nobody_else_is_asked() -> None:
    """A stream that breaks after content ends with an error event, and is a fault of the target."""
    scene = Scene()
    scene["a"].say(chunk("one"), httpx2.ReadError("reset"))
    for _ in range(TRIP):
        caller = await scene.ask()
        assert b"upstream_interrupted" in caller.body
        assert DONE not in caller.body
    assert scene.asked == {"a": TRIP, "b": 0}
    assert scene.rejection() is not None


@pytest.mark.parametrize("later", [500, 503, 401])
async def test_a_callers_refusal_survives_the_walk(later: int) -> None:
    """If the next target fails, the caller gets the first one's refusal with its headers."""
    scene = Scene()
    length = ((b"content-type", b"application/json"), (b"content-length", str(len(REFUSAL)).encode()))
    scene["a"].say(REFUSAL[:9], REFUSAL[9:], status=400, headers=length)
    scene["b"].say(b"upstream text", status=later)
    caller = await scene.ask()
    assert (caller.status, caller.body, caller.complete) == (400, REFUSAL, True)
    assert scene.asked == {"a": 1, "b": 1}


async def test_a_callers_refusal_gives_way_to_an_answer() -> None:
    """If the next target succeeds, nothing of the refusal is sent."""
    scene = Scene()
    scene["a"].say(REFUSAL, status=400)
    assert (await scene.ask()).body == chunk("from b") + DONE


async def test_a_prompt_too_long() -> None:
    """A prompt that is too long is tried only at a larger context window, else the refusal is returned."""
    windows = "[targets.c]\nprovider = 'at-b'\nmodel = 'model-c'\ncontext = 200"
    scene = Scene(
        target="context = 100", pool='alternates = [{ target = "c", for = ["context"] }]', tables=windows
    )
    scene["a"].say(OVERFLOW, status=400)
    assert (await scene.ask()).body == chunk("from c") + DONE
    scene["c"].say(OVERFLOW.replace(b"Too", b"Still too"), status=400)
    caller = await scene.ask()
    assert (caller.status, caller.json["error"]["code"]) == (400, "context_length_exceeded")
    assert scene.asked == {"a": 2, "b": 0, "c": 2}


async def test_five_failures_rest_a_target() -> None:
    """After TRIP failures a target is ejected, until OPEN seconds later one request probes it."""
    scene = Scene()
    scene.gateway.health.clock = asyncio.get_running_loop().time
    scene["a"].say(b"", status=500)
    for _ in range(TRIP + 3):
        assert (await scene.ask()).status == 200
    assert scene.asked == {"a": TRIP, "b": TRIP + 3}
    caller = await scene.ask()
    assert caller.headers[b"x-standby-degraded"] == b"health.breaker_open"
    assert caller.headers[b"x-standby-attempts"] == b"1"
    scene["a"].say(chunk("from a"), DONE)
    await asyncio.sleep(OPEN)
    assert (await scene.ask()).body == chunk("from a") + DONE


async def test_when_all_rest_nobody_is_asked() -> None:
    """If every target is rate-limited the caller is too, at once, with Retry-After."""
    scene = Scene()
    for name, seconds in (("a", b"20"), ("b", b"9")):
        scene[name].say(b"", status=429, headers=((b"retry-after", seconds),))
    first = await scene.ask()
    assert (first.status, first.headers[b"retry-after"]) == (429, b"9")
    second = await scene.ask()
    assert (second.status, second.json["error"]["code"]) == (429, "no_target_available")
    assert second.headers[b"retry-after"] == b"9"
    assert {row["fault"] for row in second.json["error"]["attempts"]} == {"health.cooldown"}
    assert scene.asked == {"a": 1, "b": 1}


async def test_a_target_that_began_to_rest_since_it_was_planned() -> None:
    """The health of a target is checked again before its attempt."""
    scene = Scene(3)
    go_on = asyncio.Event()
    scene["a"].before = go_on.wait  # type: ignore[assignment]
    scene["a"].say(b"", status=500)
    running = asyncio.create_task(scene.ask())
    await asyncio.sleep(0.01)
    scene["b"].say(b"", status=401)
    scene["a"].before = None
    await scene.ask()
    go_on.set()
    caller = await running
    assert caller.body == chunk("from c") + DONE
    assert scene.asked == {"a": 2, "b": 1, "c": 2}


@pytest.mark.parametrize("content", [False, True])
async def test_a_hang_up_ends_the_walk(content: bool) -> None:
    """After a disconnect no other target is tried, and there is no fault."""
    scene = Scene()
    scene["a"].say(*[chunk("one")] * content, 1000.0)
    for _ in range(TRIP + 1):
        caller = Caller(json.dumps(ASK).encode())
        running = asyncio.create_task(scene.gateway(scope_of(), caller.receive, caller.send))
        await asyncio.sleep(1)
        caller.leave()
        await running
    assert scene.asked == {"a": TRIP + 1, "b": 0}
    assert scene.rejection() is None


async def test_the_deadline_holds_with_a_relay() -> None:
    """The deadline applies to all attempts, and the attempt that it ends has no fault."""
    scene = Scene(tables='[failover]\ndeadline = "18s"')
    for name in "ab":
        scene[name].say(1000.0)
    began = asyncio.get_running_loop().time()
    caller = await scene.ask()
    assert asyncio.get_running_loop().time() - began == pytest.approx(18.0)
    assert (caller.status, caller.json["error"]["code"]) == (504, "deadline_exceeded")
    for _ in range(TRIP):
        await scene.ask()
    assert scene.rejection("a") is not None
    assert scene.rejection("b") is None


async def test_the_deadline_is_lifted_by_the_commit() -> None:
    """After the commit only the pool's own limits apply."""
    scene = Scene(tables='[failover]\ndeadline = "18s"')
    scene["a"].say(10.0, chunk("one"), *(piece for _ in range(5) for piece in (20.0, chunk("more"))), DONE)
    caller = await scene.ask()
    assert caller.body.endswith(DONE)
    assert caller.body.count(b"more") == 5


BOUND: Final = {"model": "support", "input": "Hi", "stream": True}
RESPONSE: Final = SPOKEN["responses"].whole


async def test_a_bound_request_stays_where_its_state_is() -> None:
    """A request that refers to stored state is not sent to another provider."""
    scene = Scene()
    scene["a"].say(b"", status=503)
    scene["b"].say(RESPONSE)
    caller = await ask(scene.gateway, {**BOUND, "previous_response_id": "resp_0"}, scope_of("/v1/responses"))
    assert (caller.status, scene.asked) == (503, {"a": 1, "b": 0})
    faults = {row["target"]: row["fault"] for row in caller.json["error"]["attempts"]}
    assert faults == {"a": "overloaded", "b": "state.bound"}


async def test_a_conversation_goes_on_where_it_began() -> None:
    """A response is continued at the provider that issued it, even if that was not the first target."""
    scene = Scene()
    scene["a"].say(b"", status=500)
    scene["b"].say(RESPONSE)
    await ask(scene.gateway, BOUND, scope_of("/v1/responses"))
    scene["a"].say(RESPONSE)
    caller = await ask(scene.gateway, {**BOUND, "previous_response_id": "r1"}, scope_of("/v1/responses"))
    assert caller.headers[b"x-standby-target"] == b"b"
    assert scene.asked == {"a": 1, "b": 2}


INSIDE: Final = 'stack = ["failover", "inner"]'


async def test_our_own_refusal_proves_nothing() -> None:
    """A refusal of the gateway does not count as an answer of the target, and does not close its breaker."""
    scene = Scene(top=INSIDE, tables='[inner]\nuse = "tests.proxy.custom:Refuses"')
    health = scene.gateway.health
    health.clock = asyncio.get_running_loop().time
    for _ in range(TRIP):
        rest(health, "a", Fault("upstream_5xx", 500))
    await asyncio.sleep(OPEN)
    for _ in range(CLOSE_AFTER - 1):
        await scene.ask()
    caller = await scene.ask()
    assert (caller.status, scene.asked) == (451, {"a": 0, "b": 0})
    rest(health, "a", Fault("upstream_5xx", 500))
    assert scene.rejection() is not None
    assert b"x-standby-target" not in caller.headers


async def test_our_own_crash_is_no_fault_of_a_target() -> None:
    """An exception of the gateway is a 500, and no other target is tried."""
    scene = Scene(top=INSIDE, tables='[inner]\nuse = "tests.proxy.custom:Crashes"')
    for _ in range(TRIP):
        caller, scope = Caller(json.dumps(ASK).encode()), scope_of()
        with pytest.raises(ZeroDivisionError):
            await scene.gateway(scope, caller.receive, caller.send)
        assert (caller.status, len(Exchange.of(scope).attempts)) == (500, 1)
        assert Exchange.of(scope).served is None
    assert scene.rejection() is None


async def test_a_client_that_cannot_be_sent_to() -> None:
    """An OSError from the server's `send` is a disconnect, not a fault of the target."""
    scene = Scene()

    async def gone(message: Message) -> None:
        raise OSError("gone")

    for _ in range(TRIP + 1):
        caller = Caller(json.dumps(ASK).encode())
        await scene.gateway(scope_of(), caller.receive, gone)
    assert scene.asked == {"a": TRIP + 1, "b": 0}
    assert scene.rejection() is None


async def test_an_oserror_of_the_providers_is_no_hang_up() -> None:
    """An OSError from a foreign transport is a fault of the target."""
    scene = Scene()

    async def refuse() -> None:
        raise ConnectionRefusedError

    scene["a"].before = refuse
    assert (await scene.ask()).body == chunk("from b") + DONE


async def test_what_is_no_operation_passes() -> None:
    """The list of models needs no provider."""
    scene, caller = Scene(), Caller()
    await scene.gateway(scope_of("/v1/models", method="GET"), caller.receive, caller.send)
    assert (caller.status, scene.asked) == (200, {"a": 0, "b": 0})


async def test_the_first_refusal_of_several_fallbacks() -> None:
    """If all fallbacks reject the request, the caller gets the answer of the first one."""
    scene = Scene(3)
    scene["a"].say(b"", status=500)
    for name in ("b", "c"):
        body = json.dumps({"error": {"message": f"from {name}", "type": "invalid_request_error"}}).encode()
        scene[name].say(body, status=400, headers=((b"content-type", b"application/json"),))
    caller = await scene.ask()
    assert (caller.status, caller.json["error"]["message"]) == (400, "from b")
    assert scene.asked == {"a": 1, "b": 1, "c": 1}
