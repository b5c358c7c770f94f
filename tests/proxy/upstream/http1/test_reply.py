"""Which bytes are accepted as a response, and what is parsed from them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Final, TypeAlias

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from standby.proxy.upstream.http1.reply import MAX_HEAD, MAX_LINES, Reply

__all__: list[str] = []

LINE: Final = b"HTTP/1.1 200 OK\r\n"
CHUNKED: Final = LINE + b"transfer-encoding: chunked\r\n\r\n"

WHOLE: Final = {
    "length": (LINE + b"Content-Length: 5\r\n\r\nhello", 200, b"hello", True),
    "empty": (LINE + b"content-length: 0\r\n\r\n", 200, b"", True),
    "line_ends": (LINE + b"content-length: 2\r\n\r\n\r\n", 200, b"\r\n", None),
    "chunked": (CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", 200, b"hello world", True),
    "capitals": (
        LINE + b"Transfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
        200,
        b"0123456789",
        True,
    ),
    "extensions": (CHUNKED + b'5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n', 200, b"hello", True),
    "trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nx-a: 1\r\nauthorization: evil\r\n\r\n", 200, b"hello", True),
    "zeros": (CHUNKED + b"0005\r\nhello\r\n000\r\n\r\n", 200, b"hello", True),
    "both": (
        LINE + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        200,
        b"abc",
        False,
    ),
    "both_turned": (
        LINE + b"transfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        200,
        b"abc",
        False,
    ),
    "no_content": (b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n", 204, b"", True),
    "not_modified": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", 304, b"", True),
    "no_reason": (b"HTTP/1.1 429\r\ncontent-length: 2\r\n\r\nno", 429, b"no", True),
    "interim": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        + LINE
        + b"content-length: 2\r\n\r\nok",
        200,
        b"ok",
        True,
    ),
    "closing": (LINE + b"connection: close\r\ncontent-length: 2\r\n\r\nok", 200, b"ok", False),
    "closing_too": (LINE + b"connection: x, Close\r\ncontent-length: 2\r\n\r\nok", 200, b"ok", False),
    "old": (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, b"ok", False),
    "old_but_kept": (
        b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
        200,
        b"ok",
        True,
    ),
}
"""By name: the bytes, the status, the body, and whether the connection can be reused (None if it cannot be
known)."""

REFUSED: Final = {
    "two_lengths": LINE + b"content-length: 2\r\ncontent-length: 3\r\n\r\nokk",
    "the_same_twice": LINE + b"content-length: 2\r\ncontent-length: 2\r\n\r\nok",
    "listed_lengths": LINE + b"content-length: 2, 2\r\n\r\nok",
    "signed_length": LINE + b"content-length: +2\r\n\r\nok",
    "negative_length": LINE + b"content-length: -2\r\n\r\nok",
    "no_length": LINE + b"content-length:\r\n\r\nok",
    "huge_length": LINE + b"content-length: 99999999999999999999999\r\n\r\nok",
    "both_and_two_lengths": LINE
    + b"content-length: 2\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "both_but_not_chunked": LINE + b"content-length: 2\r\ntransfer-encoding: gzip\r\n\r\nok",
    "gzip": LINE + b"transfer-encoding: gzip\r\n\r\nok",
    "gzip_chunked": LINE + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked_gzip": LINE + b"transfer-encoding: chunked, gzip\r\n\r\nok",
    "chunked_twice": LINE + b"transfer-encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "nearly_chunked": LINE + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "comma_chunked": LINE + b"transfer-encoding: ,chunked\r\n\r\n0\r\n\r\n",
    "old_chunked": b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded": LINE + b"x: a\r\n b\r\ncontent-length: 0\r\n\r\n",
    "bare_lf": LINE + b"x: a\ncontent-length: 0\r\n\r\n",
    "bare_lf_first": b"HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n",
    "bare_lf_last": LINE + b"content-length: 0\n\n",
    "bare_cr": LINE + b"x: a\rb\r\ncontent-length: 0\r\n\r\n",
    "no_colon": LINE + b"no colon\r\n\r\n",
    "space_before_colon": LINE + b"x : a\r\n\r\n",
    "no_name": LINE + b": a\r\n\r\n",
    "nul": LINE + b"x: a\x00b\r\n\r\n",
    "control": LINE + b"x: a\x01b\r\n\r\n",
    "name_of_bytes": LINE + b"x\xff: a\r\n\r\n",
    "chunk_lf": CHUNKED + b"2\nok\r\n0\r\n\r\n",
    "chunk_without_end": CHUNKED + b"2\r\nok0\r\n\r\n",
    "chunk_longer": CHUNKED + b"2\r\nokk\r\n0\r\n\r\n",
    "chunk_space": CHUNKED + b"2 ;a\r\nok\r\n0\r\n\r\n",
    "chunk_hex": CHUNKED + b"0x2\r\nok\r\n0\r\n\r\n",
    "chunk_negative": CHUNKED + b"-2\r\nok\r\n0\r\n\r\n",
    "chunk_huge": CHUNKED + b"fffffffffffffffff\r\nok\r\n0\r\n\r\n",
    "chunk_empty": CHUNKED + b"\r\nok\r\n0\r\n\r\n",
    "extension_lf": CHUNKED + b"2;a\nb\r\nok\r\n0\r\n\r\n",
    "trailer_folded": CHUNKED + b"0\r\nx: a\r\n b\r\n\r\n",
    "trailer_length": CHUNKED + b"0\r\ncontent-length: 5\r\n\r\n",
    "trailer_coding": CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "http_2": b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    "http_0": b"HTTP/0.9 200 OK\r\n\r\n",
    "small_letters": b"http/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "rtsp": b"RTSP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    "icy": b"ICY 200 OK\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "blank_line_first": b"\r\n" + LINE + b"content-length: 0\r\n\r\n",
    "status_letters": b"HTTP/1.1 abc\r\n\r\n",
    "status_long": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status_short": b"HTTP/1.1 20 OK\r\n\r\n",
    "status_099": b"HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching\r\n\r\n",
    "upgraded": b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nabc",
    "interim_with_body": b"HTTP/1.1 103 Hints\r\ncontent-length: 5\r\n\r\nhello"
    + LINE
    + b"content-length: 0\r\n\r\n",
    "interim_chunked": b"HTTP/1.1 100 C\r\ntransfer-encoding: chunked\r\n\r\n"
    + LINE
    + b"content-length: 0\r\n\r\n",
    "interim_then_garbage": b"HTTP/1.1 100 C\r\n\r\n{}",
    "zeros": b"\x00" * 200,
    "body_only": b'{"id": 1}',
}


def fed(*parts: bytes, bodiless: bool = False) -> Reply:
    """Returns a reply that was fed these parts, one read after the other."""
    reply = Reply(bodiless=bodiless)
    for part in parts:
        if reply.error is None:
            reply.feed(part)
    return reply


def singly(data: bytes) -> list[bytes]:
    """Returns the data one byte at a time."""
    return [data[at : at + 1] for at in range(len(data))]


def at_once(data: bytes) -> list[bytes]:
    """Returns the data in one part."""
    return [data]


Split: TypeAlias = Callable[[bytes], list[bytes]]
SPLIT: Final = pytest.mark.parametrize("split", [at_once, singly])


def body_of(reply: Reply) -> bytes:
    """Returns the buffered body."""
    read: list[bytes] = []
    while chunk := reply.next_chunk():
        read.append(chunk)
    return b"".join(read)


@pytest.mark.parametrize("name", WHOLE)
@SPLIT
def test_a_whole_answer(name: str, split: Split) -> None:
    """Each kind of response has the same status, body and keep-alive however it arrives."""
    data, status, body, kept = WHOLE[name]
    reply = fed(*split(data))
    assert (reply.error, reply.complete, reply.status, body_of(reply)) == (None, True, status, body)
    if kept is not None:
        assert reply.keep_alive is kept


@given(st.data(), st.sampled_from(sorted(WHOLE)))
def test_in_any_pieces(data: st.DataObject, name: str) -> None:
    """The boundaries of the reads make no difference."""
    raw, status, body, kept = WHOLE[name]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(raw) - 1), max_size=8)))
    ends = [0, *cuts, len(raw)]
    reply = fed(*(raw[start:end] for start, end in pairwise(ends)))
    assert (reply.error, reply.complete, reply.status, body_of(reply)) == (None, True, status, body)
    if kept is not None:
        assert reply.keep_alive is kept


@pytest.mark.parametrize("name", [name for name, kind in WHOLE.items() if kind[3]])
@pytest.mark.parametrize("more", [b"\r\n", b"\n", b"H", b"HTTP/1.1 200 OK\r\n\r\n", b"{}", b"\x00"])
@pytest.mark.parametrize("joined", [True, False])
def test_what_follows_an_answer(name: str, more: bytes, joined: bool) -> None:
    """Data after a response does not change it, but the connection is not reused."""
    data, status, body, _ = WHOLE[name]
    reply = fed(data + more) if joined else fed(data, more)
    assert (reply.error, reply.complete, reply.status, body_of(reply)) == (None, True, status, body)
    assert not reply.keep_alive


@pytest.mark.parametrize("name", REFUSED)
@SPLIT
def test_what_is_no_answer(name: str, split: Split) -> None:
    """What HTTP/1.1 does not allow is an error, without any body."""
    reply = fed(*split(REFUSED[name]))
    assert reply.error
    assert not reply.complete
    assert not reply.keep_alive
    with pytest.raises(httpx2.RemoteProtocolError):
        body_of(reply)


@pytest.mark.parametrize("name", WHOLE)
def test_the_end_comes_too_soon(name: str) -> None:
    """A truncated response is never complete."""
    data = WHOLE[name][0]
    for cut in range(1, len(data)):
        reply = fed(data[:cut])
        reply.eof("")
        assert not reply.complete
        assert reply.error


def test_an_answer_that_its_connection_ends() -> None:
    """Without length and chunks the end of the connection completes the body, but a failure does not."""
    reply = fed(LINE + b"\r\n", b"some", b"thing")
    assert not reply.complete
    reply.eof("")
    assert (reply.complete, body_of(reply), reply.keep_alive) == (True, b"something", False)
    broken = fed(LINE + b"\r\n", b"some")
    broken.eof("reset")
    assert broken.next_chunk() == b"some"
    with pytest.raises(httpx2.RemoteProtocolError, match="reset"):
        broken.next_chunk()


def test_what_came_before_the_fault_is_read_first() -> None:
    """The data before an error can be read."""
    reply = fed(CHUNKED + b"2\r\nok\r\nnonsense")
    assert reply.next_chunk() == b"ok"
    with pytest.raises(httpx2.RemoteProtocolError):
        reply.next_chunk()


@pytest.mark.parametrize("framing", [b"content-length: 5", b"transfer-encoding: chunked", b"x: y"])
def test_the_answer_to_head(framing: bytes) -> None:
    """The response to HEAD ends after its head.

    Its headers do not matter, and its connection is not reused.
    """
    reply = fed(LINE + framing + b"\r\n\r\n", bodiless=True)
    assert (reply.complete, reply.status, reply.next_chunk(), reply.keep_alive) == (True, 200, b"", False)


def test_headers_of_the_answer() -> None:
    """Names are in lower case, values are stripped, and trailers are dropped."""
    data = (
        LINE
        + b"X-Y: \t a b \t\r\nset-cookie: 1\r\nset-cookie: 2\r\nv: \xff\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    reply = fed(data)
    expected = [(b"x-y", b"a b"), (b"set-cookie", b"1"), (b"set-cookie", b"2"), (b"v", b"\xff")]
    assert reply.headers == [*expected, (b"transfer-encoding", b"chunked")]
    reply.feed(b"0\r\nset-cookie: 3\r\nauthorization: evil\r\n\r\n")
    assert reply.complete
    assert reply.headers == [*expected, (b"transfer-encoding", b"chunked")]


def test_headers_of_interim_answers_are_dropped() -> None:
    """The headers of a 103 response are not those of the final response."""
    reply = fed(b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\n", LINE + b"y: z\r\ncontent-length: 0\r\n\r\n")
    assert reply.headers == [(b"y", b"z"), (b"content-length", b"0")]


def test_one_read_is_one_piece() -> None:
    """All chunks in one read become one buffered chunk."""
    reply = fed(CHUNKED, b"1\r\na\r\n1\r\nb\r\n", b"1\r\nc\r\n")
    assert list(reply.unread) == [b"ab", b"c"]


def test_the_size_of_what_is_unread() -> None:
    """`buffered` grows with every chunk, and is 0 when all is read."""
    reply = fed(CHUNKED, b"5\r\nhello\r\n", b"1\r\nx\r\n0\r\n\r\n")
    assert reply.buffered > 6
    body_of(reply)
    assert reply.buffered == 0


def _head_of(size: int) -> bytes:
    end = b"content-length: 0\r\n\r\n"
    return LINE + b"x: " + b"y" * (size - len(LINE) - len(end) - 5) + b"\r\n" + end


@pytest.mark.parametrize("step", [1 << 20, 4096])
def test_a_head_has_its_limit(step: int) -> None:
    """The limit of the head is exact, however it arrives."""
    for size, taken in ((MAX_HEAD, True), (MAX_HEAD + 1, False)):
        head = _head_of(size)
        assert len(head) == size
        reply = fed(*(head[at : at + step] for at in range(0, size, step)))
        assert reply.complete is taken
        assert (reply.error is None) is taken


def test_a_large_body_behind_a_head() -> None:
    """Body data in the same read does not count towards the limit of the head."""
    reply = fed(LINE + b"content-length: 200000\r\n\r\n" + b"x" * 200_000)
    assert (reply.complete, len(reply.next_chunk()), reply.keep_alive) == (True, 200_000, True)


def test_interim_answers_share_the_limit() -> None:
    """All 1xx responses count towards the limit of the head."""
    interim = b"HTTP/1.1 102 Processing\r\n\r\n"
    few = MAX_HEAD // len(interim) - 2
    assert fed(*[interim] * few, LINE + b"content-length: 0\r\n\r\n").complete
    assert fed(*[interim] * (few + 10)).error
    assert fed(interim * (few + 10)).error


def test_lines_have_their_limit() -> None:
    """The number of lines is limited in the head, and separately in the trailers."""
    lines = b"x: y\r\n" * (MAX_LINES - 1)
    head = LINE + lines + b"transfer-encoding: chunked\r\n\r\n"
    assert fed(head + b"0\r\n" + lines + b"z: 1\r\n\r\n").complete
    assert fed(head + b"0\r\n" + lines + b"z: 1\r\nz: 2\r\n\r\n").error
    assert fed(LINE + lines + b"a: b\r\ntransfer-encoding: chunked\r\n\r\n").error


@pytest.mark.parametrize(
    "drip",
    [
        [LINE + b"x: ", b"y"],
        [LINE + b"x", b"y"],
        [CHUNKED + b"5;", b"a"],
        [CHUNKED + b"5;a=", b"b"],
        [CHUNKED, b"0"],
        [CHUNKED + b"0\r\nx: ", b"y"],
        [CHUNKED + b"0\r\nx", b"y"],
        [CHUNKED + b"0\r\n", b"x: y\r\n"],
        [b"HTTP/1.1 200 ", b"O"],
    ],
    ids=[
        "value",
        "name",
        "extension",
        "extension_value",
        "zeros",
        "trailer",
        "trailer_name",
        "trailers",
        "reason",
    ],
)
def test_what_never_ends_is_given_up(drip: list[bytes]) -> None:
    """Every part of a response that could go on for ever without body data is limited, and uses bounded
    memory."""
    reply = Reply()
    reply.feed(drip[0])
    tracemalloc.start()
    try:
        fed_bytes = 0
        while reply.error is None:
            reply.feed(drip[1] * 1000)
            fed_bytes += 1000 * len(drip[1])
            assert fed_bytes < 2 * MAX_HEAD
        assert tracemalloc.get_traced_memory()[1] < 8 * MAX_HEAD
    finally:
        tracemalloc.stop()


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=20))
@example([LINE, b"\r\n", b"\x00"])
def test_no_bytes_break_it(parts: list[bytes]) -> None:
    """Any bytes are a response, the beginning of one, or an error."""
    reply = fed(*parts)
    reply.eof("")
    assert reply.complete is (reply.error is None)


@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 200), st.integers(0, 255))
def test_a_changed_byte(name: str, at: int, value: int) -> None:
    """A response with one changed byte gives the same result at once or byte by byte."""
    raw = bytearray(WHOLE[name][0])
    raw[at % len(raw)] = value
    data = bytes(raw)
    results: list[object] = []
    for parts in ([data], singly(data)):
        reply = fed(*parts)
        read: list[bytes] = []
        try:
            while chunk := reply.next_chunk():
                read.append(chunk)
        except httpx2.RemoteProtocolError:
            pass
        results.append((reply.status, reply.complete, reply.error is None, b"".join(read)))
    assert results[0] == results[1]
