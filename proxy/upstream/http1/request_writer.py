"""Serialises the head of a request and frames its body, without I/O.

Header names and values are written unchanged. Raises httpx2.LocalProtocolError for a header that would be
parsed as more than one line, or for framing headers that do not match the body.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import httpx2

__all__ = ["RequestWriter", "header_lines"]

_TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""The characters allowed in a method and in a header name (RFC 9110, 5.6.2)."""
_VISIBLE: Final = bytes(range(0x21, 0x7F))


def header_lines(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Returns headers as lines. Raises httpx2.LocalProtocolError if one of them is not valid HTTP."""
    names = [name for name, _ in headers]
    if not all(names) or b"".join(names).translate(None, _TOKEN):
        raise httpx2.LocalProtocolError("the name of a header is no HTTP")
    lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
    if lines.count(b"\r") != len(names) or lines.count(b"\n") != len(names) or b"\0" in lines:
        raise httpx2.LocalProtocolError("the value of a header is no HTTP")
    return lines


class RequestWriter:
    """The serialised head of a request (`data`) and the framing of its body.

    `bodiless` is whether the response has no body (HEAD). For a proxy that forwards the request (RFC 9112,
    3.2.2), `origin` is put before the target and `credential`, a whole line, before the headers. Raises
    httpx2.LocalProtocolError if the request is not valid HTTP.
    """

    __slots__ = ("_chunked", "_length", "_remaining", "bodiless", "data")

    def __init__(self, request: httpx2.Request, origin: bytes = b"", credential: bytes = b"") -> None:
        method = request.method.encode("ascii", "replace")
        target = request.url.raw_path
        raw = request.headers.raw
        if not method or method.translate(None, _TOKEN) or not target or target.translate(None, _VISIBLE):
            raise httpx2.LocalProtocolError("the method or the target is no HTTP")
        lines = header_lines(raw)
        self.data = b"%b %b%b HTTP/1.1\r\n%b%b\r\n" % (method, origin, target, credential, lines)
        self.bodiless = method == b"HEAD"
        self._length = 0
        self._chunked = False
        self._read_framing([(name.lower(), value) for name, value in raw if len(name) in {14, 17}])
        self.restart()

    def _read_framing(self, raw: list[tuple[bytes, bytes]]) -> None:
        lengths = [value for name, value in raw if name == b"content-length"]
        codings = [value for name, value in raw if name == b"transfer-encoding"]
        if len(lengths) + len(codings) > 1 or (codings and codings[0].lower() != b"chunked"):
            raise httpx2.LocalProtocolError("the body of the request is framed in more than one way")
        self._chunked = bool(codings)
        if lengths:
            if not lengths[0].isdigit() or len(lengths[0]) > 18:
                raise httpx2.LocalProtocolError("the content-length of the request is no number")
            self._length = int(lengths[0])

    def restart(self) -> None:
        """Begin the body, for the first time or again."""
        self._remaining = self._length

    @property
    def body_complete(self) -> bool:
        """Whether all bytes of the content-length were framed. Always False for a chunked body."""
        return not self._chunked and not self._remaining

    def frame(self, part: bytes) -> bytes:
        """Returns a body part in its wire format. Raises LocalProtocolError past the content-length."""
        if self._chunked:
            return b"%x\r\n%b\r\n" % (len(part), part) if part else b""
        self._remaining -= len(part)
        if self._remaining < 0:
            raise httpx2.LocalProtocolError("the body is longer than its content-length")
        return part

    def end(self) -> bytes:
        """Returns the bytes that end the body. Raises LocalProtocolError if the body was too short."""
        if self._remaining:
            raise httpx2.LocalProtocolError("the body is shorter than its content-length")
        return b"0\r\n\r\n" if self._chunked else b""
