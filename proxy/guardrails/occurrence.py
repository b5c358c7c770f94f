"""Which patterns occur in a long text at all. No I/O."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Final

from .pattern import PatternSet
from .steps import finished

__all__ = ["occurring", "occurring_in_steps"]

_AT_ONCE: Final = 4 * 1024
"""Bytes that are first searched at once: at 3 ns a byte, and at a thousand times that where RE2 has to build
its automaton first."""
_SLOW: Final = 0.004
_FAST: Final = 0.001
"""Seconds of a search from which on less is searched at once, and below which more is."""


def occurring(patterns: PatternSet, text: str) -> frozenset[int]:
    """Returns the positions of the patterns that occur in a normalised text. Other threads can run between
    its steps."""
    return finished(occurring_in_steps(patterns, text))


def occurring_in_steps(patterns: PatternSet, text: str) -> Generator[None, None, frozenset[int]]:
    """Does the same, and yields between steps of a few milliseconds."""
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= _AT_ONCE or not patterns.is_bounded:  # a match may be as long as the text
        return frozenset(patterns.occurring(data))
    found: set[int] = set()
    # A match that begins before a piece is shorter than the overlap.
    overlap = patterns.longest() * (1 if len(data) == len(text) else 4)
    at, size = 0, _AT_ONCE
    while at < len(data):
        began = time.monotonic()
        found.update(patterns.occurring(data[max(0, at - overlap) : at + size]))
        at += size
        took = time.monotonic() - began
        if took > _SLOW:
            size = max(_AT_ONCE // 4, size // 2)
        elif took < _FAST:
            size = min(8 * _AT_ONCE, size * 2)
        if at < len(data):
            yield
    return frozenset(found)
