"""A chunked body, checked and made plain. Bytes in, bytes out; no I/O.

Extensions and trailers are read and dropped: nothing uses the first, and httptools would add the second to
the request's headers after they had been judged.
"""

from __future__ import annotations

import re
from typing import Final

from ..errors import Refusal

__all__ = ["Chunks"]

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[\t ]*+;[\t\x20-\x7e\x80-\xff]*+)?\r\n")
_TRAILER: Final = re.compile(rb"%b++:[\t\x20-\x7e\x80-\xff]*+\r\n" % _TOKEN)
_LONGEST_SIZE_LINE: Final = 256  # bytes, with its extensions
_LONGEST_TRAILERS: Final = 8 * 1024  # bytes

# Where the reader stands.
_AT_SIZE: Final = 0
_IN_DATA: Final = 1
_AT_DATA_END: Final = 2
_AT_TRAILER: Final = 3
_DONE: Final = 4


class Chunks:
    """Reads one chunked body."""

    __slots__ = ("_left", "_pending", "_place", "_trailers")

    def __init__(self) -> None:
        self._place = _AT_SIZE
        self._left = 0  # bytes of the current chunk still to come
        self._pending: bytes = b""  # the beginning of a line
        self._trailers = 0  # bytes of trailers so far

    @property
    def complete(self) -> bool:
        """The last chunk and its trailers were read."""
        return self._place == _DONE

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """The same body as at most one chunk and, once complete, its end; and what came after it.

        Raises Refusal for whatever is no chunked body, and for trailers beyond 8 KiB.
        """
        if self._place == _DONE:
            return b"", data
        data = self._pending + data
        self._pending = b""
        parts: list[bytes] = []
        at = 0
        while at < len(data) and self._place != _DONE:
            if self._place == _AT_SIZE:
                at = self._whole(data, at, parts)
            if self._place == _IN_DATA:
                part = data[at : at + self._left]
                parts.append(part)
                at += len(part)
                self._left -= len(part)
                if not self._left:
                    self._place = _AT_DATA_END
                continue
            after = self._line(data, at)
            if after is None:
                self._pending = data[at:]
                at = len(data)
            else:
                at = after
        body = b"".join(parts)
        plain = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return (plain + b"0\r\n\r\n" if self.complete else plain), data[at:]

    def _whole(self, data: bytes, at: int, parts: list[bytes]) -> int:
        """Read chunks that are there as a whole, and return where they end."""
        while (match := _SIZE.match(data, at)) and (size := int(match[1], 16)):
            end = match.end() + size
            if data[end : end + 2] != b"\r\n":
                break
            parts.append(data[match.end() : end])
            at = end + 2
        return at

    def _line(self, data: bytes, at: int) -> int | None:
        """Read what stands between the data, and return where it ends; None while it is incomplete."""
        if self._place == _AT_SIZE:
            if match := _SIZE.match(data, at):
                self._left = int(match[1], 16)
                self._place = _IN_DATA if self._left else _AT_TRAILER
                return match.end()
            return self._wait(data, at, _LONGEST_SIZE_LINE, "malformed_request")
        if data.startswith(b"\r\n", at):
            self._place = _AT_SIZE if self._place == _AT_DATA_END else _DONE
            return at + 2
        if self._place == _AT_TRAILER:
            if match := _TRAILER.match(data, at):
                self._trailers += match.end() - at
                if self._trailers > _LONGEST_TRAILERS:
                    raise Refusal("headers_too_large", close=True)
                return match.end()
            return self._wait(data, at, _LONGEST_TRAILERS - self._trailers, "headers_too_large")
        return self._wait(data, at, 1, "malformed_request")

    @staticmethod
    def _wait(data: bytes, at: int, longest: int, too_long: str) -> None:
        """Raise Refusal if the line that begins at `at` is broken, or longer than it may be."""
        if data.find(b"\n", at) >= 0:
            raise Refusal("malformed_request", close=True)
        if len(data) - at > longest:
            raise Refusal(too_long, close=True)
