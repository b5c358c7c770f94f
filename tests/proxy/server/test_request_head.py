"""The head that the parser receives, and what is read from it."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from standby.proxy.errors import Refusal
from standby.proxy.http.request_checks import CHUNKED
from standby.proxy.server import ServerLimits, request_head
from standby.proxy.server.request_head import check_part, read_head

__all__: list[str] = []

_LIMITS = ServerLimits()


def _head(*lines: bytes, version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"POST /v1/messages HTTP/" + version, b"Host: a", *lines, b"", b""])


def test_a_plain_head_is_given_as_it_came() -> None:
    """A head is not rewritten without need, and the bytes after it are left alone."""
    raw = _head(b"X-A:  b  c", b"Content-Length: 12")

    head = read_head(raw + b"and a body", _LIMITS)

    assert head is not None
    assert (head.raw, head.end, head.length, head.expects) == (raw, len(raw), 12, False)


@pytest.mark.parametrize(
    ("lines", "length"),
    [((), 0), ((b"content-LENGTH: 007",), 7), ((b"Transfer-Encoding: Chunked",), CHUNKED)],
    ids=["none", "stated", "chunked"],
)
def test_the_length_of_the_body_is_read(lines: tuple[bytes, ...], length: int) -> None:
    """A body has the declared length, is chunked, or does not exist."""
    head = read_head(_head(*lines), _LIMITS)

    assert head is not None
    assert head.length == length


def test_blanks_after_a_value_are_taken_away() -> None:
    """Trailing blanks are removed, since one parser would keep them and the other would not."""
    raw = _head(b"X-A: b \t ", b"X-B: \t", b"X-C:")

    head = read_head(raw, _LIMITS)

    assert head is not None
    assert head.raw == _head(b"X-A: b", b"X-B:", b"X-C:")
    assert head.end == len(raw)


def test_offers_that_nobody_takes_up_are_taken_away() -> None:
    """B7: upgrade headers are removed. After one llhttp would parse no further request."""
    head = read_head(_head(b"Upgrade: h2c", b"X-A: b", b"HTTP2-Settings: c", b"UPGRADE: d"), _LIMITS)

    assert head is not None
    assert head.raw == _head(b"X-A: b")


@pytest.mark.parametrize(
    ("expectation", "version", "expects"),
    [
        (b"100-continue", b"1.1", True),
        (b"100-CONTINUE", b"1.1", True),
        (b"100-continue", b"1.0", False),
        (b"more", b"1.1", False),
    ],
)
def test_only_one_expectation_is_met(expectation: bytes, version: bytes, expects: bool) -> None:
    """`100-continue` is for HTTP/1.1. Any other expectation is removed."""
    line = b"Expect: " + expectation

    head = read_head(_head(line, version=version), _LIMITS)

    assert head is not None
    assert head.expects is expects
    assert head.raw == _head(*([line] if expects else []), version=version)


def test_a_head_that_is_not_whole_is_waited_for() -> None:
    """An incomplete head that may become valid is not refused."""
    raw = _head(b"X-A: b")

    for end in range(len(raw)):
        assert read_head(raw[:end], _LIMITS) is None


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"GET / HTTP/1.1\n", "malformed_request"),
        (b"\x16\x03\x01", "malformed_request"),
        (b"GET /" + b"a" * 9000, "uri_too_long"),
        (_head(b"X-A: " + b"b" * 70_000)[:-4], "headers_too_large"),
    ],
    ids=["line-feed", "tls", "uri", "header"],
)
def test_what_cannot_become_a_head_is_not_waited_for(raw: bytes, code: str) -> None:
    """B4, B9: a head is refused at the first byte beyond its limit."""
    with pytest.raises(Refusal) as refused:
        read_head(raw, _LIMITS)

    assert refused.value.code == code


@pytest.mark.parametrize("code", ["uri_too_long", "headers_too_large"])
def test_the_limits_are_the_configured_ones(code: str) -> None:
    """The configured limits on length apply."""
    limits = ServerLimits(target_bytes=8) if code == "uri_too_long" else ServerLimits(head_bytes=40)
    raw = _head(b"X-A: b")

    assert read_head(raw, _LIMITS) is not None
    with pytest.raises(Refusal) as refused:
        read_head(raw, limits)
    assert refused.value.code == code


def test_an_unfinished_head_is_not_matched(monkeypatch: pytest.MonkeyPatch) -> None:
    """However large it is, a head is parsed once: when its end has arrived."""
    monkeypatch.setattr(request_head, "_PLAIN", None)
    begun = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 50_000
    assert read_head(begun, ServerLimits()) is None


@pytest.mark.parametrize("pieces", [1, 2, 3])
@pytest.mark.parametrize(
    ("head", "broken"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nX", False),
        (b"GET / HTTP/1.1\r\nHost: a\r", False),
        (b"GET / HTTP/1.1\r\n\tX: \x80\xff", False),
        (b"GET / HTTP/1.1\nHost: a\r\n", True),
        (b"GET / HTTP/1.1\rHost: a\r\n", True),
        (b"GET / HTTP/1.1\r\r\nHost: a", True),
        (b"GET / HTTP/1.1\r\n\nHost: a", True),
        (b"GET / HTTP/1.1\r\nHost: a\x00", True),
        (b"GET / HTTP/1.1\r\nHost: a\x7f", True),
    ],
)
def test_what_cannot_become_a_head(head: bytes, broken: bool, pieces: int) -> None:
    """A control character and a bare line end are refused before the end is there, in whatever pieces they
    come."""
    for cuts in combinations(range(1, len(head)), pieces - 1):
        refused = False
        for start, end in pairwise((0, *cuts, len(head))):
            try:
                check_part(head[:end], start, ServerLimits())
            except Refusal as refusal:
                refused = refusal.code == "malformed_request"
                break
        assert refused is broken
