"""The framing of requests, for any split of the bytes into packets."""

from __future__ import annotations

from itertools import pairwise

import h11
import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standby.proxy.errors import Refusal
from standby.proxy.server import ServerLimits
from standby.proxy.server.chunks import Chunks
from standby.proxy.server.framing import Framing
from standby.proxy.server.request_head import read_head

from tests.proxy.server.rows import SENT
from tests.proxy.server.wire import CHAT, JSON, post

__all__: list[str] = []

_LIMITS = ServerLimits()
_CHUNKED = b"\r\n".join([CHAT, b"Host: a", JSON, b"Transfer-Encoding: chunked", b"", b""])
_GOOD = (
    post(),
    b"\r\n" + post(),
    post(b"X-A: b \t", b"Upgrade: h2c", b"Expect: 100-continue"),
    post(body=b""),
    b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /healthz HTTP/1.0\r\n\r\n",
    _CHUNKED + b"1;a=b\r\n{\r\nA\r\n0123456789\r\n1\r\n}\r\n0\r\nX-A: b\r\nX-B: c\r\n\r\n",
    _CHUNKED + b"0\r\n\r\n",
)


def _outcome(pieces: list[bytes]) -> tuple[str, bytes, bool]:
    """The code of the refusal if any, the bytes that the parser saw, and whether the request was complete."""
    framing = Framing(_LIMITS)
    seen = b""
    for piece in pieces:
        try:
            seen += framing.feed(piece)
        except Refusal as refusal:
            return refusal.code, b"", False
    return "", seen, framing.complete


def _as_chunked(seen: bytes) -> bytes:
    """The bytes that the parser saw, with chunks joined, since their number depends on the packets."""
    head, _, body = seen.partition(b"\r\n\r\n")
    if b"chunked" not in head:
        return seen
    data = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        data += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return head + b"\r\n\r\n" + data


def _cut(raw: bytes, places: list[int]) -> list[bytes]:
    cuts = sorted({0, len(raw), *(place % (len(raw) + 1) for place in places)})
    return [raw[start:end] for start, end in pairwise(cuts)]


@pytest.mark.parametrize("raw", _GOOD)
def test_a_request_is_the_same_in_any_two_packets(raw: bytes) -> None:
    """A valid request split in two at any point gives the parser the same bytes."""
    code, whole, complete = _outcome([raw])

    assert (code, complete) == ("", True)
    for place in range(1, len(raw)):
        code, seen, complete = _outcome([raw[:place], raw[place:]])
        assert (code, _as_chunked(seen), complete) == ("", _as_chunked(whole), True)


@settings(deadline=None)
@given(st.sampled_from(_GOOD), st.lists(st.integers(0, 2000), max_size=20))
def test_a_request_is_the_same_in_any_packets(raw: bytes, places: list[int]) -> None:
    """A valid request split into any packets gives the parser the same bytes."""
    code, seen, complete = _outcome(_cut(raw, places))

    assert (code, complete) == ("", True)
    assert _as_chunked(seen) == _as_chunked(_outcome([raw])[1])


@settings(deadline=None)
@given(st.sampled_from(SENT), st.lists(st.integers(0, 3000)))
def test_a_refusal_is_the_same_in_any_packets(raw: bytes, places: list[int]) -> None:
    """A bad request split into any packets gets the same verdict, or hygiene gets the same request."""
    whole, cut = _outcome([raw]), _outcome(_cut(raw, places))

    assert cut[0] == whole[0]
    assert _as_chunked(cut[1]) == _as_chunked(whole[1])


@settings(deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(1, 40), max_size=20), st.lists(st.integers(0, 500)))
def test_a_chunked_body_is_read_as_it_was_written(body: bytes, sizes: list[int], places: list[int]) -> None:
    """Any body, split into any chunks and packets, comes out with the same bytes in new chunks."""
    chunks, at = b"", 0
    for size in sizes:
        if part := body[at : at + size]:
            chunks += b"%X;a=b\r\n%b\r\n" % (len(part), part)
        at += size
    rest = body[at:]
    chunks += (b"%x\r\n%b\r\n" % (len(rest), rest) if rest else b"") + b"000\r\nX-A: b\r\n\r\n"

    reader = Chunks()
    plain = beyond = b""
    for packet in _cut(chunks + b"GET", places):
        normalized, beyond = reader.feed(packet)
        plain += normalized
    assert reader.complete
    assert beyond == (b"GET" if not places else b"GET"[len(b"GET") - len(beyond) :])
    assert _as_chunked(b"Transfer-Encoding: chunked\r\n\r\n" + plain).partition(b"\r\n\r\n")[2] == body
    assert plain.endswith(b"0\r\n\r\n")


def test_what_follows_a_request_is_surplus() -> None:
    """Bytes after a request never reach the parser with it."""
    for raw in _GOOD:
        framing = Framing(_LIMITS)
        seen = framing.feed(raw + b"GET / HTTP/1.1\r\n\r\n")
        assert framing.surplus
        assert framing.complete
        assert seen == Framing(_LIMITS).feed(raw)
        assert framing.feed(b"more") == b""


def test_the_next_request_begins_afresh() -> None:
    """After one request the connection can take any other."""
    framing = Framing(_LIMITS)
    for raw in _GOOD * 2:
        assert framing.silent
        assert framing.feed(raw) == Framing(_LIMITS).feed(raw)
        assert framing.complete
        framing.begin()


def test_nothing_of_a_body_is_kept() -> None:
    """An idle connection keeps nothing of a large request in memory."""
    framing = Framing(_LIMITS)
    framing.feed(post(body=b" " * 100_000))

    assert len(framing.seen) < 200


class _RecordedHead:
    """A head as parsed by httptools."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.target = b""
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_message_complete(self) -> None:
        self.complete = True


_TOKEN = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=8).map(str.encode)
_VALUE = st.binary(max_size=12).map(lambda value: bytes(byte for byte in value if byte not in b"\r\n"))
_TARGET = st.binary(max_size=12).map(lambda target: b"/" + target)
_NAMES = st.sampled_from([b"Accept", b"X-A", b"Connection", b"Expect", b"Upgrade", b"User-Agent"])


@settings(deadline=None)
@given(
    st.sampled_from([b"GET", b"POST", b"OPTIONS", b"TRACE", b"HEAD", b"PURGE", b"get"]) | _TOKEN,
    st.just(b"/v1/models") | _TARGET,
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0"]),
    st.lists(st.tuples(_NAMES | _TOKEN, _VALUE), max_size=6),
)
def test_both_parsers_read_a_judged_head_alike(
    method: bytes, target: bytes, version: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    """I18: h11 and httptools parse an accepted head to the same method, target and headers."""
    lines = [b"%b %b %b" % (method, target, version), b"Host: a", *(b"%b: %b" % pair for pair in headers)]
    try:
        head = read_head(b"\r\n".join([*lines, b"", b""]), _LIMITS)
    except Refusal:
        return
    assert head is not None
    strict = h11.Connection(h11.SERVER)
    strict.receive_data(head.raw)
    event = strict.next_event()
    assert isinstance(event, h11.Request)
    recorded = _RecordedHead()
    lax = httptools.HttpRequestParser(recorded)
    lax.feed_data(head.raw)

    assert (lax.get_method(), recorded.target) == (event.method, event.target)
    assert recorded.headers == [(name, value) for name, value in event.headers]
    assert recorded.complete
    assert httptools.parse_url(event.target).path == event.target.partition(b"?")[0]
