"""The heads of requests that are accepted for sending."""

from __future__ import annotations

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.upstream.http1.request_writer import RequestWriter

__all__: list[str] = []


def head(
    *headers: tuple[bytes, bytes], method: str = "POST", url: str = "http://a.test/v1/chat?x=%20y"
) -> RequestWriter:
    """Returns the head of a request with these headers."""
    return RequestWriter(httpx2.Request(method, url, headers=list(headers), stream=httpx2.ByteStream(b"")))


def test_as_it_was_given() -> None:
    """Case, order and repetition are kept, and the target is the URL's path and query."""
    writer = head((b"Host", b"a.test"), (b"x-A", b" b "), (b"x-a", b"\xff"), (b"empty", b""))
    lines = b"Host: a.test\r\nx-A:  b \r\nx-a: \xff\r\nempty: \r\n\r\n"
    assert writer.data == b"POST /v1/chat?x=%20y HTTP/1.1\r\n" + lines


@pytest.mark.parametrize("bad", [b"a\r\nb: c", b"a\nb", b"a\rb", b"a\x00b", b"\r\n", b"a\r\n"])
def test_more_than_one_line(bad: bytes) -> None:
    """A value that would be parsed as more than one header is refused."""
    with pytest.raises(httpx2.LocalProtocolError):
        head((b"host", b"a"), (b"x", bad))


@pytest.mark.parametrize("bad", [b"", b"a b", b"a:", b"a\r\nb", b"\xff", b"a\x00", b" a", b"a\t"])
def test_what_is_no_name(bad: bytes) -> None:
    """A header name with invalid characters is refused."""
    with pytest.raises(httpx2.LocalProtocolError):
        head((bad, b"x"))


@pytest.mark.parametrize("bad", ["PO ST", "POST\r\n", "", "PÖST"])
def test_what_is_no_method(bad: str) -> None:
    """A method with invalid characters is refused."""
    with pytest.raises(httpx2.LocalProtocolError):
        head(method=bad)


@given(st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=6)), max_size=4))
def test_as_many_lines_as_headers(headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever the headers hold, each becomes exactly one line, or nothing is sent."""
    try:
        data = head(*headers).data
    except httpx2.LocalProtocolError:
        return
    lines = data.split(b"\r\n")
    assert lines[1:-2] == [b"%b: %b" % pair for pair in headers]
    assert not any(b"\n" in line or b"\r" in line or b"\0" in line for line in lines)


@pytest.mark.parametrize(
    "framing",
    [
        [(b"content-length", b"1"), (b"Content-Length", b"1")],
        [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"gzip")],
        [(b"content-length", b"+1")],
        [(b"content-length", b"")],
        [(b"content-length", b"9" * 30)],
    ],
)
def test_one_way_to_frame_a_body(framing: list[tuple[bytes, bytes]]) -> None:
    """Headers with an ambiguous end of the body are refused."""
    with pytest.raises(httpx2.LocalProtocolError):
        head(*framing)


def test_a_body_of_the_length_it_says() -> None:
    """A body that is longer or shorter than its content-length is refused."""
    writer = head((b"content-length", b"4"))
    assert not writer.body_complete
    assert writer.frame(b"ab") == b"ab"
    with pytest.raises(httpx2.LocalProtocolError):
        writer.end()
    assert (writer.frame(b"cd"), writer.body_complete, writer.end()) == (b"cd", True, b"")
    with pytest.raises(httpx2.LocalProtocolError):
        writer.frame(b"e")
    with pytest.raises(httpx2.LocalProtocolError):
        head().frame(b"a body that nobody announced")


def test_a_body_in_chunks() -> None:
    """A body without a length is sent in chunks.

    An empty part is skipped, because an empty chunk ends the body.
    """
    writer = head((b"transfer-encoding", b"chunked"))
    assert [writer.frame(b"0123456789"), writer.frame(b""), writer.end()] == [
        b"a\r\n0123456789\r\n",
        b"",
        b"0\r\n\r\n",
    ]


def test_the_answer_to_head_has_no_body() -> None:
    """Only HEAD has a response without a body."""
    assert (head(method="HEAD").bodiless, head(method="GET").bodiless) == (True, False)
