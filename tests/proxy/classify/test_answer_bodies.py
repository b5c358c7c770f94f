"""Tests of reading an answer that is not a stream: a JSON document, an error, an HTML page, an empty body."""

from __future__ import annotations

import gzip
from types import MappingProxyType
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.asgi import Headers
from standby.proxy.classify.answer import MAX_HELD, MAX_READ, Answer, Verdict
from standby.proxy.classify.faults import Fault, FaultKind
from standby.proxy.dialects.registry import OPERATIONS, operation_named

__all__: list[str] = []

HOLD, COMMIT, FAULT = Verdict
JSON: Final[Headers] = ((b"content-type", b"application/json"),)
SSE: Final[Headers] = ((b"content-type", b"text/event-stream"),)

ANSWERS: Final = MappingProxyType[str, dict[str, Any]](
    {
        "chat": {"id": "c1", "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]},
        "responses": {"id": "r1", "object": "response", "status": "completed", "output": []},
        "embeddings": {"object": "list", "data": [{"embedding": [0.5]}], "model": "e"},
        "messages": {"id": "m1", "type": "message", "content": [{"type": "text", "text": "Hi"}]},
        "count_tokens": {"input_tokens": 3},
    }
)


def read(
    operation: str, body: bytes, *, status: int = 200, headers: Headers = JSON, streamed: bool = False
) -> Answer:
    """An answer that has been received completely."""
    answer = Answer(operation_named(operation), streamed=streamed)
    answer.start(status, headers)
    answer.feed(body)
    answer.end()
    return answer


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_document(operation: str) -> None:
    """A document is committed at its end, if it is an answer to the operation."""
    answer = Answer(operation_named(operation), streamed=False)
    body = orjson.dumps(ANSWERS[operation])
    assert answer.start(200, JSON) is HOLD
    assert answer.feed(body[:9]) is HOLD
    assert answer.progress
    assert answer.feed(body[9:]) is HOLD
    assert answer.end() is COMMIT
    assert (answer.complete, answer.fault, answer.is_stream) == (True, None, False)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b"[]",
        b'"text"',
        b'{"choices": []}',
        b'{"id": "c1", "cho',
        b"<html></html>",
        b"\xff",
    ],
)
def test_no_document(operation: str, body: bytes) -> None:
    """A 200 whose body is not an answer, or only a part of one, is a bad response."""
    answer = read(operation, body)
    assert (answer.verdict, answer.fault) == (FAULT, Fault("bad_response", 200))
    assert not answer.complete


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_error_document(operation: str) -> None:
    """An error under a 200 is a fault of the kind that the error names."""
    answer = read(operation, b'{"error": {"type": "overloaded_error", "message": "No."}}')
    assert answer.verdict is FAULT
    assert answer.fault is not None
    assert (answer.fault.kind, answer.fault.status, answer.fault.code) == (
        "overloaded",
        200,
        "overloaded_error",
    )


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind", [b"text/html", b"text/html; charset=utf-8", b"TEXT/HTML"])
def test_a_page(streamed: bool, kind: bytes) -> None:
    """An HTML page is a fault by its headers, without waiting for the body."""
    answer = Answer(operation_named("chat"), streamed=streamed)
    assert answer.start(200, ((b"content-type", kind),)) is FAULT
    assert answer.fault == Fault("bad_response", 200)


def test_a_document_for_a_stream() -> None:
    """A document instead of a stream is a bad response, unless it is an error with a kind of its own."""
    assert read("chat", orjson.dumps(ANSWERS["chat"]), streamed=True).fault == Fault("bad_response", 200)
    answer = read("chat", b'{"error": {"code": "server_is_overloaded"}}', streamed=True)
    assert answer.fault is not None
    assert answer.fault.kind == "overloaded"


def test_a_stream_for_a_document() -> None:
    """A stream instead of a document is a bad response."""
    answer = Answer(operation_named("chat"), streamed=False)
    assert answer.start(200, SSE) is FAULT
    assert answer.fault == Fault("bad_response", 200)


@pytest.mark.parametrize("kind", [b"", b"application/octet-stream", b"text/plain"])
def test_a_stream_that_does_not_say_so(kind: bytes) -> None:
    """Some servers stream with another content type: the answer is classified by its events."""
    answer = Answer(operation_named("chat"), streamed=True)
    answer.start(200, ((b"content-type", kind),))
    assert answer.feed(b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n') is COMMIT


@pytest.mark.parametrize("kind", [b"text/event-stream", b"application/json"])
def test_whether_it_was_asked_for_as_a_stream_may_be_unknown(kind: bytes) -> None:
    """If it is unknown whether a stream was requested, the answer's headers decide."""
    answer = Answer(operation_named("chat"), streamed=None)
    assert answer.start(200, ((b"content-type", kind),)) is HOLD
    assert answer.is_stream == (kind == b"text/event-stream")


def test_an_operation_that_nobody_knows() -> None:
    """An answer of an unknown operation is classified by its status alone."""
    assert Answer(None, streamed=False).start(200, SSE) is COMMIT
    answer = Answer(None, streamed=False)
    assert answer.start(503, ()) is HOLD
    assert answer.end() is FAULT
    assert answer.fault is not None
    assert (answer.fault.kind, answer.reader) == ("overloaded", None)


REFUSALS: Final = MappingProxyType[str, tuple[int, bytes, FaultKind]](
    {
        "caller's": (400, b'{"error": {"type": "invalid_request_error"}}', "bad_request"),
        "context": (400, b'{"error": {"code": "context_length_exceeded"}}', "context_overflow"),
        "rate": (429, b'{"error": {"code": "rate_limit_exceeded"}}', "rate_limited"),
        "quota": (429, b'{"error": {"code": "insufficient_quota"}}', "quota"),
        "failure": (500, b"", "upstream_5xx"),
        "page": (502, b"<html>Bad Gateway</html>", "upstream_5xx"),
        "redirect": (307, b"", "bad_response"),
        "odd": (999, b"", "bad_response"),
    }
)


@pytest.mark.parametrize(("status", "body", "kind"), REFUSALS.values(), ids=REFUSALS.keys())
@pytest.mark.parametrize("streamed", [False, True])
def test_a_refusal(status: int, body: bytes, kind: FaultKind, streamed: bool) -> None:
    """An answer with a status other than 2xx is classified at the end of its body."""
    answer = Answer(operation_named("chat"), streamed=streamed)
    assert answer.start(status, JSON) is HOLD
    assert answer.feed(body) is HOLD
    assert answer.end() is FAULT
    assert answer.fault is not None
    assert (answer.fault.kind, answer.fault.status) == (kind, status)
    assert not answer.complete


def test_a_refusals_wait() -> None:
    """The delay of an error answer is read from its headers."""
    answer = read("chat", b"", status=429, headers=(*JSON, (b"retry-after", b"30")))
    assert answer.fault == Fault("rate_limited", 429, None, 30.0)


def test_a_compressed_refusal() -> None:
    """A compressed error answer is decoded."""
    body = gzip.compress(b'{"error": {"code": "insufficient_quota"}}')
    answer = read("chat", body, status=429, headers=(*JSON, (b"content-encoding", b"gzip")))
    assert answer.fault is not None
    assert answer.fault.kind == "quota"


def test_a_long_refusal() -> None:
    """An error answer over 64 KiB is classified by what was received so far."""
    answer = Answer(operation_named("chat"), streamed=False)
    answer.start(400, JSON)
    assert answer.feed(b"x" * MAX_HELD) is HOLD
    assert answer.feed(b"x") is FAULT
    assert answer.fault == Fault("bad_request", 400)


def test_a_long_document() -> None:
    """A document is committed after 64 KiB, and then still read for its usage."""
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    body = orjson.dumps({**ANSWERS["chat"], "padding": "x" * MAX_HELD, "usage": usage})
    answer = Answer(operation_named("chat"), streamed=False)
    answer.start(200, JSON)
    assert answer.feed(body[:MAX_HELD]) is HOLD
    assert answer.feed(body[MAX_HELD:]) is COMMIT
    assert answer.end() is COMMIT
    assert answer.complete
    assert answer.reader is not None
    assert answer.reader.usage is not None
    assert answer.reader.usage.output == 4


@pytest.mark.parametrize("piece", [64 * 1024, MAX_READ + 1])
def test_a_very_long_document(piece: int) -> None:
    """A document over 1 MiB is relayed without being parsed or kept, and is complete at its end."""
    answer = Answer(operation_named("embeddings"), streamed=False)
    answer.start(200, JSON)
    for _ in range(2 * MAX_READ // piece):
        answer.feed(b"x" * piece)
    assert answer.verdict is COMMIT
    assert answer.end() is COMMIT
    assert (answer.complete, answer.fault) == (True, None)
    assert answer.reader is not None
    assert answer.reader.usage is None


def test_a_document_that_breaks_off() -> None:
    """A connection that fails within a document is a fault; after commit, a truncation."""
    early = Answer(operation_named("chat"), streamed=False)
    early.start(200, JSON)
    early.feed(b'{"id"')
    assert early.broke("stream_failed") is FAULT
    late = Answer(operation_named("chat"), streamed=False)
    late.start(200, JSON)
    late.feed(b"x" * (MAX_HELD + 1))
    assert late.broke("stream_failed") is COMMIT
    assert late.fault == Fault("stream_truncated", 200)


def test_a_bomb() -> None:
    """A document that expands too much is a bad response."""
    answer = read("chat", gzip.compress(bytes(2**24)), headers=(*JSON, (b"content-encoding", b"gzip")))
    assert (answer.verdict, answer.fault) == (FAULT, Fault("bad_response", 200))


@given(
    st.sampled_from(sorted(OPERATIONS)),
    st.booleans(),
    st.integers(100, 999),
    st.lists(st.binary(max_size=60)),
)
def test_any_answer_is_judged(operation: str, streamed: bool, status: int, pieces: list[bytes]) -> None:
    """For any input, an answer that has ended is committed, or is a fault with a kind."""
    for headers in (JSON, SSE, ()):
        answer = Answer(operation_named(operation), streamed=streamed)
        answer.start(status, headers)
        for piece in pieces:
            answer.feed(piece)
        assert answer.end() in {COMMIT, FAULT}
        assert answer.complete == (answer.fault is None)
