"""One attempt is one upstream call: what is sent, and what is returned."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any, Final

import httpx2
import pytest
from standby.proxy.classify.faults import Rejection
from standby.proxy.dialects.state_key import id_key
from standby.proxy.exchange import Attempt, Exchange
from standby.proxy.gateway import Gateway
from standby.proxy.upstream.coarse_timer import LISTEN_DELAY
from standby.proxy.upstream.relay import Relay
from standby.proxy.upstream.timeouts import DRAIN

from tests.middlewares.scene import Scene
from tests.proxy.harness import ASK, Caller, alone, ask, chunk, scope_of, virtual_time
from tests.proxy.streams import SPOKEN, Spoken

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

CHAT: Final = SPOKEN["chat"]
DONE: Final = CHAT.done
JSON: Final = ((b"content-type", b"application/json"),)
ANSWER: Final = b'{"id": "c1", "model": "m", "choices": [{"message": {"content": "Hi"}}]}'
UNARY: Final = {**ASK, "stream": False}


def issuer(gateway: Gateway, key: str) -> str | None:
    """Returns the provider that is remembered as the issuer of `key`."""
    issued = gateway.affinity.issuer_of(id_key(key))
    return None if issued is None else issued.provider


def now() -> float:
    """Returns the time of the event loop."""
    return asyncio.get_running_loop().time()


async def test_what_is_sent() -> None:
    """The document is sent with the target's model and the operator's headers to the target's URL."""
    gateway, script = alone()
    script.say(ANSWER, headers=JSON)
    document = {**UNARY, "user": "é", "future": {"a": [1, None]}}
    await ask(gateway, document, scope_of(headers=[(b"user-agent", b"sdk"), (b"cookie", b"a=b")]))
    [request] = script.requests
    assert (request.method, str(request.url)) == ("POST", "http://127.0.0.1:9/v1/chat/completions")
    [body] = script.bodies
    assert json.loads(body) == {**document, "model": "model-a"}
    assert dict(request.headers.raw)[b"content-length"] == str(len(body)).encode()
    assert [name for name, _ in request.headers.raw] == [
        b"host",
        b"content-type",
        b"accept-encoding",
        b"content-length",
        b"user-agent",
    ]


async def test_a_document_comes_back_as_it_is() -> None:
    """Status, allowed headers and every byte of the body are returned."""
    gateway, script = alone()
    length = (b"content-length", str(len(ANSWER)).encode())
    script.say(ANSWER[:9], ANSWER[9:], status=201, headers=(*JSON, length, (b"set-cookie", b"a=b")))
    caller = await ask(gateway, UNARY)
    assert (caller.status, caller.body, caller.complete) == (201, ANSWER, True)
    assert caller.headers[b"content-length"] == length[1]
    assert caller.headers[b"x-standby-target"] == b"a"
    assert b"set-cookie" not in caller.headers
    assert script.closed == 1


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
async def test_a_stream_comes_back_as_it_is(spoken: Spoken, size: int) -> None:
    """However a stream is split, its bytes are unchanged, and every message ends with a whole event."""
    gateway, script = alone(spoken.operation.dialect)
    script.say(*(spoken.whole[at : at + size] for at in range(0, len(spoken.whole), size)))
    caller = await ask(gateway, spoken.document, scope_of(spoken.operation.path))
    assert (caller.status, caller.body, caller.complete) == (200, spoken.whole, True)
    assert all(part.endswith(b"\n\n") for part in caller.chunks if part)
    assert caller.headers[b"cache-control"] == b"no-cache"
    assert script.closed == 1


async def test_a_stream_comes_back_as_it_arrives() -> None:
    """A complete event is sent without waiting for an incomplete one."""
    gateway, script = alone()
    script.say(chunk("one"), chunk("two") + b"data: {", 5.0, b"}\n\n" + DONE)
    caller, began = Caller(json.dumps(ASK).encode()), now()
    running = asyncio.create_task(gateway(scope_of(), caller.receive, caller.send))
    await caller.until(lambda: caller.body == chunk("one") + chunk("two"))
    assert now() - began <= LISTEN_DELAY
    await running
    assert caller.body == chunk("one") + chunk("two") + b"data: {}\n\n" + DONE


async def test_the_last_event_may_lack_its_blank_line(spoken: Spoken) -> None:
    """A terminal marker at the very end is sent even without its blank line."""
    gateway, script = alone(spoken.operation.dialect)
    stream = spoken.whole.removesuffix(b"\n")
    script.say(stream)
    caller = await ask(gateway, spoken.document, scope_of(spoken.operation.path))
    assert (caller.body, caller.complete) == (stream, True)


async def test_what_follows_the_end_is_dropped(spoken: Spoken) -> None:
    """Bytes after the terminal marker are not sent to the client."""
    gateway, script = alone(spoken.operation.dialect)
    script.say(spoken.whole + b"data: more\n\n", b"data: yet more\n\n")
    assert (await ask(gateway, spoken.document, scope_of(spoken.operation.path))).body == spoken.whole


async def test_who_does_not_hang_up_is_hung_up_on(spoken: Spoken) -> None:
    """A connection that stays open after the end is closed after DRAIN seconds."""
    gateway, script = alone(spoken.operation.dialect)
    script.say(spoken.whole, 1000.0)
    began = now()
    caller = await ask(gateway, spoken.document, scope_of(spoken.operation.path))
    assert (caller.body, caller.complete) == (spoken.whole, True)
    assert now() - began == pytest.approx(DRAIN)
    assert script.closed == 1


REFUSED: Final[dict[str, tuple[int, bytes, int]]] = {
    "500": (500, b'{"error": {"message": "upstream text"}}', 502),
    "503": (503, b"upstream text", 503),
    "429": (429, b"upstream text", 429),
    "401": (401, b"upstream text", 502),
    "307": (307, b"upstream text", 502),
    "page": (200, b"upstream text", 502),
}


@pytest.mark.parametrize(("status", "body", "expected"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_failure_is_told_in_our_words(status: int, body: bytes, expected: int) -> None:
    """A fault that is not the caller's is summarised with its target and kind, without upstream text."""
    gateway, script = alone()
    script.say(body, status=status, headers=((b"content-type", b"text/html"),))
    caller = await ask(gateway)
    assert caller.status == expected
    assert b"upstream text" not in caller.body
    assert [attempt["target"] for attempt in caller.json["error"]["attempts"]] == ["a"]
    assert script.closed == 1


@pytest.mark.parametrize("size", [0, 100, 70_000, 200_000])
@pytest.mark.parametrize("framed", [True, False])
async def test_a_callers_refusal_comes_back_whole(size: int, framed: bool) -> None:
    """The caller's own fault is returned as the provider wrote it, truncated only past 64 KiB."""
    gateway, script = alone()
    body = b'{"error": {"code": "x", "message": "' + b"y" * size + b'"}}'
    length = ((b"content-length", str(len(body)).encode()),) if framed else ()
    script.say(
        *(body[at : at + 4096] for at in range(0, len(body), 4096)), status=400, headers=(*JSON, *length)
    )
    caller = await ask(gateway)
    assert (caller.status, caller.complete) == (400, True)
    assert body.startswith(caller.body)
    assert (
        caller.headers.get(b"content-length", str(len(caller.body)).encode())
        == str(len(caller.body)).encode()
    )
    assert caller.body == body or size > 64 * 1024


async def test_a_compressed_refusal_comes_back_as_it_is() -> None:
    """A compressed refusal is returned unchanged with its content-encoding."""
    gateway, script = alone()
    packed = gzip.compress(b'{"error": {"code": "unsupported_value"}}')
    script.say(packed, status=400, headers=(*JSON, (b"content-encoding", b"gzip")))
    caller = await ask(gateway)
    assert (caller.body, caller.headers[b"content-encoding"]) == (packed, b"gzip")


@pytest.mark.parametrize(
    ("error", "fault", "status"),
    [
        (httpx2.ConnectError("refused"), "connect", 503),
        (httpx2.RemoteProtocolError("illegal"), "bad_response", 502),
        (httpx2.PoolTimeout("full"), "local_overload", 503),
    ],
)
async def test_no_answer_at_all(error: Exception, fault: str, status: int) -> None:
    """An unreachable provider is reported by its fault kind, without the text of the exception."""
    gateway, script = alone()

    async def fail() -> None:
        raise error

    script.before = fail
    caller = await ask(gateway)
    assert caller.status == status
    assert caller.json["error"]["attempts"] == [{"target": "a", "fault": fault}]
    assert str(error).encode() not in caller.body


async def test_no_head_in_time() -> None:
    """A provider that sends nothing is a timeout after the first limit."""
    gateway, script = alone()

    async def wait() -> None:
        await asyncio.Event().wait()

    script.before = wait
    began = now()
    caller = await ask(gateway)
    assert (caller.status, round(now() - began)) == (504, 10)
    assert caller.json["error"]["attempts"] == [{"target": "a", "fault": "timeout_first_byte"}]


async def test_a_clearance_is_asked_first() -> None:
    """No byte is sent before every clearance has passed, and a refused target is not an attempt."""
    gateway, script = alone()
    script.say(ANSWER, headers=JSON)
    order: list[str] = []

    async def passes(exchange: Exchange, attempt: Attempt) -> Rejection | None:
        order.append(attempt.candidate.name)
        return None

    async def refuses(exchange: Exchange, attempt: Attempt) -> Rejection | None:
        return Rejection("policy.residency")

    scope = scope_of()
    Exchange.of(scope).clearances.append(passes)
    assert (await ask(gateway, UNARY, scope)).status == 200
    scope = scope_of()
    Exchange.of(scope).clearances.extend((passes, refuses, passes))
    caller = await ask(gateway, UNARY, scope)
    assert (caller.status, order, len(script.requests)) == (503, ["a", "a"], 1)
    assert caller.json["error"]["attempts"] == [{"target": "a", "fault": "policy.residency"}]
    assert caller.json["error"]["code"] == "policy_no_eligible_target"
    assert Exchange.of(scope).attempts == []


FINISHED: Final = SPOKEN["responses"].whole


@pytest.mark.parametrize(
    "pieces",
    [(FINISHED,), (FINISHED, b"data: [DONE]\n\n"), (FINISHED, 1000.0), (FINISHED, httpx2.ReadError("reset"))],
    ids=["clean", "more", "open", "reset"],
)
async def test_an_answers_id_is_remembered(pieces: tuple[Any, ...]) -> None:
    """The issuer of a response is remembered, however its connection ends."""
    scene = Scene()
    scene["a"].say(*pieces)
    await ask(scene.gateway, SPOKEN["responses"].document, scope_of("/v1/responses"))
    assert issuer(scene.gateway, "r1") == "at-a"


async def test_an_id_is_remembered_before_the_caller_has_it() -> None:
    """A caller may continue a response as soon as it has read its id, before the provider's body ends."""
    scene = Scene()
    scene["a"].say(FINISHED, 1000.0)
    caller = Caller(json.dumps(SPOKEN["responses"].document).encode())
    running = asyncio.create_task(scene.gateway(scope_of("/v1/responses"), caller.receive, caller.send))
    while b"r1" not in caller.body:
        assert issuer(scene.gateway, "r1") is None or caller.body == b""
        await asyncio.sleep(0)
    assert issuer(scene.gateway, "r1") == "at-a"
    await running


async def test_a_relay_without_routes() -> None:
    """Without a configuration every path is unknown."""
    caller = await ask(Relay(alone()[0].transports))
    assert (caller.status, caller.json["error"]["code"]) == (404, "unknown_route")
