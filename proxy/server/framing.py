"""Finds where each request on a connection begins and ends. Bytes in, bytes out; no I/O.

The HTTP parser behind receives complete heads only, and exactly the bytes of each request. So it never sees a
head that was not validated, and both parsers see the same.
"""

from __future__ import annotations

from typing import Final

from ..http.request_checks import CHUNKED
from .chunks import Chunks
from .limits import ServerLimits
from .request_head import RequestHead, check_part, read_head

__all__ = ["Framing"]

_EMPTY_LINE: Final = b"\r\n"
_SEEN_BYTES: Final = 16 * 1024  # bytes of an incomplete head that are kept to determine the caller's dialect


class Framing:
    """The framing state of one connection, request by request.

    `surplus` is whether bytes arrived after a request before it was answered. Pipelining is not supported:
    the connection is closed after the answer to the first request.
    """

    __slots__ = (
        "_body_untouched",
        "_chunks",
        "_empty_line_skipped",
        "_left",
        "_limits",
        "_part",
        "head",
        "seen",
        "surplus",
    )

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._part = bytearray()  # an incomplete head
        self.surplus = False
        self.begin()

    def begin(self) -> None:
        """Reset the state for the next request."""
        self._part.clear()
        self._empty_line_skipped = False  # an empty line before the request was skipped
        self._chunks: Chunks | None = None
        self._left = 0  # bytes of the body that have not arrived
        self._body_untouched = True
        self.head: RequestHead | None = None
        self.seen = b""
        """The bytes last read as a head. A refusal reads the caller's dialect from them."""

    @property
    def silent(self) -> bool:
        """Whether no byte of a request has arrived."""
        return self.head is None and not self._part and not self._empty_line_skipped

    @property
    def complete(self) -> bool:
        """Whether the whole request has arrived."""
        return self.head is not None and not self._left and (self._chunks is None or self._chunks.complete)

    @property
    def in_body(self) -> bool:
        """Whether the head has arrived, but not the whole body."""
        return self.head is not None and not self.complete

    @property
    def unsolicited(self) -> bool:
        """Whether the client waits for `100 Continue` and has sent nothing of the body."""
        return self._body_untouched and self.head is not None and self.head.expects and not self.complete

    def feed(self, data: bytes) -> bytes:
        """Returns the bytes that the parser may see now, from `data` and from the bytes kept before.

        Raises Refusal for an invalid head or body.
        """
        if self.head is not None:
            return self._body(data)
        if self._part or data[:1] == b"\r":
            collected = self._collect_head(data)
            if collected is None:
                return b""
            data = collected
        self.seen = data
        head = self.head = read_head(data, self._limits)
        if head is None:
            self._part += data
            return b""
        self._part.clear()
        self.seen = head.raw  # not `data`, which would be kept in memory as long as the connection
        body = len(data) - head.end
        if head.length == CHUNKED:
            self._chunks = Chunks()
        else:
            self._left = head.length
            if body <= head.length and len(head.raw) == head.end:
                self._left -= body
                self._body_untouched = not body
                return data
        return head.raw + self._body(data[head.end :])

    def _collect_head(self, data: bytes) -> bytes | None:
        """Collect a head that arrives in parts. Returns all of it once it may be complete, else None."""
        part = self._part
        checked = len(part)
        part += data
        # RFC 9112, 2.2: at least one empty line before a request is to be ignored.
        if not self._empty_line_skipped and part.startswith(_EMPTY_LINE):
            self._empty_line_skipped = True
            del part[:2]
            checked = 0
        if part.find(b"\r\n\r\n", max(0, checked - 3)) >= 0:
            return bytes(part)
        self.seen = bytes(part[:_SEEN_BYTES])
        check_part(part, checked, self._limits)
        return None

    def _body(self, data: bytes) -> bytes:
        """Returns the part of `data` that belongs to the body, with chunks normalized."""
        if not data:
            return b""
        self._body_untouched = False
        if self._chunks is not None:
            data, rest = self._chunks.feed(data)
        else:
            data, rest = data[: self._left], data[self._left :]
            self._left -= len(data)
        self.surplus = self.surplus or bool(rest)
        return data
