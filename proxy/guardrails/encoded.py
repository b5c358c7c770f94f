"""Texts hidden in a text: as base64, or as tag characters, which show nothing and spell ASCII. No I/O."""

from __future__ import annotations

import base64
import re
from collections.abc import Generator
from typing import Final

from .pattern import Pattern

__all__ = ["ENCODED", "decoded", "hidden"]

_TAGS: Final = re.compile("[\U000e0020-\U000e007e]{4,}")
_STEP: Final = 64 * 1024  # characters, a multiple of four
_SAMPLE: Final = 2_000  # characters that are looked at to tell text from other data
_READABLE: Final = 0.9
"""The share of printable characters from which a decoded text is one."""

ENCODED: Final = Pattern("encoded", r"[A-Za-z0-9+/_-]{32}", "A-Za-z0-9+/_=-", batch="encoded")
"""What may be base64. Secrets shorter than this in base64 are shorter than any key."""


def decoded(text: str) -> Generator[None, None, str | None]:
    """Returns the text that `text` is the base64 of, or None if it is of none. Yields between steps."""
    body = text.rstrip("=").replace("-", "+").replace("_", "/")
    parts: list[bytes] = []
    for at in range(0, len(body), _STEP):
        if at:
            yield
        piece = body[at : at + _STEP]
        try:
            parts.append(base64.b64decode(piece + "=" * (-len(piece) % 4), validate=True))
        except ValueError:  # no base64, or not even ASCII
            return None
    try:
        found = b"".join(parts).decode()
    except UnicodeDecodeError:
        return None
    sample = found[:_SAMPLE]
    printable = sum(c.isprintable() or c in "\r\n\t" for c in sample)
    return found if printable >= _READABLE * len(sample) else None


def hidden(text: str) -> list[tuple[int, int, str]]:
    """Returns what tag characters spell: where each run begins and ends, and its text."""
    return [
        (match.start(), match.end(), "".join(chr(ord(c) - 0xE0000) for c in match[0]))
        for match in _TAGS.finditer(text)
    ]
