"""Incremental decompression of a copy of an answer, with a bound on the expansion. No I/O.

The gateway does not ask providers for compression, but some compress anyway. The client receives the
provider's bytes unchanged; only the gateway's own copy is decoded. The bound protects against decompression
bombs: 204 kB of gzip can hold 200 MiB.
"""

from __future__ import annotations

import zlib
from typing import Final

from ..errors import StandbyError

__all__ = ["MAX_RATIO", "Decompressor", "Undecodable"]

MAX_RATIO: Final = 100
"""The most decoded bytes per received byte. JSON text rarely compresses by more than 20."""

_FIRST_ALLOWANCE: Final = 64 * 1024  # decoded bytes allowed on top of MAX_RATIO
_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32


class Undecodable(StandbyError):
    """The content encoding is unknown, the data is corrupt, or it expands by more than `MAX_RATIO`."""


class Decompressor:
    """An incremental decoder for one answer in gzip or deflate. Raises Undecodable for any other encoding."""

    __slots__ = ("_allowance", "_inflate")

    def __init__(self, encoding: bytes) -> None:
        if encoding.strip().lower() not in {b"gzip", b"x-gzip", b"deflate"}:
            raise Undecodable
        self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._allowance = _FIRST_ALLOWANCE

    @property
    def has_trailing(self) -> bool:
        """Whether bytes came after the end of the compressed data, which are not decoded."""
        return bool(self._inflate.unused_data)

    def feed(self, chunk: bytes) -> bytes:
        """Returns the decoded bytes of the next `chunk`. Raises Undecodable."""
        self._allowance += MAX_RATIO * len(chunk)
        try:
            decoded = self._inflate.decompress(chunk, self._allowance)
        except zlib.error as error:
            raise Undecodable from error
        self._allowance -= len(decoded)
        if self._inflate.unconsumed_tail:
            raise Undecodable
        return decoded
