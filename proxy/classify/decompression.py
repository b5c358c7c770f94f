"""Reading a copy of an answer that arrived compressed, though we asked for none. No I/O.

The client gets the provider's bytes as they are; only what we read of them is decoded, and never more than
the bound: 204 kB of gzip can hold 200 MiB.
"""

from __future__ import annotations

import zlib
from typing import Final

from ..errors import StandbyError

__all__ = ["MAX_RATIO", "Decompressor", "Undecodable"]

MAX_RATIO: Final = 100
"""Decoded bytes per byte received. JSON text seldom passes 20."""

_FIRST_ALLOWANCE: Final = 64 * 1024
_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32


class Undecodable(StandbyError):
    """The encoding is unknown, broken, or expands beyond reason."""


class Decompressor:
    """Incremental decoder for one answer. Knows gzip and deflate. Raises Undecodable."""

    __slots__ = ("_allowance", "_inflate")

    def __init__(self, encoding: bytes) -> None:
        if encoding.strip().lower() not in {b"gzip", b"x-gzip", b"deflate"}:
            raise Undecodable
        self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._allowance = _FIRST_ALLOWANCE

    def feed(self, chunk: bytes) -> bytes:
        """What `chunk` adds to the decoded answer."""
        self._allowance += MAX_RATIO * len(chunk)
        try:
            decoded = self._inflate.decompress(chunk, self._allowance)
        except zlib.error as error:
            raise Undecodable from error
        self._allowance -= len(decoded)
        if self._inflate.unconsumed_tail:
            raise Undecodable
        return decoded
