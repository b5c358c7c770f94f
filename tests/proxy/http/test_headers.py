"""Tests of the headers that are forwarded, in both directions."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.asgi import Headers
from standby.proxy.dialects.vendor import ANTHROPIC, OPENAI, Dialect
from standby.proxy.http.headers import RequestHeaders, downstream

__all__: list[str] = []

OWN: Final[Headers] = ((b"host", b"api.example"), (b"authorization", b"Bearer ours"), (b"x-team", b"llm"))


def upstream(own: Headers, caller: Headers, dialect: Dialect, length: int) -> list[tuple[bytes, bytes]]:
    """Returns all headers of a request to a provider."""
    headers = RequestHeaders(own, dialect)
    return [*headers.fixed, *headers.of(caller, length)]


STAYS: Final = (
    b"authorization",
    b"x-api-key",
    b"api-key",
    b"x-goog-api-key",
    b"cookie",
    b"host",
    b"connection",
    b"content-length",
    b"content-type",
    b"content-encoding",
    b"transfer-encoding",
    b"te",
    b"trailer",
    b"upgrade",
    b"expect",
    b"accept",
    b"accept-encoding",
    b"traceparent",
    b"tracestate",
    b"baggage",
    b"forwarded",
    b"x-forwarded-for",
    b"openai-organization",
    b"openai-project",
    b"x-stainless-retry-count",
    b"idempotency-key",
    b"x-standby-timeout-ms",
    b"referer",
    b"origin",
    b"x-anything",
)


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=lambda dialect: dialect.name)
def test_what_a_caller_may_not_say_to_a_provider(dialect: Dialect) -> None:
    """No credential, framing, address, trace or internal name of the caller reaches a provider."""
    caller = tuple((name, b"the caller's") for name in STAYS)
    sent = upstream(OWN, caller, dialect, 42)
    assert b"the caller's" not in {value for _, value in sent}


def test_what_a_provider_is_told() -> None:
    """The operator's headers, then the length of the body, then the caller's allowed headers."""
    caller = (
        (b"accept", b"text/event-stream"),
        (b"user-agent", b"sdk"),
        (b"x-other", b"1"),
        (b"openai-beta", b"a"),
    )
    assert upstream(OWN, caller, OPENAI, 42) == [
        *OWN,
        (b"content-length", b"42"),
        (b"user-agent", b"sdk"),
        (b"openai-beta", b"a"),
    ]


@pytest.mark.parametrize(("versions", "version"), [((), b"2023-06-01"), ((b"2024-01-01",), b"2024-01-01")])
def test_anthropics_version(versions: tuple[bytes, ...], version: bytes) -> None:
    """The API version is the caller's if there is one, else the default."""
    caller = tuple((b"anthropic-version", each) for each in versions)
    sent = upstream(OWN, ((b"anthropic-beta", b"b"), *caller), ANTHROPIC, 1)
    assert [value for name, value in sent if name == b"anthropic-version"] == [version]
    assert (b"anthropic-beta", b"b") in sent


@pytest.mark.parametrize("name", [b"user-agent", b"anthropic-version"])
@pytest.mark.parametrize("versions", [True, False])
def test_what_the_operator_says_is_said_once(name: bytes, versions: bool) -> None:
    """A static header in the provider's table replaces the caller's and the default."""
    caller = ((name, b"the caller's"),) if versions else ()
    sent = upstream((*OWN, (name, b"the operator's")), caller, ANTHROPIC, 1)
    assert [value for each, value in sent if each == name] == [b"the operator's"]


PASSES: Final[Headers] = (
    (b"content-type", b"application/json"),
    (b"content-encoding", b"gzip"),
    (b"x-request-id", b"req_1"),
    (b"request-id", b"req_1"),
    (b"retry-after", b"3"),
    (b"retry-after-ms", b"2500"),
    (b"x-should-retry", b"true"),
    (b"openai-processing-ms", b"12"),
    (b"openai-model", b"m"),
    (b"x-ratelimit-remaining-requests", b"9"),
    (b"x-ratelimit-reset-tokens", b"6m0s"),
    (b"anthropic-ratelimit-input-tokens-reset", b"2026-10-21T12:00:00Z"),
)
STOPS: Final[Headers] = (
    (b"set-cookie", b"sess=a"),
    (b"server", b"cloud"),
    (b"date", b"now"),
    (b"connection", b"keep-alive"),
    (b"keep-alive", b"timeout=5"),
    (b"upgrade", b"h2c"),
    (b"trailer", b"x"),
    (b"alt-svc", b"h3"),
    (b"location", b"http://169.254.169.254/"),
    (b"strict-transport-security", b"max-age=1"),
    (b"access-control-allow-origin", b"*"),
    (b"openai-organization", b"org"),
    (b"anthropic-organization-id", b"org"),
    (b"x-standby-target", b"forged"),
    (b"cf-ray", b"1"),
    (b"", b""),
)


def test_what_a_caller_is_told() -> None:
    """Types, limits and ids are forwarded, in their order; unknown headers are not."""
    assert downstream((*STOPS[:8], *PASSES, *STOPS[8:]), streamed=False) == list(PASSES)


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: x", b"a\nb", b"a\rb", b"a\x00b", b"\x1b[2J", b"a\x7f"])
def test_values_that_could_end_a_line(value: bytes) -> None:
    """An invalid value is dropped, not repaired."""
    assert downstream(((b"x-request-id", value), (b"x-ratelimit-reset-tokens", value)), streamed=False) == []


@pytest.mark.parametrize(
    ("provider", "length"),
    [
        (((b"content-length", b"5"),), b"5"),
        (((b"content-length", b"5"), (b"content-length", b"5")), b"5"),
        (((b"content-length", b"5"), (b"content-length", b"6")), None),
        (((b"content-length", b"5, 5"),), None),
        (((b"content-length", b"-5"),), None),
        (((b"content-length", b"+5"),), None),
        (((b"content-length", b""),), None),
        (((b"content-length", b"9" * 16),), None),
        (((b"content-length", b"5"), (b"transfer-encoding", b"chunked")), None),
        (((b"transfer-encoding", b"chunked"), (b"content-length", b"5")), None),
        (((b"transfer-encoding", b"gzip, chunked"),), None),
    ],
)
def test_framing_is_not_copied(provider: Headers, length: bytes | None) -> None:
    """A content length is forwarded only if it is unambiguous; other framing headers never are."""
    sent = downstream(provider, streamed=False)
    assert sent == ([] if length is None else [(b"content-length", length)])


def test_a_stream_has_no_length() -> None:
    """A stream may end earlier or later than its provider's, and proxies must not buffer it."""
    sent = downstream(((b"content-length", b"5"), (b"content-type", b"text/event-stream")), streamed=True)
    assert sent == [
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
    ]


@given(st.lists(st.tuples(st.sampled_from([pair[0] for pair in (*PASSES, *STOPS)]), st.binary(max_size=12))))
def test_no_answer_splits(provider: list[tuple[bytes, bytes]]) -> None:
    """For any headers of a provider, forwarded ones are valid and have an allowed name."""
    known = {name for name, _ in PASSES} | {b"content-length"}
    for name, value in downstream(tuple(provider), streamed=False):
        assert name in known
        assert not set(value) & {0, 10, 13}
