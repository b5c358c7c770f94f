"""Every fault of the simulator, byte by byte."""

from __future__ import annotations

import gzip
import json
import sys
import zlib

import pytest
from standby.proxy.rehearsal.simulator import (
    ALL_CONTENT,
    DONE,
    Byte,
    Chunks,
    Content,
    Cut,
    End,
    ErrorEvent,
    Fault,
    Framed,
    Garbage,
    Gzip,
    Headers,
    Html,
    Insert,
    Just,
    Malformed,
    Oversize,
    Redirect,
    Simulator,
    Status,
    stale_keep_alive,
)

from tests.proxy.rehearsal.caller import CHAT, MESSAGES, RESPONSES, STREAMS, Caller, ask, good

__all__: list[str] = []

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both loops: the tests run on asyncio's own, the demo and the bench on uvicorn's."""
    return "asyncio", {"use_uvloop": bool(request.param)}


@pytest.mark.parametrize("code", [400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 529])
async def test_an_error_status_has_the_vendors_body(alpha: Simulator, code: int) -> None:
    """Each status comes with the vendor's own error document, streamed or not."""
    alpha.fault = Status(code)
    openai, anthropic = await ask(alpha, stream=True), await ask(alpha, MESSAGES)

    assert (openai.status, anthropic.status) == (code, code)
    assert set(openai.json["error"]) == {"message", "type", "param", "code"}
    assert set(anthropic.json) == {"type", "error", "request_id"}
    assert alpha.canary.encode() in openai.body
    assert alpha.canary.encode() in anthropic.body


async def test_an_error_can_be_made_to_measure(alpha: Simulator) -> None:
    """Type, code, body, headers and Retry-After can each be set."""
    alpha.fault = Status(
        429, retry_after="banana", type="tokens", error_code="slow_down", headers=(("x-a", "1"),)
    )
    answer = await ask(alpha)
    alpha.fault = Status(999, body=b"?")
    odd = await ask(alpha)

    assert answer.headers is not None
    assert (answer.headers["retry-after"], answer.headers["x-a"]) == ("banana", "1")
    assert (answer.json["error"]["type"], answer.json["error"]["code"]) == ("tokens", "slow_down")
    assert odd.raw.startswith(b"HTTP/1.1 999 ")
    assert odd.body == b"?"


async def test_an_error_under_a_200(alpha: Simulator) -> None:
    """`Status(200)` and an `ErrorEvent` on a unary call are error documents with a success status."""
    alpha.faults.extend([Status(200), ErrorEvent()])
    answers = [await ask(alpha), await ask(alpha)]
    assert [(answer.status, "error" in answer.json) for answer in answers] == [(200, True), (200, True)]


@pytest.mark.parametrize(
    ("path", "fault", "expected"),
    [
        (CHAT, ErrorEvent(code="boom"), b'data: {"error":{'),
        (CHAT, ErrorEvent(Content(2)), b'data: {"error":{'),
        (
            MESSAGES,
            ErrorEvent(Content(0), status=529),
            b'event: error\ndata: {"type":"error","error":{"type":"over',
        ),
        (RESPONSES, ErrorEvent(2), b'event: error\ndata: {"type":"error","code":"server_is_overloaded"'),
        (RESPONSES, ErrorEvent(failed=True), b'event: response.failed\ndata: {"type":"response.failed"'),
    ],
)
async def test_a_stream_says_that_it_failed(
    alpha: Simulator, path: str, fault: ErrorEvent, expected: bytes
) -> None:
    """An error event is at its place, in the format of its API, and is the last event."""
    alpha.fault = fault
    answer, healthy = await ask(alpha, path, stream=True), await good(path, stream=True)

    assert answer.whole
    assert answer.events[-1].startswith(expected)
    assert answer.events[:-1] == healthy.events[: len(answer.events) - 1]


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize(("fault", "reset"), [(Cut(Content(2)), True), (Cut(Content(2), reset=False), False)])
async def test_a_cut_stream(alpha: Simulator, path: str, fault: Cut, reset: bool) -> None:
    """Everything before a cut arrives, then the connection drops by reset or by close."""
    alpha.fault = fault
    answer, healthy = await ask(alpha, path, stream=True), await good(path, stream=True)
    preamble = {CHAT: 1, MESSAGES: 3, RESPONSES: 4}[path]

    assert (answer.whole, answer.reset) == (False, reset)
    assert answer.events == healthy.events[: preamble + 2]


async def test_a_cut_at_every_byte(alpha: Simulator) -> None:
    """A body can be cut at any byte, even inside a chunk, and so can unary answers."""
    for streamed in (True, False):
        healthy = await good(stream=streamed)
        for offset in range(0, len(healthy.body), 7):
            alpha.fault = Cut(Byte(offset))
            answer = await ask(alpha, stream=streamed)
            assert (answer.body, answer.whole) == (healthy.body[:offset], False)


@pytest.mark.parametrize(
    ("fault", "sent", "whole"),
    [(Cut(Content(0)), 0, False), (Cut(Content(2)), 0.5, False), (End(), 0.5, True)],
)
async def test_a_unary_answer_breaks_in_its_middle(
    alpha: Simulator, fault: Fault, sent: float, whole: bool
) -> None:
    """At the place of a stream's content, a unary answer has half of its body."""
    alpha.fault = fault
    answer, healthy = await ask(alpha), await good()

    assert answer.body == healthy.body[: int(len(healthy.body) * sent)]
    assert answer.whole is whole


async def test_a_disconnect_before_any_byte(alpha: Simulator) -> None:
    """`Cut()` reads the request and answers nothing at all."""
    alpha.fault = Cut()
    assert (await ask(alpha)).raw == b""
    assert len(alpha.requests) == 1


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("framing", [None, Framed("eof")])
async def test_an_end_without_a_terminal_marker(alpha: Simulator, path: str, framing: Framed | None) -> None:
    """The stream ends cleanly, by its framing or by a close, without an event that ends the answer."""
    alpha.fault = End(ALL_CONTENT) & framing if framing else End()
    answer, healthy = await ask(alpha, path, stream=True), await good(path, stream=True)

    assert answer.whole
    assert not answer.reset
    assert b"well." in answer.events[-1]
    assert healthy.body.startswith(answer.body)
    assert not any(
        mark in answer.body for mark in (b"[DONE]", b"message_stop", b"response.completed", b'"stop"')
    )


async def test_places_count_from_either_end(alpha: Simulator) -> None:
    """A place can count events from the end, like a slice, and bytes across events."""
    healthy = await good(stream=True)
    alpha.faults.extend([End(-1), End(Byte(100)), End(1000)])
    bodies = [(await ask(alpha, stream=True)).body for _ in range(3)]
    assert bodies == [healthy.body.removesuffix(DONE), healthy.body[:100], healthy.body]


async def test_nothing_under_a_200(alpha: Simulator) -> None:
    """A stream can be empty, or only consist of its end."""
    alpha.faults.extend([Just(), Just(DONE)])
    answers = [await ask(alpha, stream=True), await ask(alpha, stream=True)]
    assert [(answer.status, answer.body, answer.whole) for answer in answers] == [
        (200, b"", True),
        (200, DONE, True),
    ]


async def test_a_page_or_a_redirect(alpha: Simulator) -> None:
    """An intermediary can answer instead of the provider."""
    alpha.faults.extend([Html(), Redirect()])
    page, redirect = await ask(alpha, stream=True), await ask(alpha)

    assert page.headers is not None
    assert redirect.headers is not None
    assert (page.status, page.headers["content-type"]) == (200, "text/html")
    assert alpha.canary.encode() in page.body
    assert (redirect.status, redirect.headers["location"][:16]) == (307, "http://169.254.1")


@pytest.mark.parametrize(
    ("fault", "status"), [(Fault(), 200), (Status(400), 400), (Status(503), 503)], ids=["200", "400", "503"]
)
async def test_unasked_compression(alpha: Simulator, fault: Fault, status: int) -> None:
    """Any answer can be compressed."""
    alpha.faults.extend([fault, fault & Gzip()])
    plain, packed = await ask(alpha, MESSAGES), await ask(alpha, MESSAGES)

    assert packed.headers is not None
    assert (packed.status, packed.headers["content-encoding"]) == (status, "gzip")
    assert len(json.loads(gzip.decompress(packed.body))) == len(plain.json)


async def test_a_compressed_stream_is_flushed_by_event(alpha: Simulator) -> None:
    """Every event of a compressed stream can be decoded as soon as it arrives."""
    alpha.fault = Gzip() & Cut(Content(2))
    answer, healthy = await ask(alpha, stream=True), await good(stream=True)
    assert zlib.decompressobj(wbits=31).decompress(answer.body).split(b"\n\n")[:-1] == healthy.events[:3]


async def test_a_broken_event_amid_whole_ones(alpha: Simulator) -> None:
    """A malformed event is invalid JSON, and the others stay intact. A unary answer is truncated itself."""
    alpha.fault = Malformed(Content(1))
    answer, unary = await ask(alpha, stream=True), await ask(alpha)
    broken = answer.events.pop(2)
    events = [event for event in answer.events if event != broken]

    for text in (broken.removeprefix(b"data: "), unary.body):
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
    assert events == (await good(stream=True)).events


async def test_an_inserted_or_oversize_event(alpha: Simulator) -> None:
    """Anything can be inserted anywhere into a body: a huge event, or data after the end."""
    alpha.faults.extend([Oversize(100_000), Insert(b"junk", sys.maxsize)])
    huge, junk = await ask(alpha, stream=True), await ask(alpha, stream=True)

    assert max(map(len, huge.events)) > 100_000
    assert junk.whole
    assert junk.body.endswith(DONE + b"junk")


async def test_an_inserted_event_is_counted(alpha: Simulator) -> None:
    """Places after an inserted event keep their meaning."""
    alpha.fault = Insert(b": more\n\n", 0) & Insert(b": more\n\n", Content(1)) & End()
    answer, healthy = await ask(alpha, stream=True), await good(stream=True)
    assert [event for event in answer.events if event != b": more"] == healthy.events[:-2]


async def test_framing_that_conflicts(alpha: Simulator) -> None:
    """An answer can declare a length, and be sent in chunks as well."""
    alpha.fault = Framed("both")
    answer = await ask(alpha, stream=True)
    assert b"content-length: 5\r\ntransfer-encoding: chunked\r\n" in answer.raw


async def test_extra_headers(alpha: Simulator) -> None:
    """An answer can have unexpected headers."""
    alpha.fault = Headers(("set-cookie", "session=1"))
    answer = await ask(alpha)
    assert answer.headers is not None
    assert answer.headers["set-cookie"] == "session=1"


@pytest.mark.parametrize("fault", [Chunks(size=1), Chunks(offsets=(3, 3, 10, 500, 10_000))])
async def test_other_chunks_same_bytes(alpha: Simulator, fault: Chunks) -> None:
    """Splitting the body into other chunks does not change the body."""
    alpha.fault = fault
    answer, healthy = await ask(alpha, stream=True), await good(stream=True)

    assert answer.body == healthy.body
    assert answer.raw != healthy.raw


async def test_garbage_after_the_answer(alpha: Simulator) -> None:
    """An answer to another request can follow on a kept connection."""
    alpha.fault = Garbage()
    caller = await Caller.to(alpha)
    await caller.send(CHAT, close=False)
    answer = await caller.read(until=b"garbage")
    caller.hang_up()

    assert answer.whole
    assert answer.after.startswith(b"HTTP/1.1 200 OK")


async def test_a_stale_connection(alpha: Simulator) -> None:
    """A reused connection closes without a byte after its second request. A fresh one is served."""
    alpha.fault = stale_keep_alive
    caller = await Caller.to(alpha)
    await caller.send(CHAT, close=False)
    first = await caller.read(until=b"well.")
    await caller.send(CHAT, close=False)
    second = await caller.read()
    caller.hang_up()

    assert first.status == 200
    assert (second.raw, second.reset) == (b"", False)
    assert (await ask(alpha)).status == 200


@pytest.mark.parametrize("joined", [Cut(0) & (Status(503) & Gzip()), (Cut(0) & Status(503)) & Gzip()])
async def test_joined_faults_keep_the_one_that_plays(alpha: Simulator, joined: Fault) -> None:
    """For any combination, all changes apply and the last fault with its own `play` sends the answer."""
    alpha.fault = joined
    answer = await ask(alpha)

    assert (answer.status, answer.body, answer.reset) == (503, b"", True)
    assert b"content-encoding: gzip" in answer.raw
