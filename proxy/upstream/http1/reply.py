"""Parses one HTTP/1.1 response incrementally and buffers its body, within limits. No I/O.

The parser is llhttp in strict mode; this module rejects what llhttp accepts but the gateway does not. Every
response has its own object and parser, so that data of one response cannot reach the reader of another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import httpx2
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

__all__ = ["MAX_HEAD", "MAX_LINES", "Reply"]

MAX_HEAD: Final = 64 * 1024
"""The limit in bytes of a response head including all 1xx responses before it; also of the trailers and of
one chunk's size line with its extensions."""
MAX_LINES: Final = 256
"""The limit of header lines in a head including all 1xx responses before it; and of lines in the trailers."""
_CHUNK_OVERHEAD: Final = 64
"""Bytes of memory counted for each buffered chunk in addition to its data."""
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_END: Final = b"\r\n\r\n"
_BLANK: Final = b"\r\n"


class Reply:
    """The state of one response. Call `feed` with received data and `eof` at the end of the connection.

    `status` is 0 until the head is complete, and `started` is whether any byte has arrived. The names of
    `headers` are in lower case. `ends_at_eof` is whether only the end of the connection ends the body.
    `unread` holds the chunks of the body not read yet, and `buffered` their size in bytes. `complete` is
    whether the whole response has arrived, and `keep_alive` whether its connection can be reused. `error` is
    the reason why the response is invalid or cut off, or None; the chunks before it can still be read.
    `waiter` is resolved when more data has arrived, or when the response has ended.
    """

    __slots__ = (
        "_bytes_without_body",
        "_chunked",
        "_head_left",
        "_http",
        "_lines",
        "_no_body",
        "_parts",
        "_tail",
        "buffered",
        "complete",
        "ends_at_eof",
        "error",
        "headers",
        "keep_alive",
        "started",
        "status",
        "unread",
        "waiter",
    )

    def __init__(self, *, bodiless: bool = False) -> None:
        http = HttpResponseParser(self)
        # A content-length next to chunked encoding must be ignored (RFC 9112, 6.3). The chunks delimit the
        # body, and the connection is not reused.
        http.set_dangerous_leniencies(lenient_chunked_length=True)
        self._http: HttpResponseParser | None = http
        self._no_body = bodiless  # a response to HEAD ends after its head, whatever its headers state
        self._head_left = MAX_HEAD
        self._bytes_without_body = 0  # bytes received since the last byte of body data
        self._lines = 0  # of the heads that are complete, or of the trailers
        self._parts: list[bytes] = []
        self._tail = b""  # the last 5 bytes of the data before
        self._chunked = False
        self.ends_at_eof = False
        self.waiter: asyncio.Future[None] | None = None
        self.started = False
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.keep_alive = False
        self.unread: deque[bytes] = deque()
        self.buffered = 0
        self.complete = False
        self.error: str | None = None

    # -- received data ----------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Parse the data of one read from the connection, which must not be empty."""
        http = self._http
        if http is None:
            self.keep_alive = False  # data after the response: the connection cannot be reused
            return
        try:
            if self.status:
                http.feed_data(data)
            else:
                self._feed_head(http, data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._mark_invalid(error)
        last = b""  # the last part of the body in `data`
        if parts := self._parts:
            self._parts = []
            last = parts[-1]
            chunk = b"".join(parts)  # no copy if it is one
            self.unread.append(chunk)
            self.buffered += len(chunk) + _CHUNK_OVERHEAD
            self._bytes_without_body = 0
        if self.complete or self.error is not None:
            self._http = None
            if self.error is not None or not self._ends_with(data, last):
                self.keep_alive = False
        else:
            self._tail = (self._tail + data[-5:])[-5:]
            if not last and self.status:
                self._bytes_without_body += len(data)
                if self._bytes_without_body > MAX_HEAD:
                    self._fail("a chunk or the trailers say too much")
        if self.waiter is not None and (self.status or self.error is not None):
            self.wake()

    def _mark_invalid(self, error: Exception) -> None:
        if not self.complete:  # invalid data after the end does not make the response itself invalid
            self.error = self.error or str(error) or "no HTTP"

    def eof(self, why: str) -> None:
        """Handle the end of the connection. `why` is empty if the provider closed it without an error."""
        self.keep_alive = False
        if not self.complete and self.error is None:
            if self.status and self.ends_at_eof and not why:
                self.complete = True
            else:
                self.error = why or "peer closed connection, the answer is incomplete"
        self._http = None
        self.wake()

    def _feed_head(self, http: HttpResponseParser, data: bytes) -> None:
        if not self.started:
            self.started = True
            if data[0] != 0x48:  # "H": llhttp skips blank lines and accepts RTSP/1.0
                self.error = "no HTTP"
                return
        left = self._head_left
        http.feed_data(data if len(data) <= left else data[:left])
        self._head_left -= len(data)
        if self.status or self._head_left > 0:
            if len(data) > left:
                http.feed_data(data[left:])
        else:
            self.error = "the head is too large"

    def _ends_with(self, data: bytes, last: bytes) -> bool:
        """Whether the response ends exactly at the end of `data`. `last` is the last part of the body in it.

        llhttp reports data after the end of a response, except line ends, which it skips.
        """
        if last and not self._chunked:
            # A body of line ends only is ambiguous unless it is all of `data`.
            return len(last) == len(data) or (data.endswith(last) and bool(last.strip(_BLANK)))
        tail = (self._tail + data)[-5:]
        return tail.endswith(_END) and tail[0] not in _BLANK

    def _fail(self, why: str) -> None:
        self.error = self.error or why
        self.keep_alive = False
        self._http = None

    # -- callbacks of the parser ------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A response begins: the first one, one after a 1xx response, or one after the end."""
        if self.complete:
            self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header line of the head; the size of all is limited. Trailers are counted and dropped."""
        if self.status:
            self._read_trailer(name)
        else:
            self.headers.append((name, value))

    def _read_trailer(self, name: bytes) -> None:
        self._lines += 1
        if self.complete:
            return  # the head of a response that nobody asked for
        if self._lines > MAX_LINES:
            self.error = self.error or "too many lines"
        elif name.lower() in _FRAMING:
            self.error = "trailers that frame a body"

    def on_headers_complete(self) -> None:
        """Validate the complete head and set `status`. The headers of a 1xx response are dropped."""
        http = self._http
        if http is None or self.complete or self.error is not None:
            return
        # llhttp has removed the blanks before a value, not those behind it.
        headers = [
            (name.lower(), value if value[-1:] > b" " else value.rstrip(b" \t"))
            for name, value in self.headers
        ]
        self.headers = []
        self._lines += len(headers)
        status = http.get_status_code()
        version = http.get_http_version()
        if self._lines > MAX_LINES:
            self.error = "too many lines"
            return
        if version not in {"1.1", "1.0"} or status < 100 or status == 101:
            self.error = f"status {status} of HTTP/{version}"
            return
        names = [name for name, _ in headers]
        codings: list[bytes] = []
        if b"transfer-encoding" in names:
            codings = [value for name, value in headers if name == b"transfer-encoding"]
        sized = b"content-length" in names
        if codings and (codings[0].lower() != b"chunked" or len(codings) > 1 or version == "1.0"):
            self.error = "an unknown transfer-encoding"
        elif status < 200:
            if codings or sized:
                self.error = "an interim answer with a body"
        else:
            self._lines = 0
            self.headers = headers
            self._chunked = bool(codings)
            self.ends_at_eof = not (codings or sized)
            self.keep_alive = http.should_keep_alive() and not (codings and sized)
            self.status = status
            if self._no_body:
                self.complete = True
                self.keep_alive = False  # the parser still expects a body

    def on_body(self, part: bytes) -> None:
        """Store a part of the body; `_collect` joins the parts of one read."""
        if not self.complete and self.error is None:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        """The response is complete, unless it was a 1xx response (`status` is still 0)."""
        if self.status and self.error is None:
            self.complete = True

    # -- reading ----------------------------------------------------------------------------

    def wake(self) -> None:
        """Wake the task that waits, if there is one."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def next_chunk(self) -> bytes:
        """Returns the next buffered chunk, or b"" if there is none. Raises RemoteProtocolError on `error`."""
        if self.unread:
            chunk = self.unread.popleft()
            self.buffered -= len(chunk) + _CHUNK_OVERHEAD
            return chunk
        if self.error is not None and not self.complete:
            raise httpx2.RemoteProtocolError(self.error)
        return b""
