"""The head of a request, as bytes. No I/O.

Names and values are written as they were given. What would be read as more than one line, or frames a body
other than the one that is sent, is refused.
"""

from __future__ import annotations

from typing import Final

import httpx2

__all__ = ["RequestWriter"]

_TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""What a method and a header's name are made of (RFC 9110, 5.6.2)."""
_VISIBLE: Final = bytes(range(0x21, 0x7F))


class RequestWriter:
    """The first bytes of a request, and how its body is framed. Raises httpx2.LocalProtocolError."""

    __slots__ = ("_chunked", "_left", "bodiless", "data")

    def __init__(self, request: httpx2.Request) -> None:
        method = request.method.encode("ascii", "replace")
        target = request.url.raw_path
        raw = request.headers.raw
        if not method or method.translate(None, _TOKEN) or not target or target.translate(None, _VISIBLE):
            raise httpx2.LocalProtocolError("the method or the target is no HTTP")
        names = [name for name, _ in raw]
        if not all(names) or b"".join(names).translate(None, _TOKEN):
            raise httpx2.LocalProtocolError("the name of a header is no HTTP")
        lines = b"".join([b"%b: %b\r\n" % pair for pair in raw])
        if lines.count(b"\r") != len(raw) or lines.count(b"\n") != len(raw) or b"\0" in lines:
            raise httpx2.LocalProtocolError("the value of a header is no HTTP")
        self.data = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, lines)
        self.bodiless = method == b"HEAD"
        self._left = 0
        self._chunked = False
        self._frame([(name.lower(), value) for name, value in raw if len(name) in {14, 17}])

    def _frame(self, raw: list[tuple[bytes, bytes]]) -> None:
        lengths = [value for name, value in raw if name == b"content-length"]
        codings = [value for name, value in raw if name == b"transfer-encoding"]
        if len(lengths) + len(codings) > 1 or (codings and codings[0].lower() != b"chunked"):
            raise httpx2.LocalProtocolError("the body of the request is framed in more than one way")
        self._chunked = bool(codings)
        if lengths:
            if not lengths[0].isdigit() or len(lengths[0]) > 18:
                raise httpx2.LocalProtocolError("the content-length of the request is no number")
            self._left = int(lengths[0])

    @property
    def sent(self) -> bool:
        """Whether the body has had as many bytes as were announced."""
        return not self._chunked and not self._left

    def piece(self, part: bytes) -> bytes:
        """A part of the body as it goes over the wire."""
        if self._chunked:
            return b"%x\r\n%b\r\n" % (len(part), part) if part else b""
        self._left -= len(part)
        if self._left < 0:
            raise httpx2.LocalProtocolError("the body is longer than its content-length")
        return part

    def end(self) -> bytes:
        """What goes over the wire when the body has ended."""
        if self._left:
            raise httpx2.LocalProtocolError("the body is shorter than its content-length")
        return b"0\r\n\r\n" if self._chunked else b""
