"""Where each request on a connection begins and ends. Bytes in, bytes out; no I/O.

The parser behind is given whole heads only, and of each request exactly its own bytes. So it never sees a
head that was not judged, and both parsers see the same.
"""

from __future__ import annotations

from typing import Final

from ..http.request_checks import CHUNKED
from .chunks import Chunks
from .limits import ServerLimits
from .request_head import RequestHead, check_part, read_head

__all__ = ["Framing"]

_EMPTY_LINE: Final = b"\r\n"
_ENOUGH: Final = 16 * 1024  # bytes of a head's beginning that are looked at to tell a caller's dialect


class Framing:
    """Follows one connection, request by request.

    `surplus` says that bytes came after a request before it was answered. Pipelining is not served: the
    answer to the first request is the connection's last.
    """

    __slots__ = ("_chunks", "_emptied", "_left", "_limits", "_part", "_untouched", "head", "seen", "surplus")

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._part = bytearray()  # the beginning of a head
        self.surplus = False
        self.begin()

    def begin(self) -> None:
        """Expect the next request."""
        self._part.clear()
        self._emptied = False  # an empty line before the request was skipped
        self._chunks: Chunks | None = None
        self._left = 0  # bytes of the body still to come
        self._untouched = True
        self.head: RequestHead | None = None
        self.seen = b""
        """What was last looked at for a head: enough to tell whom a refusal of it is for."""

    @property
    def silent(self) -> bool:
        """Nothing of a request has come."""
        return self.head is None and not self._part and not self._emptied

    @property
    def complete(self) -> bool:
        """A request has come as a whole."""
        return self.head is not None and not self._left and (self._chunks is None or self._chunks.complete)

    @property
    def in_body(self) -> bool:
        """The head has come, and of the body less than it announced."""
        return self.head is not None and not self.complete

    @property
    def unasked(self) -> bool:
        """The client waits to be asked for the body, and has sent none of it."""
        return self._untouched and self.head is not None and self.head.expects and not self.complete

    def feed(self, data: bytes) -> bytes:
        """What of `data`, and of what was kept back before, the parser is to see now. Raises Refusal."""
        if self.head is not None:
            return self._body(data)
        if self._part or data[:1] == b"\r":
            gathered = self._gathered(data)
            if gathered is None:
                return b""
            data = gathered
        self.seen = data
        head = self.head = read_head(data, self._limits)
        if head is None:
            self._part += data
            return b""
        self._part.clear()
        self.seen = head.raw  # not `data`, which would be kept for as long as the connection
        body = len(data) - head.end
        if head.length == CHUNKED:
            self._chunks = Chunks()
        else:
            self._left = head.length
            if body <= head.length and len(head.raw) == head.end:
                self._left -= body
                self._untouched = not body
                return data
        return head.raw + self._body(data[head.end :])

    def _gathered(self, data: bytes) -> bytes | None:
        """All there is of a head that came in parts, once it may be whole."""
        part = self._part
        checked = len(part)
        part += data
        if not self._emptied and part.startswith(_EMPTY_LINE):  # RFC 9112, 2.2: to be ignored, at least one
            self._emptied = True
            del part[:2]
            checked = 0
        if part.find(b"\r\n\r\n", max(0, checked - 3)) >= 0:
            return bytes(part)
        self.seen = bytes(part[:_ENOUGH])
        check_part(part, checked, self._limits)
        return None

    def _body(self, data: bytes) -> bytes:
        if not data:
            return b""
        self._untouched = False
        if self._chunks is not None:
            data, rest = self._chunks.feed(data)
        else:
            data, rest = data[: self._left], data[self._left :]
            self._left -= len(data)
        self.surplus = self.surplus or bool(rest)
        return data
