"""One answer as it arrives: parsed, bounded, kept until it is read. No I/O.

llhttp parses, strictly; what it lets through and we do not is refused here. Every answer
has an object and a parser of its own, so that nothing of one can reach the reader of another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import httpx2
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

__all__ = ["MAX_HEAD", "MAX_LINES", "Reply"]

MAX_HEAD: Final = 64 * 1024
"""Bytes of an answer's head, with all the interim answers before it; of its trailers; and of what a chunk
says before its data."""
MAX_LINES: Final = 256
"""Header lines of an answer's head, with all the interim answers before it, and lines of its trailers."""
_PIECE: Final = 64
"""Bytes that a piece takes besides its own."""
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_END: Final = b"\r\n\r\n"
_BLANK: Final = b"\r\n"


class Reply:
    """What has come of one answer. `status` is 0 until its head is whole.

    Feed it what arrives and `eof`, then look: `unread` and `size` say what of the body waits to be read,
    `whole` that its end has come, `keep_alive` that its connection may serve again, `wrong` what is not HTTP
    or did not end well. What came before that is still to be read.
    """

    __slots__ = (
        "_chunked",
        "_head_left",
        "_http",
        "_lines",
        "_parts",
        "_plain",
        "_silent",
        "_tail",
        "_to_eof",
        "_waiter",
        "begun",
        "headers",
        "keep_alive",
        "size",
        "status",
        "unread",
        "whole",
        "wrong",
    )

    def __init__(self, *, bodiless: bool = False) -> None:
        http = HttpResponseParser(self)
        # A length besides chunks is superfluous (RFC 9112, 6.3), as long as nobody goes by it: the chunks are
        # what counts, and the connection is not used again.
        http.set_dangerous_leniencies(lenient_chunked_length=True)
        self._http: HttpResponseParser | None = http
        self._plain = bodiless  # the answer to HEAD: it ends with its head, whatever that says
        self._head_left = MAX_HEAD
        self._silent = 0  # bytes since the last of the body
        self._lines = 0
        self._parts: list[bytes] = []
        self._tail = b""  # the last bytes of what came before
        self._chunked = False
        self._to_eof = False
        self._waiter: asyncio.Future[None] | None = None
        self.begun = False
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.keep_alive = False
        self.unread: deque[bytes] = deque()
        self.size = 0
        self.whole = False
        self.wrong: str | None = None

    # -- what arrives -----------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take what one read of the connection gave; never empty."""
        http = self._http
        if http is None:
            self.keep_alive = False  # nothing may follow
            return
        last = self._collect(http, data)
        if self.whole:
            if not self._ends_with(data, last):
                self.keep_alive = False
            self._http = None
        elif self.wrong is not None:
            self._http = None
        else:
            self._tail = data[-5:] if len(data) > 4 else (self._tail + data)[-5:]
            if not last and self.status:
                self._silent += len(data)
                if self._silent > MAX_HEAD:
                    self._refuse("a chunk or the trailers say too much")
        if self.wrong is not None:
            self.keep_alive = False
        if self.status or self.wrong is not None:
            self.wake()

    def _collect(self, http: HttpResponseParser, data: bytes) -> bytes:
        """Parse, and keep what of the body is in it. The last piece of that, which may be all."""
        try:
            if self.status:
                http.feed_data(data)
            else:
                self._feed_head(http, data)
        except (HttpParserError, HttpParserUpgrade) as error:
            # What follows the end need not be HTTP: it makes the answer none the worse.
            if not self.whole:
                self.wrong = self.wrong or str(error) or "no HTTP"
        parts = self._parts
        if not parts:
            return b""
        last = parts[-1]
        chunk = last if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.unread.append(chunk)
        self.size += len(chunk) + _PIECE
        self._silent = 0
        return last

    def eof(self, why: str) -> None:
        """The connection has ended, for which `why` is empty if the provider closed it in good order."""
        self.keep_alive = False
        if not self.whole and self.wrong is None:
            if self.status and self._to_eof and not why:
                self.whole = True
            else:
                self.wrong = why or "peer closed connection, the answer is incomplete"
        self._http = None
        self.wake()

    def _feed_head(self, http: HttpResponseParser, data: bytes) -> None:
        if not self.begun:
            self.begun = True
            if data[0] != 0x48:  # llhttp skips blank lines, and takes RTSP/1.0 for HTTP
                self.wrong = "no HTTP"
                return
        left = self._head_left
        http.feed_data(data if len(data) <= left else data[:left])
        self._head_left -= len(data)
        if self.status or self._head_left > 0:
            if len(data) > left:
                http.feed_data(data[left:])
        else:
            self.wrong = "the head is too large"

    def _ends_with(self, data: bytes, last: bytes) -> bool:
        """Whether the end of the answer is the end of `data`; `last` is what of the body stands last in it.

        llhttp says when something follows, but for line ends, which it skips.
        """
        if last and not self._chunked:
            # Of a body of line ends alone it cannot be told, unless it is all there is.
            return len(last) == len(data) or (data.endswith(last) and bool(last.strip(_BLANK)))
        tail = (self._tail + data)[-5:]
        return tail.endswith(_END) and tail[0] not in _BLANK

    def _refuse(self, why: str) -> None:
        self.wrong = self.wrong or why
        self._http = None

    # -- what the parser calls --------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Another one begins: after an interim answer, or after the end."""
        if self.whole:
            self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of the head, or of the trailers: those are dropped."""
        if self.whole:
            return
        self._lines += 1
        if self._lines > MAX_LINES:
            self.wrong = self.wrong or "too many lines"
        elif not self.status:
            self.headers.append((name, value.rstrip(b" \t")))
        elif name.lower() in _FRAMING:
            self.wrong = "trailers that frame a body"

    def on_headers_complete(self) -> None:
        """The head is whole. An interim one is dropped."""
        http = self._http
        if http is None or self.whole or self.wrong is not None:
            return
        status = http.get_status_code()
        version = http.get_http_version()
        if version not in {"1.1", "1.0"} or status < 100 or status == 101:
            self.wrong = f"status {status} of HTTP/{version}"
            return
        codings = [value for name, value in self.headers if name.lower() == b"transfer-encoding"]
        sized = any(name.lower() == b"content-length" for name, _ in self.headers)
        if codings and (codings[0].lower() != b"chunked" or len(codings) > 1 or version == "1.0"):
            self.wrong = "an unknown transfer-encoding"
        elif status < 200:
            if codings or sized:
                self.wrong = "an interim answer with a body"
            self.headers = []
        else:
            self._lines = 0
            self._chunked = bool(codings)
            self._to_eof = not (codings or sized)
            self.keep_alive = http.should_keep_alive() and not (codings and sized)
            self.status = status
            if self._plain:
                self.whole = True
                self.keep_alive = False  # its parser waits for a body

    def on_body(self, part: bytes) -> None:
        """A piece of the body."""
        if not self.whole and self.wrong is None:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        """The end, unless it is that of an interim answer."""
        if self.status and self.wrong is None:
            self.whole = True

    # -- whoever reads ----------------------------------------------------------------------

    async def news(self) -> None:
        """Wait until `wake`: then more has come, or nothing more will."""
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """See to it that whoever waits looks again."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def take(self) -> bytes:
        """The next piece of the body, as it came; empty when none is here. Raises when none will be."""
        if self.unread:
            chunk = self.unread.popleft()
            self.size -= len(chunk) + _PIECE
            return chunk
        if self.wrong is not None and not self.whole:
            raise httpx2.RemoteProtocolError(self.wrong)
        return b""
