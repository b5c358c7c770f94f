"""Bad requests, by their number in the matrix of bad input: bytes, and the expected status and code."""

from __future__ import annotations

from typing import Final

import pytest

from tests.proxy.server.wire import JSON, post

__all__ = ["ROWS", "SENT"]

_GET: Final = b"GET /v1/models HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n"
_CHUNKED: Final = b"Transfer-Encoding: chunked"


def _bare(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([*lines, b"", body])


def _chat(*headers: bytes, host: bytes = b"Host: gateway", body: bytes = b"") -> bytes:
    return _bare(b"POST /v1/chat/completions HTTP/1.1", host, JSON, *headers, body=body)


def _line(line: bytes) -> bytes:
    return _bare(line, b"Host: gateway", b"Connection: close")


def _chunks(body: bytes) -> bytes:
    return _chat(_CHUNKED, body=body)


_FRAMING: Final = {
    "B1-encoding-then-length": _chat(_CHUNKED, b"Content-Length: 2", body=b"2\r\n{}\r\n0\r\n\r\n"),
    "B1-length-then-encoding": _chat(b"Content-Length: 2", _CHUNKED, body=b"{}"),
    "B2-two-lengths": _chat(b"Content-Length: 2", b"Content-Length: 3", body=b"{}"),
    "B2-two-equal-lengths": _chat(b"Content-Length: 2", b"Content-Length: 2", body=b"{}"),
    "B2-plus": _chat(b"Content-Length: +2", body=b"{}"),
    "B2-minus": _chat(b"Content-Length: -2", body=b"{}"),
    "B2-list": _chat(b"Content-Length: 2, 2", body=b"{}"),
    "B2-hexadecimal": _chat(b"Content-Length: 0x2", body=b"{}"),
    "B2-two-words": _chat(b"Content-Length: 2 2", body=b"{}"),
    "B2-empty": _chat(b"Content-Length:", body=b"{}"),
    "B2-twenty-digits": _chat(b"Content-Length: 18446744073709551618", body=b"{}"),
    "B3-gzip-chunked": _chat(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "B3-identity": _chat(b"Transfer-Encoding: identity"),
    "B3-unknown": _chat(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "B3-chunked-twice": _chat(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
    "B3-two-headers": _chat(_CHUNKED, _CHUNKED, body=b"0\r\n\r\n"),
    "B3-empty": _chat(b"Transfer-Encoding:", body=b"0\r\n\r\n"),
    "B3-in-http-1.0": _bare(
        b"POST /v1/chat/completions HTTP/1.0", b"Host: gateway", JSON, _CHUNKED, body=b"0\r\n\r\n"
    ),
}
_MALFORMED: Final = {
    "B4-line-feeds-only": b"GET /v1/models HTTP/1.1\nHost: gateway\n\n",
    "B4-one-line-feed": b"GET /v1/models HTTP/1.1\r\nHost: gateway\nAccept: */*\r\n\r\n",
    "B4-last-line-feed": _GET + b"\n",
    "B4-carriage-returns-only": b"GET /v1/models HTTP/1.1\rHost: gateway\r\r",
    "B4-carriage-return-in-value": _GET + b"X-A: a\rb\r\n\r\n",
    "B4-carriage-return-in-target": b"GET /v1/mod\rels HTTP/1.1\r\nHost: gateway\r\n\r\n",
    "B4-fold-by-space": _GET + b"X-A: a\r\n b\r\n\r\n",
    "B4-fold-by-tab": _GET + b"X-A: a\r\n\tb\r\n\r\n",
    "B4-fold-of-nothing": _GET + b"X-A: a\r\n \r\nX-B: b\r\n\r\n",
    "B4-fold-of-the-first-line": b"GET /v1/models HTTP/1.1\r\n Host: gateway\r\nHost: gateway\r\n\r\n",
    "B4-nul-in-value": _GET + b"X-A: a\x00b\r\n\r\n",
    "B4-nul-in-name": _GET + b"X\x00A: a\r\n\r\n",
    "B4-nul-in-target": b"GET /v1/models\x00 HTTP/1.1\r\nHost: gateway\r\n\r\n",
    "B4-control-in-value": _GET + b"X-A: a\x01b\r\n\r\n",
    "B4-escape-in-value": _GET + b"X-A: \x1b[2J\r\n\r\n",
    "B4-vertical-tab": _GET + b"X-A:\x0ba\r\n\r\n",
    "B4-delete-in-value": _GET + b"X-A: a\x7f\r\n\r\n",
    "B4-space-before-colon": _GET + b"X-A : a\r\n\r\n",
    "B4-space-in-name": _GET + b"X A: a\r\n\r\n",
    "B4-no-name": _GET + b": a\r\n\r\n",
    "B4-no-colon": _GET + b"X-A\r\n\r\n",
    "B4-name-beyond-ascii": _GET + b"X-\xe9: a\r\n\r\n",
    "B4-two-spaces-in-line": _line(b"GET  /v1/models HTTP/1.1"),
    "B4-tab-in-line": _line(b"GET\t/v1/models\tHTTP/1.1"),
    "B4-space-in-target": _line(b"GET /v1/mod els HTTP/1.1"),
    "B4-space-before-line": _line(b" GET /v1/models HTTP/1.1"),
    "B4-space-after-line": _line(b"GET /v1/models HTTP/1.1 "),
    "B4-two-empty-lines-before": b"\r\n\r\n" + _line(b"GET /v1/models HTTP/1.1"),
    "B4-no-version": _line(b"GET /v1/models"),
    "B4-version-in-small-letters": _line(b"GET /v1/models http/1.1"),
    "B4-version-0.9": _line(b"GET /v1/models HTTP/0.9"),
    "B4-version-1.2": _line(b"GET /v1/models HTTP/1.2"),
    "B4-version-2.0": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "B4-fragment": _line(b"GET /v1/models#a HTTP/1.1"),
    "B4-a-tls-hello": b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03",
    "B4-chunk-size": _chunks(b"x\r\n{}\r\n0\r\n\r\n"),
    "B4-chunk-size-signed": _chunks(b"+2\r\n{}\r\n0\r\n\r\n"),
    "B4-chunk-size-prefixed": _chunks(b"0x2\r\n{}\r\n0\r\n\r\n"),
    "B4-chunk-size-of-65-bits": _chunks(b"10000000000000002\r\n{}\r\n0\r\n\r\n"),
    "B4-chunk-size-then-space": _chunks(b"2 \r\n{}\r\n0\r\n\r\n"),
    "B4-chunk-line-feed": _chunks(b"2\n{}\n0\n\n"),
    "B4-chunk-too-long": _chunks(b"1\r\n{}\r\n0\r\n\r\n"),
    "B4-chunk-extension-endless": _chunks(b"2;" + b"a" * 300),
    "B4-chunk-extension-control": _chunks(b"2;a=\x01\r\n{}\r\n0\r\n\r\n"),
    "B4-trailer-broken": _chunks(b"2\r\n{}\r\n0\r\nX A: b\r\n\r\n"),
    "B6-absolute-target": _line(b"GET http://evil.example/v1/models HTTP/1.1"),
    "B6-absolute-target-of-here": _line(b"GET http://gateway/v1/models HTTP/1.1"),
    "B6-connect": _line(b"CONNECT evil.example:443 HTTP/1.1"),
    "B6-asterisk": _line(b"OPTIONS * HTTP/1.1"),
    "B6-no-slash": _line(b"GET v1/models HTTP/1.1"),
    "B6-path-at-host": _line(b"GET @evil.example HTTP/1.1"),
}
_HOSTS: Final = {
    "B5-none": _bare(b"GET /v1/models HTTP/1.1"),
    "B5-two": _bare(b"GET /v1/models HTTP/1.1", b"Host: gateway", b"Host: gateway"),
    "B5-two-that-differ": _bare(b"GET /v1/models HTTP/1.1", b"Host: gateway", b"Host: evil.example"),
    **{
        f"B5-{name}": _bare(b"GET /v1/models HTTP/1.1", b"Host: " + host)
        for name, host in {
            "empty": b"",
            "with-path-and-fragment": b"x/#@y",
            "with-user": b"admin@gateway",
            "with-scheme": b"http://gateway",
            "with-space": b"gate way",
            "with-comma": b"gateway,evil.example",
            "with-words-for-port": b"gateway:http",
            "with-query": b"gateway?x",
            "with-backslash": b"gateway\\evil",
            "beyond-ascii": b"g\xc3\xa4teway",
            "open-bracket": b"[::1",
        }.items()
    },
}
_METHODS: Final = {
    "B6-connect-of-a-path": _line(b"CONNECT /v1/models HTTP/1.1"),
    "B6-trace": _line(b"TRACE /v1/models HTTP/1.1"),
    "B6-odd-method": _line(b"FOO!BAR /v1/models HTTP/1.1"),
    "B6-known-to-one-parser": _line(b"PURGE /v1/models HTTP/1.1"),
    "B6-in-small-letters": _line(b"get /v1/models HTTP/1.1"),
    "B6-delete": _line(b"DELETE /v1/models HTTP/1.1"),
    "B6-post-to-a-list": post(line=b"POST /v1/models HTTP/1.1"),
    "B6-get-of-an-operation": _line(b"GET /v1/chat/completions HTTP/1.1"),
    "B6-put": _line(b"PUT /v1/messages HTTP/1.1"),
    "B49-options": _line(b"OPTIONS /v1/chat/completions HTTP/1.1"),
}
_PATHS: Final = {
    f"B20-{name}": post(line=b"POST %b HTTP/1.1" % path)
    for name, path in {
        "dots": b"/v1/../v1/chat/completions",
        "encoded-dots": b"/v1/%2e%2e/v1/chat/completions",
        "encoded-slash": b"/v1%2fchat/completions",
        "encoded-backslash": b"/v1%5cchat/completions",
        "encoded-letter": b"/v1/%63hat/completions",
        "encoded-nul": b"/v1/chat/completions%00",
        "encoded-twice": b"/v1/%252e%252e/chat/completions",
        "broken-escape": b"/v1/chat/completions%zz",
        "backslash": b"/v1\\chat/completions",
        "two-slashes": b"/v1//chat/completions",
        "two-slashes-first": b"//v1/chat/completions",
        "other-host": b"//evil.example/v1/chat/completions",
        "slash-at-end": b"/v1/chat/completions/",
        "semicolon": b"/v1/chat/completions;a=b",
        "in-capitals": b"/V1/chat/completions",
        "beyond-ascii": b"/v1/ch\xc3\xa4t/completions",
        "root": b"/",
        "unknown": b"/v1/files",
        "model-dots": b"/v1/models/..",
        "model-dots-within": b"/v1/models/a/../b",
        "model-empty": b"/v1/models/",
        "model-endless": b"/v1/models/" + b"a" * 257,
        "admin": b"/metrics",
    }.items()
} | {"B49-admin": _line(b"GET /status HTTP/1.1"), "B49-options": _line(b"OPTIONS /admin HTTP/1.1")}
_TYPES: Final = {
    f"B35-{name}": _bare(
        b"POST /v1/chat/completions HTTP/1.1",
        b"Host: gateway",
        b"Connection: close",
        *types,
        b"Content-Length: 2",
        body=b"{}",
    )
    for name, types in {
        "none": (),
        "text": (b"Content-Type: text/plain",),
        "utf-16": (b"Content-Type: application/json; charset=utf-16",),
        "other-parameter": (b"Content-Type: application/json; a=b",),
        "second-parameter": (b"Content-Type: application/json; charset=utf-8; a=b",),
        "form": (b"Content-Type: multipart/form-data; boundary=a",),
        "jsonl": (b"Content-Type: application/jsonl",),
        "suffix": (b"Content-Type: application/vnd.api+json",),
        "empty": (b"Content-Type:",),
        "list": (b"Content-Type: application/json, text/plain",),
        "two": (JSON, b"Content-Type: text/plain"),
        "two-equal": (JSON, JSON),
    }.items()
}
_ENCODINGS: Final = {
    f"B36-{name}": post(b"Content-Encoding: " + encoding)
    for name, encoding in {
        "gzip": b"gzip",
        "br": b"br",
        "deflate": b"deflate",
        "zstd": b"zstd",
        "gzip-twice": b"gzip, gzip",
        "unknown": b"rot13",
        "empty": b"",
    }.items()
} | {"B36-two": post(b"Content-Encoding: identity", b"Content-Encoding: gzip")}
_HEADERS: Final = {
    "B13-authorization": post(b"Authorization: Bearer a", b"Connection: Authorization"),
    "B13-key": post(b"X-Api-Key: a", b"Connection: keep-alive, x-api-key"),
    "B13-not-even-there": post(b"Connection: authorization"),
    "B41-256-bytes": post(b"Idempotency-Key: " + b"a" * 256),
    "B41-empty": post(b"Idempotency-Key:"),
    "B41-tab": post(b"Idempotency-Key: a\tb"),
    "B41-two": post(b"Idempotency-Key: a", b"Idempotency-Key: b"),
    "timeout-zero": post(b"X-Standby-Timeout-Ms: 0"),
    "timeout-negative": post(b"X-Standby-Timeout-Ms: -1"),
    "timeout-in-words": post(b"X-Standby-Timeout-Ms: 5s"),
    "timeout-twice": post(b"X-Standby-Timeout-Ms: 5", b"X-Standby-Timeout-Ms: 6"),
}
_SIZES: Final = {
    ("B9-101-headers", 431, "headers_too_large"): _GET + b"X-A: b\r\n" * 99 + b"\r\n",
    ("B9-5000-headers", 431, "headers_too_large"): _GET + b"A:\r\n" * 5000 + b"\r\n",
    ("B9-65-KiB", 431, "headers_too_large"): _GET + b"X-A: " + b"b" * 65 * 1024 + b"\r\n\r\n",
    ("B9-1-MiB", 431, "headers_too_large"): _GET + b"X-A: " + b"b" * 1024 * 1024 + b"\r\n\r\n",
    ("B9-uri", 414, "uri_too_long"): _line(b"GET /" + b"a" * 8192 + b" HTTP/1.1"),
    ("B9-uri-by-its-query", 414, "uri_too_long"): _line(b"GET /v1/models?" + b"a" * 8192 + b" HTTP/1.1"),
    ("B9-uri-endless", 414, "uri_too_long"): b"GET /" + b"a" * 1024 * 1024,
    ("B9-uri-of-an-odd-method", 414, "uri_too_long"): _line(b"FOO /" + b"a" * 8192 + b" HTTP/1.1"),
    ("B9-trailers", 431, "headers_too_large"): _chunks(b"2\r\n{}\r\n0\r\n" + b"X-A: b\r\n" * 1200 + b"\r\n"),
    ("B9-trailer", 431, "headers_too_large"): _chunks(b"2\r\n{}\r\n0\r\nX-A: " + b"b" * 9000),
    ("B10-announced", 413, "body_too_large"): _chat(b"Content-Length: 33554433", b"Connection: close"),
    ("B10-18-digits", 413, "body_too_large"): _chat(b"Content-Length: 999999999999999999"),
}

_ROWS: Final = tuple(
    (name, raw, status, code)
    for table, status, code in (
        (_FRAMING, 400, "ambiguous_framing"),
        (_MALFORMED, 400, "malformed_request"),
        (_HOSTS, 400, "bad_host"),
        (_METHODS, 405, "method_not_allowed"),
        (_PATHS, 404, "unknown_route"),
        (_TYPES, 415, "unsupported_media_type"),
        (_ENCODINGS, 415, "unsupported_media_type"),
        (_HEADERS, 400, "invalid_header"),
    )
    for name, raw in table.items()
) + tuple((name, raw, status, code) for (name, status, code), raw in _SIZES.items())

ROWS: Final = tuple(pytest.param(raw, status, code, id=name) for name, raw, status, code in _ROWS)
"""The request, the status, the code."""

SENT: Final = tuple(raw for _, raw, _, _ in _ROWS if len(raw) < 3000)
"""The requests, without those that are only large."""
