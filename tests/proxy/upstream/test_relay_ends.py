"""How a call ends that fails: the stream breaks, the client disconnects, or the client stops reading."""

from __future__ import annotations

import asyncio
import json
import zlib
from typing import Any, Final

import httpx2
import pytest
from standby.proxy.asgi import Message
from standby.proxy.dialects.sse import MAX_EVENT
from standby.proxy.errors import Interrupted
from standby.proxy.exchange import Exchange
from standby.proxy.upstream.coarse_timer import LISTEN_DELAY

from tests.proxy.harness import ASK, SSE, Caller, alone, ask, chunk, scope_of, virtual_time
from tests.proxy.streams import SPOKEN, Spoken

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

CHAT: Final = SPOKEN["chat"]
DONE: Final = CHAT.done
JSON: Final = ((b"content-type", b"application/json"),)
ANSWER: Final = b'{"id": "c1", "model": "m", "choices": [{"message": {"content": "Hi"}}]}'
UNARY: Final = {**ASK, "stream": False}


def now() -> float:
    """Returns the time of the event loop."""
    return asyncio.get_running_loop().time()


BREAKS: Final[dict[str, tuple[tuple[bytes | BaseException | float, ...], str]]] = {
    "reset": ((httpx2.ReadError("reset"),), "upstream_interrupted"),
    "cut chunk": ((httpx2.RemoteProtocolError("incomplete chunked read"),), "upstream_interrupted"),
    "clean end": ((), "upstream_interrupted"),
    "half an event": ((b"data: {", httpx2.ReadError("reset")), "upstream_interrupted"),
    "stall": ((1000.0,), "upstream_stall"),
    "comments": ((*(piece for _ in range(99) for piece in (b": ping\n\n", 9.0)),), "upstream_stall"),
    "drip": ((*(piece for _ in range(99) for piece in (b"x", 9.0)),), "upstream_stall"),
    "endless": ((*(piece for _ in range(99) for piece in (chunk("x"), 9.0)),), "answer_timeout"),
    "too large": ((b"data: ", *[b"x" * 65536] * (MAX_EVENT // 65536 + 1)), "upstream_event_too_large"),
}


@pytest.mark.parametrize(("pieces", "code"), BREAKS.values(), ids=BREAKS.keys())
async def test_a_stream_that_breaks(pieces: tuple[bytes | BaseException | float, ...], code: str) -> None:
    """After content a break ends the stream with one error event with its code, and no end marker."""
    gateway, script = alone()
    script.say(chunk("one"), *pieces)
    caller = await ask(gateway)
    sent, _, event = caller.body.rpartition(b"\n\ndata: ")
    assert json.loads(event)["error"]["code"] == code
    assert sent.startswith(chunk("one").rstrip())
    assert event.endswith(b"\n\n")
    assert b"[DONE]" not in caller.body
    assert caller.complete
    assert script.closed == 1


async def test_the_break_is_told_in_the_dialect(spoken: Spoken) -> None:
    """The error event has the format of the dialect and the request's id."""
    gateway, script = alone(spoken.operation.dialect)
    script.say(*spoken.preamble, spoken.content[0], httpx2.ReadError("reset"))
    caller = await ask(gateway, spoken.document, scope_of(spoken.operation.path))
    assert caller.headers[b"x-standby-request-id"] in caller.body
    reader = spoken.operation.reader()
    name = b"error" if spoken.operation.name == "messages" else b""
    last = caller.body.rstrip().rpartition(b"data: ")[2]
    reader.event(name, last)
    assert reader.error is not None


async def test_a_providers_own_error_is_passed_on(spoken: Spoken) -> None:
    """After content a provider's error event is forwarded unchanged, and nothing is added."""
    gateway, script = alone(spoken.operation.dialect)
    stream = b"".join((*spoken.preamble, spoken.content[0], spoken.refused))
    script.say(stream + spoken.done)
    caller = await ask(gateway, spoken.document, scope_of(spoken.operation.path))
    assert (caller.body, caller.complete) == (stream, True)


@pytest.mark.parametrize("missing", [1, 2])
async def test_a_providers_last_error_is_not_lost(spoken: Spoken, missing: int) -> None:
    """An error event at the very end without its blank line is completed for the client."""
    gateway, script = alone(spoken.operation.dialect)
    script.say(*spoken.preamble, spoken.content[0], spoken.refused[:-missing])
    caller = await ask(gateway, spoken.document, scope_of(spoken.operation.path))
    assert caller.body.endswith(b"\n\n")
    reader = spoken.operation.reader()
    for event in caller.body.strip().split(b"\n\n"):
        name, _, data = event.rpartition(b"data: ")
        reader.event(name.removeprefix(b"event: ").strip(), data)
    assert reader.error is not None


@pytest.mark.parametrize("end", [httpx2.ReadError("reset"), b""])
async def test_a_compressed_stream_that_breaks(end: bytes | BaseException) -> None:
    """An error event cannot be added to a compressed response, so the connection is cut."""
    gateway, script = alone()
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(chunk("one")) + packer.flush(zlib.Z_FINISH if end == b"" else zlib.Z_SYNC_FLUSH)
    script.say(packed, end, headers=(*SSE, (b"content-encoding", b"gzip")))
    caller = Caller(json.dumps(ASK).encode())
    with pytest.raises(Interrupted):
        await gateway(scope_of(), caller.receive, caller.send)
    assert (caller.body, caller.complete) == (packed, False)


async def test_a_stop_is_told(spoken: Spoken) -> None:
    """If the server cancels a stream, the client gets an error event, and the upstream call is closed."""
    gateway, script = alone(spoken.operation.dialect)
    script.say(*spoken.preamble, spoken.content[0], 1000.0)
    caller = Caller(json.dumps(spoken.document).encode())
    running = asyncio.create_task(gateway(scope_of(spoken.operation.path), caller.receive, caller.send))
    await caller.until(lambda: spoken.content[0] in caller.body)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (b"gateway_draining" in caller.body, caller.complete, script.closed) == (True, True, 1)


async def test_a_document_that_breaks() -> None:
    """A partial document is ended by cutting the connection."""
    gateway, script = alone()
    script.say(ANSWER[:20], httpx2.ReadError("reset"), headers=JSON)
    caller = Caller(json.dumps(UNARY).encode())
    with pytest.raises(Interrupted):
        await gateway(scope_of(), caller.receive, caller.send)
    assert not caller.complete


@pytest.mark.parametrize("content", [False, True])
async def test_a_hang_up_closes_the_upstream(content: bool) -> None:
    """When the client disconnects, the call ends at once, and it is not a fault of the target."""
    gateway, script = alone()
    script.say(*[chunk("one")] * content, b": comment\n\n", 1000.0)
    caller, scope, began = Caller(json.dumps(ASK).encode()), scope_of(), now()
    running = asyncio.create_task(gateway(scope, caller.receive, caller.send))
    await caller.until(lambda: b"comment" in caller.body)
    caller.leave()
    await running
    exchange = Exchange.of(scope)
    assert (script.closed, exchange.client_gone) == (1, True)
    assert now() - began <= LISTEN_DELAY
    assert exchange.attempts[0].fault is None
    assert not caller.complete


async def test_a_client_that_takes_nothing() -> None:
    """A client that stops reading is given up after the stall limit, which is not a fault of the target."""
    gateway, script = alone()
    script.say(chunk("one"), 1.0, chunk("two"), 1000.0)
    caller, scope = Caller(json.dumps(ASK).encode()), scope_of()
    running = asyncio.create_task(gateway(scope, caller.receive, caller.send))
    await caller.until(lambda: caller.body == chunk("one"))
    caller.flowing.clear()
    await running
    exchange = Exchange.of(scope)
    assert (exchange.client_gone, exchange.attempts[0].fault, script.closed) == (True, None, 1)


@pytest.mark.parametrize("pieces", [(chunk("one"), DONE), (chunk("one"), httpx2.ReadError("reset"))])
async def test_the_upstream_is_released_before_the_last_message(pieces: tuple[Any, ...]) -> None:
    """The connection is released before the last message, since the server may be slow afterwards."""
    gateway, script = alone()
    script.say(*pieces)
    released: list[int] = []
    caller = Caller(json.dumps(ASK).encode())

    async def send(message: Message) -> None:
        if not message.get("more_body", True):
            released.append(script.closed)
        await caller.send(message)

    await gateway(scope_of(), caller.receive, send)
    assert released == [1]


async def test_no_task_is_left_behind() -> None:
    """However a call ends, no task that waits for the client is left."""
    gateway, script = alone()
    before = asyncio.all_tasks()
    for pieces in ((chunk("one"), DONE), (chunk("one"), httpx2.ReadError("reset")), (1000.0,)):
        script.say(*pieces)
        await ask(gateway)
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
