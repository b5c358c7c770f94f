"""Parses a large request body in steps, between which other requests are served.

The rules and the error codes are those of `json_document`. Bytes in strings, such as an image, are cheap, but
32 MiB of them still cost 0.1 s in one go, and 0.3 s if they are text. So the body is scanned in slices, and
what is outside of its strings shows what the small path finds out by serializing the document again. The
longest step left is orjson's own: 1 to 3 ms per MiB.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

from ..errors import Refusal
from .json_document import (
    MAX_ELEMENTS,
    MAX_PARTS,
    MAX_QUOTES,
    Document,
    checked,
    parsed,
    survey,
    too_complex,
)

__all__ = ["LARGE", "read_large"]

LARGE: Final = 1024 * 1024
"""Bytes from which on a body is read in steps. It is also the size of a slice."""

_BLANKS: Final = b" \t\r\n"
_LONG_INTEGER: Final = re.compile(rb"(?<![0-9.eE+-])-?[0-9]{19,}+(?![0-9.eE])")
_LOWEST: Final = -(2**63)
_HIGHEST: Final = 2**64 - 1


async def read_large(raw: bytes) -> Document:
    """Parse and check a request body of at least LARGE bytes. Raises what `json_document.read` raises."""
    outside = await _outside_of_strings(raw)
    await asyncio.sleep(0)
    value = parsed(raw)
    await asyncio.sleep(0)
    seen, has_huge_float = survey(value)
    await asyncio.sleep(0)
    # Every colon outside of strings belongs to a member; parsing keeps the last of those with the same key.
    if outside.count(b":") != _members(value):
        raise Refusal("duplicate_key")
    if has_huge_float and await _overflows(outside):
        raise Refusal("number_out_of_range")
    return checked(value, seen)


async def _overflows(outside: bytes) -> bool:
    """Whether a number is written as an integer that fits neither an int64 nor a uint64."""
    at = 0
    while at < len(outside):
        end = outside.find(b",", at + 1 + LARGE // 4)  # no number goes beyond a comma
        end = len(outside) if end < 0 else end
        for number in _LONG_INTEGER.findall(outside, at, end):
            if not _LOWEST <= int(number) <= _HIGHEST:
                return True
        at = end
        await asyncio.sleep(0)
    return False


async def _outside_of_strings(raw: bytes) -> bytes:
    """Returns the bytes of a JSON text that are neither in a string nor blank. Raises Refusal if they are too
    complex."""
    kept: list[bytes] = []
    quotes = parts = elements = 0
    inside = False  # whether the slice begins in a string
    carried = b""  # a backslash at the end of a slice, whose meaning the next byte decides
    for at in range(0, len(raw), LARGE):
        piece = carried + raw[at : at + LARGE]
        backslashes = len(piece) - len(piece.rstrip(b"\\"))
        carried = b"\\" if backslashes % 2 else b""
        if carried:
            piece = piece[:-1]
        if b"\\" in piece:
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        quotes += piece.count(b'"')
        if quotes > MAX_QUOTES:
            raise too_complex(raw)
        texts = piece.split(b'"')
        outside = b"".join(texts[inside::2]).translate(None, _BLANKS)
        inside ^= len(texts) % 2 == 0
        parts += outside.count(b"{") + outside.count(b"[") + outside.count(b":")
        elements += outside.count(b",")
        if parts > MAX_PARTS or elements > MAX_ELEMENTS:
            raise too_complex(raw)
        kept.append(outside)
        await asyncio.sleep(0)
    return b"".join(kept)


def _members(root: Any) -> int:
    """Returns the number of members of all objects in a document."""
    total = 0
    pending: list[Any] = [root]
    for node in pending:  # grows during the iteration
        children = node
        if node.__class__ is dict:
            total += len(node)
            children = node.values()
        pending += [child for child in children if child.__class__ is dict or child.__class__ is list]
    return total
