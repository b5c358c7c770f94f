"""The life of a connection: keep-alive, pipelining, split packets, and clients that disconnect."""

from __future__ import annotations

import socket

import pytest
from standby.proxy.asgi import Receive, Scope, Send
from standby.proxy.errors import Refusal

from tests.proxy.server.wire import CHAT, JSON, Answer, Served, post, until_closed

__all__: list[str] = []

_HEAD = b"\r\n".join([CHAT, b"Host: a", JSON, b"Content-Length: 2"])
_KEPT = _HEAD + b"\r\n\r\n{}"
_LAST = _HEAD + b"\r\nConnection: close\r\n\r\n{}"


def _one(connection: socket.socket) -> Answer:
    """Read the next answer on a connection that is kept alive."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(1)
    length = int(Answer.parsed(received).header("content-length")[0])
    while length:
        received += (part := connection.recv(length))
        length -= len(part)
    return Answer.parsed(received)


def test_a_connection_serves_request_after_request(served: Served) -> None:
    """A request that begins after an answer is served on the same connection, with its own id."""
    with served.connected() as connection:
        for _ in range(3):
            connection.sendall(_KEPT)
            assert _one(connection).status == 200
        connection.sendall(_LAST)
        assert Answer.parsed(until_closed(connection)).status == 200

    assert len({arrived.request_id for arrived in served.recorder.arrived}) == 4


def test_every_head_on_a_connection_is_judged(served: Served) -> None:
    """A later request is validated like the first, and its refusal ends the connection."""
    with served.connected() as connection:
        connection.sendall(_KEPT)
        assert _one(connection).status == 200
        connection.sendall(_KEPT.replace(b"Host: a", b"Host : a"))
        assert Answer.parsed(until_closed(connection)).code == "malformed_request"

    assert len(served.recorder.arrived) == 1


def test_a_request_may_come_byte_by_byte(served: Served) -> None:
    """The way a request is split into packets changes nothing."""
    assert served.ask(*(bytes([byte]) for byte in _LAST)).status == 200

    [arrived] = served.recorder.arrived
    assert arrived.body == b"{}"


def test_pipelined_requests_are_not_served(served: Served) -> None:
    """Of pipelined requests the first is answered, the others are dropped, and the connection is closed."""
    answer = served.ask(_KEPT + _KEPT + _KEPT)

    assert (answer.status, answer.body) == (200, b'{"ok":true}')
    assert len(served.recorder.arrived) == 1


def test_a_smuggled_request_is_not_served(served: Served) -> None:
    """Bytes beyond the declared length are never parsed as a request."""
    answer = served.ask(_KEPT + b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n" * 2)

    assert (answer.status, answer.body) == (200, b'{"ok":true}')
    assert [arrived.path for arrived in served.recorder.arrived] == ["/v1/chat/completions"]


def test_http_1_0_gets_one_answer(served: Served) -> None:
    """HTTP/1.0 needs no host, and its connection is closed after the answer."""
    answer = served.ask(b"GET /healthz HTTP/1.0\r\n\r\n")

    assert answer.status == 200
    assert answer.header("connection") == ["close"]


def test_who_expects_to_be_asked_is_asked(served: Served) -> None:
    """`Expect: 100-continue` gets its 100 when the app reads the body, and then its answer."""
    head, body = _LAST[:-2].replace(b"\r\n\r\n", b"\r\nExpect: 100-Continue\r\n\r\n"), _LAST[-2:]
    with served.connected() as connection:
        connection.sendall(head)
        interim = b""
        while not interim.endswith(b"\r\n\r\n"):
            interim += connection.recv(1)
        assert interim.startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert Answer.parsed(until_closed(connection)).status == 200

    assert len(served.recorder.arrived) == 1


def test_who_is_refused_is_not_asked(served: Served) -> None:
    """B39: a request is refused before `100 Continue`, and the bytes after it are not parsed as a request."""
    head = _HEAD.replace(JSON, b"Content-Type: text/plain") + b"\r\nExpect: 100-continue\r\n\r\n"
    with served.connected() as connection:
        connection.sendall(head)
        assert _one(connection).code == "unsupported_media_type"
        connection.sendall(_KEPT)
        assert until_closed(connection) == b""

    assert served.recorder.arrived == []


def test_http_1_0_is_never_asked(served: Served) -> None:
    """HTTP/1.0 has no 100 status: an expectation of it is ignored."""
    sent = post(b"Expect: 100-continue", line=CHAT.replace(b"1.1", b"1.0"))

    assert served.raw(sent).startswith(b"HTTP/1.1 200 ")


def test_asked_and_silent_is_late(hasty: Served) -> None:
    """B39: a client that received `100 Continue` and sends no body gets a 408."""
    head = _HEAD + b"\r\nExpect: 100-continue\r\n\r\n"

    interim, _, rest = hasty.raw(head).partition(b"\r\n\r\n")

    assert interim.startswith(b"HTTP/1.1 100 ")
    assert Answer.parsed(rest).code == "request_timeout"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET /v1/mod", id="B8-head"),
        pytest.param(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n", id="B8-headers"),
        pytest.param(_HEAD + b"\r\n\r\n{", id="B8-body"),
        pytest.param(
            _HEAD.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked") + b"\r\n\r\n2\r\n{",
            id="B8-chunk",
        ),
    ],
)
def test_a_request_that_never_ends_is_late(hasty: Served, sent: bytes) -> None:
    """B8: a request that does not arrive gets a 408, and the app gets at most a disconnect."""
    answer = hasty.ask(sent)

    assert (answer.status, answer.code) == (408, "request_timeout")
    assert hasty.recorder.arrived == []


def test_a_silent_connection_is_closed(hasty: Served) -> None:
    """B8: a connection without any data is closed without an answer."""
    assert hasty.raw(b"") == b""


def test_an_empty_line_is_no_answer_to_the_deadline(hasty: Served) -> None:
    """B8: the empty line that may precede a request starts its deadline."""
    assert hasty.ask(b"\r\n").code == "request_timeout"


def test_a_late_request_is_refused_in_its_dialect(hasty: Served) -> None:
    """A refusal before parsing chooses the dialect by the path or the version header."""
    by_path = hasty.ask(b"POST /v1/messages HTTP/1.1\r\nHost: a\r\n")
    by_header = hasty.ask(b"GET /v1/models HTTP/1.1\r\nAnthropic-Version: 2023-06-01\r\n")

    for answer in (by_path, by_header):
        assert answer.json["type"] == "error"
        assert answer.json["error"]["type"] == "timeout_error"
        assert answer.header("request-id") == [answer.json["request_id"]]


def test_a_head_request_gets_no_body_even_refused(served: Served) -> None:
    """The refusal of a HEAD request has the headers of the body that it lacks."""
    raw = served.raw(b"HEAD /v1/models HTTP/1.1\r\n\r\n")

    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert body == b""


def test_an_app_that_answers_early_keeps_the_connection(served: Served) -> None:
    """The rest of a body that was not read is skipped, and the next request is served."""
    with served.connected() as connection:
        connection.sendall(_HEAD.replace(JSON, b"Content-Type: text/plain") + b"\r\n\r\n")
        assert _one(connection).code == "unsupported_media_type"
        connection.sendall(b"{}")
        connection.sendall(_LAST)
        assert Answer.parsed(until_closed(connection)).status == 200


def test_a_body_that_nobody_waits_for_must_end_as_well(hasty: Served) -> None:
    """After an early answer the rest of the body has the same deadline as any body."""
    with hasty.connected() as connection:
        connection.sendall(_HEAD.replace(JSON, b"Content-Type: text/plain") + b"\r\n\r\n{")
        assert _one(connection).code == "unsupported_media_type"
        assert until_closed(connection) == b""


def test_a_refused_upload_can_read_its_answer(served: Served) -> None:
    """B10: a client that is still sending when it is refused may go on for a while, and is not cut off."""
    large = 33 * 1024 * 1024
    answer = served.ask(_HEAD.replace(b"h: 2", b"h: %d" % large) + b"\r\n\r\n", b"a" * large)

    assert (answer.status, answer.code) == (413, "body_too_large")
    assert answer.header("connection") == ["close"]
    assert served.recorder.arrived == []


def test_a_chunked_upload_refused_midway_can_read_its_answer(served: Served) -> None:
    """B10: the same holds for a body whose length is known only as it arrives."""

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise Refusal("body_too_large", close=True)

    served.recorder.instead = refusing
    head = _HEAD.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked") + b"\r\n\r\n"

    answer = served.ask(head, *[b"10000\r\n" + b"a" * 0x10000 + b"\r\n"] * 100)

    assert (answer.status, answer.code) == (413, "body_too_large")


def test_a_client_that_leaves_midway_is_a_hang_up(served: Served) -> None:
    """B11: a body shorter than its declared length is a disconnect for the app, and nothing is answered."""
    with served.connected() as connection:
        connection.sendall(_HEAD + b"\r\n\r\n{")
        connection.shutdown(socket.SHUT_WR)
        assert until_closed(connection) == b""

    assert served.recorder.arrived == []


def test_an_app_that_crashes_is_an_internal_error(served: Served) -> None:
    """A crash is answered as JSON like any refusal, and does not reveal its cause."""

    async def crashing(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("sk-secret")

    served.recorder.instead = crashing

    answer = served.ask(_LAST)

    assert (answer.status, answer.code) == (500, "internal_error")
    assert b"secret" not in answer.body
