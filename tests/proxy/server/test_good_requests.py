"""Unusual requests that are accepted, and what reaches the app, with both parsers."""

from __future__ import annotations

import pytest

from tests.proxy.server.wire import CHAT, JSON, Answer, Served, post

__all__: list[str] = []

_TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(post(), id="plain"),
        pytest.param(b"\r\n" + post(), id="B4-empty-line-before"),
        pytest.param(post(host=b"hOsT:  gateway:8080\t "), id="B4-blanks-around-a-value"),
        pytest.param(post(host=b"Host: [::1]:8080"), id="B5-ipv6"),
        pytest.param(post(host=b"Host: 127.0.0.1"), id="B5-ipv4"),
        pytest.param(post(b"Connection: Upgrade", b"Upgrade: h2c", b"HTTP2-Settings: a"), id="B7-h2c"),
        pytest.param(post(b"Connection: Upgrade", b"Upgrade: websocket"), id="B7-websocket"),
        pytest.param(post(b"Upgrade: rot13"), id="B7-unknown"),
        pytest.param(post(*[b"X-A: b"] * 95), id="B9-100-headers"),
        pytest.param(post(b"X-A: " + b"b" * 60 * 1024), id="B9-60-KiB"),
        pytest.param(
            post(b"Authorization: bEARER abc", b"X-Api-Key: abc", b"X-Goog-Api-Key: abc"),
            id="B14-one-key-thrice",
        ),
        pytest.param(post(b"X-Api-Key: abc", b"X-Api-Key: abc"), id="B14-one-key-repeated"),
        pytest.param(post(b"Authorization: Bearer " + b"~" * 512), id="B16-512-bytes"),
        pytest.param(post(b"Content-Encoding: identity"), id="B36-identity"),
        pytest.param(post(b"Accept: text/html", b"Accept-Encoding: *;q=0"), id="B38"),
        pytest.param(post(b"Idempotency-Key: " + b"a" * 255), id="B41-255-bytes"),
        pytest.param(
            b"\r\n".join([CHAT.replace(b"1.1", b"1.0"), JSON, b"Content-Length: 2", b"", b"{}"]),
            id="http-1.0",
        ),
        pytest.param(
            b"\r\n".join(
                [CHAT, b"Host: a", JSON, b"Connection: close", b"Transfer-Encoding: CHUNKED", b"", b""]
            )
            + b"1;a=b\r\n{\r\n001 ; c\r\n}\r\n00\r\n\r\n",
            id="chunks",
        ),
    ],
)
def test_a_good_request_is_answered(served: Served, sent: bytes) -> None:
    """An unusual but valid request reaches the app completely, once, and its answer is returned."""
    answer = served.ask(sent)

    assert answer.status == 200
    assert answer.json == {"ok": True}
    [arrived] = served.recorder.arrived
    assert (arrived.method, arrived.path, arrived.body) == ("POST", "/v1/chat/completions", b"{}")
    assert answer.header("x-standby-request-id") == [arrived.request_id]


@pytest.mark.parametrize(
    ("kind"),
    [
        b"application/json; charset=utf-8",
        b"Application/JSON;charset=UTF-8",
        b'application/json ; charset="utf-8"',
        b"application/json\t",
    ],
    ids=["B35-utf-8", "B35-capitals", "B35-quoted", "B35-blank-after"],
)
def test_json_in_utf_8_may_say_so(served: Served, kind: bytes) -> None:
    """A content type may name UTF-8, the only supported charset."""
    sent = post().replace(JSON, b"Content-Type: " + kind)

    assert served.ask(sent).status == 200


@pytest.mark.parametrize(
    "path",
    [
        *(b"/v1/chat/completions", b"/v1/responses", b"/v1/embeddings", b"/v1/messages"),
        *(b"/v1/messages?beta=true", b"/v1/messages/count_tokens", b"/v1/messages/count_tokens?beta"),
    ],
)
def test_every_operation_has_a_path(served: Served, path: bytes) -> None:
    """B20: operations have exact paths, and those of Anthropic accept `?beta=true`."""
    assert served.ask(post(line=b"POST %b HTTP/1.1" % path)).status == 200
    assert [arrived.path for arrived in served.recorder.arrived] == [path.partition(b"?")[0].decode()]


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize(
    "path",
    [
        *(b"/healthz", b"/readyz", b"/v1/models", b"/v1/models?beta=true", b"/v1/models?"),
        *(b"/v1/models/gpt-4.1", b"/v1/models/org/model:free", b"/v1/models/claude@2024", b"/v1/models/...a"),
    ],
)
def test_what_the_gateway_answers_itself_is_read_by_get_and_head(
    served: Served, method: bytes, path: bytes
) -> None:
    """B20: health and models need no body and no content type. A model's name may hold slashes and colons."""
    line = b"%b %b HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n" % (method, path)

    answer = served.ask(line)

    assert answer.status == 200
    assert answer.body == (b"" if method == b"HEAD" else b'{"ok":true}')
    [arrived] = served.recorder.arrived
    assert arrived.path == path.partition(b"?")[0].decode()


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"Connection: x-mine, close\r\nX-Mine: 1", id="B13-named-by-connection"),
        pytest.param(b"X_Api_Key: abc", id="B19-underscore"),
        pytest.param(b"X-Forwarded-For: 10.0.0.1", id="B19-forwarded-for"),
        pytest.param(b"X-Forwarded-Host: evil.example", id="B19-forwarded-host"),
        pytest.param(b"Forwarded: for=10.0.0.1", id="B19-forwarded"),
        pytest.param(b"X-Standby-Target: a", id="B19-ours"),
        pytest.param(b"X-Standby-Timeout-Ms: 500", id="B19-ours-documented-is-read"),
        pytest.param(b"Range: bytes=0-1", id="B40-range"),
        pytest.param(b"If-None-Match: *", id="B40-if-none-match"),
        pytest.param(b"If-Modified-Since: a", id="B40-if-modified-since"),
        pytest.param(b"Traceparent: 00-0-0-00", id="B42-malformed"),
        pytest.param(b"Traceparent: " + _TRACE.replace(b"b7ad6b7169203331", b"0" * 16), id="B42-zeros"),
        pytest.param(b"Traceparent: %b\r\nTraceparent: %b" % (_TRACE, _TRACE), id="B42-two"),
        pytest.param(b"Traceparent: %b\r\nTracestate: a=%b" % (_TRACE, b"b" * 10_000), id="B42-10-kB"),
        pytest.param(b"Tracestate: a=b", id="B42-state-of-nothing"),
        pytest.param(b"Baggage: a=" + b"b" * 10_000, id="B42-baggage-of-10-kB"),
        pytest.param(b"X-Request-Id: \xe2\x80\xaeabc", id="B43"),
        pytest.param(b"X-Request-Id: " + b"a" * 10_000, id="B43-10-kB"),
        pytest.param(b"Request-Id: abc", id="B43-anthropic"),
        pytest.param(b"TE: trailers", id="te"),
        pytest.param(b"Keep-Alive: timeout=5", id="keep-alive"),
        pytest.param(b"Proxy-Authorization: Basic YTpi", id="proxy-authorization"),
        pytest.param(b"Expect: the-unexpected", id="expect"),
    ],
)
def test_what_does_not_count_goes_no_further(served: Served, header: bytes) -> None:
    """A hop-by-hop header, or one with a claim that cannot be verified, is removed before the app."""
    answer = served.ask(post(header))

    assert answer.status == 200
    [arrived] = served.recorder.arrived
    assert {name for name, _ in arrived.headers} == {b"host", b"content-type", b"content-length"}


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (b"User-Agent: OpenAI/Python  1 ", b"OpenAI/Python  1"),
        (b"Authorization: Bearer abc \t", b"Bearer abc"),
        (b"X-Api-Key:abc", b"abc"),
        (b"X-Mine: s\xc3\xa9same", b"s\xc3\xa9same"),
        (b"Traceparent: " + _TRACE, _TRACE),
        (b"Baggage: a=b", b"a=b"),
        (b"Idempotency-Key: a b", b"a b"),
        (b"Cookie:", b""),
    ],
)
def test_what_counts_arrives_as_it_was_sent(served: Served, header: bytes, value: bytes) -> None:
    """The app gets the caller's headers with lower-case names and without surrounding blanks."""
    served.ask(post(header))

    [arrived] = served.recorder.arrived
    assert arrived.header(header.partition(b":")[0].lower()) == [value]


@pytest.mark.parametrize("kind", [JSON, b"Content-Type: text/plain"], ids=["answered", "refused"])
@pytest.mark.parametrize(
    "request_id", [b"abc-123", b"\xe2\x80\xae", b"%0d%0aSet-Cookie:a", b"z" * 10_000], ids=["B43"] * 4
)
def test_a_request_id_is_always_our_own(served: Served, kind: bytes, request_id: bytes) -> None:
    """B43: the answer has the gateway's request id, whatever id the caller sends."""
    sent = post(b"X-Request-Id: " + request_id, b"Request-Id: " + request_id).replace(JSON, kind)

    answer = served.raw(sent)

    assert request_id not in answer
    assert Answer.parsed(answer).header("x-standby-request-id")[0].startswith("req_")


def test_trailers_never_count(served: Served) -> None:
    """B12: trailers after a chunked body, even a credential, are ignored."""
    head = [
        CHAT,
        b"Host: a",
        JSON,
        b"Connection: close",
        b"Transfer-Encoding: chunked",
        b"Trailer: authorization",
    ]
    body = b"2\r\n{}\r\n0\r\nAuthorization: Bearer evil\r\nX-Mine: 1\r\n\r\n"

    answer = served.ask(b"\r\n".join([*head, b"", b""]), body)

    assert answer.status == 200
    [arrived] = served.recorder.arrived
    assert arrived.body == b"{}"
    assert arrived.headers == ((b"host", b"a"), (b"content-type", b"application/json"))
