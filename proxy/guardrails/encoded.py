"""Texts hidden in a text: as base64, or as tag characters, which show nothing and spell ASCII. No I/O."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from .pattern import Pattern

__all__ = ["ENCODED", "decoded", "hidden"]

_TAGS: Final = re.compile("[\U000e0020-\U000e007e]{4,}")
_READABLE: Final = 0.9
"""The share of printable characters from which a decoded text is one."""

ENCODED: Final = Pattern("encoded", r"\b[A-Za-z0-9+/_-]{32}", "A-Za-z0-9+/_=-")
"""What may be base64. Secrets shorter than this in base64 are shorter than any key."""


def decoded(text: str) -> str | None:
    """Returns the text that `text` is the base64 of, or None if it is of none."""
    body = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
        found = raw.decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    printable = sum(c.isprintable() or c in "\r\n\t" for c in found)
    return found if printable >= _READABLE * len(found) else None


def hidden(text: str) -> list[tuple[int, int, str]]:
    """Returns what tag characters spell: where each run begins and ends, and its text."""
    return [
        (match.start(), match.end(), "".join(chr(ord(c) - 0xE0000) for c in match[0]))
        for match in _TAGS.finditer(text)
    ]
