"""The token usage of an answer, as reported by its provider."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Usage"]


class Usage(NamedTuple):
    """Numbers of tokens, as counted by the provider.

    `input` includes `cached` and `cache_write`; `output` includes `reasoning`. `cache_write_1h` is the part
    of `cache_write` that is cached for one hour, which costs more.
    """

    input: int
    output: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cache_write_1h: int = 0

    def larger(self, other: Usage | None) -> Usage:
        """Returns the larger figure of each kind: they are cumulative, so a smaller one is older."""
        return self if other is None else Usage(*map(max, self, other))
