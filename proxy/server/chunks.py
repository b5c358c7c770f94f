"""Validates a chunked request body and normalizes it. Bytes in, bytes out; no I/O.

Chunk extensions and trailers are parsed and dropped. Nothing uses extensions, and httptools would add
trailers to the request's headers after those had been validated.
"""

from __future__ import annotations

import re
from typing import Final

from ..errors import Refusal

__all__ = ["Chunks"]

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[\t ]*+;[\t\x20-\x7e\x80-\xff]*+)?\r\n")
_TRAILER: Final = re.compile(rb"%b++:[\t\x20-\x7e\x80-\xff]*+\r\n" % _TOKEN)
_LONGEST_SIZE_LINE: Final = 256  # bytes, including extensions
_LONGEST_TRAILERS: Final = 8 * 1024  # bytes

# The states of the parser.
_AT_SIZE: Final = 0
_IN_DATA: Final = 1
_AT_DATA_END: Final = 2
_AT_TRAILER: Final = 3
_DONE: Final = 4


class Chunks:
    """An incremental parser of one chunked body."""

    __slots__ = ("_left", "_pending", "_state", "_trailers")

    def __init__(self) -> None:
        self._state = _AT_SIZE
        self._left = 0  # bytes of the current chunk still to come
        self._pending: bytes = b""  # an incomplete line
        self._trailers = 0  # bytes of trailers so far

    @property
    def complete(self) -> bool:
        """Whether the last chunk and its trailers have been read."""
        return self._state == _DONE

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Parse `data`. Returns the normalized body, and the bytes after the end of the body.

        The normalized body has at most one chunk per call and, once complete, the last chunk. Raises Refusal
        for an invalid chunked body, and for trailers of more than 8 KiB.
        """
        if self._state == _DONE:
            return b"", data
        data = self._pending + data
        self._pending = b""
        parts: list[bytes] = []
        at = 0
        while at < len(data) and self._state != _DONE:
            if self._state == _AT_SIZE:
                at = self._complete_chunks(data, at, parts)
            if self._state == _IN_DATA:
                part = data[at : at + self._left]
                parts.append(part)
                at += len(part)
                self._left -= len(part)
                if not self._left:
                    self._state = _AT_DATA_END
                continue
            end = self._line(data, at)
            if end is None:
                self._pending = data[at:]
                at = len(data)
            else:
                at = end
        body = b"".join(parts)
        plain = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return (plain + b"0\r\n\r\n" if self.complete else plain), data[at:]

    def _complete_chunks(self, data: bytes, at: int, parts: list[bytes]) -> int:
        """Read the complete chunks from `at` on into `parts`. Returns the offset after them."""
        while (match := _SIZE.match(data, at)) and (size := int(match[1], 16)):
            end = match.end() + size
            if data[end : end + 2] != b"\r\n":
                break
            parts.append(data[match.end() : end])
            at = end + 2
        return at

    def _line(self, data: bytes, at: int) -> int | None:
        """Read a size line, the end of a chunk or a trailer.

        Returns the offset after it, or None while it is incomplete.
        """
        if self._state == _AT_SIZE:
            if match := _SIZE.match(data, at):
                self._left = int(match[1], 16)
                self._state = _IN_DATA if self._left else _AT_TRAILER
                return match.end()
            return self._check_incomplete(data, at, _LONGEST_SIZE_LINE, "malformed_request")
        if data.startswith(b"\r\n", at):
            self._state = _AT_SIZE if self._state == _AT_DATA_END else _DONE
            return at + 2
        if self._state == _AT_TRAILER:
            if match := _TRAILER.match(data, at):
                self._trailers += match.end() - at
                if self._trailers > _LONGEST_TRAILERS:
                    raise Refusal("headers_too_large", close=True)
                return match.end()
            return self._check_incomplete(data, at, _LONGEST_TRAILERS - self._trailers, "headers_too_large")
        return self._check_incomplete(data, at, 1, "malformed_request")

    @staticmethod
    def _check_incomplete(data: bytes, at: int, longest: int, too_long: str) -> None:
        """Raise Refusal if the incomplete line at `at` is invalid, or longer than `longest` bytes."""
        if data.find(b"\n", at) >= 0:
            raise Refusal("malformed_request", close=True)
        if len(data) - at > longest:
            raise Refusal(too_long, close=True)
