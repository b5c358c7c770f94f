"""Every pair of a case, a dialect and a way to answer, in half as many tests as there are combinations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

__all__ = ["pairwise"]

_Kind = TypeVar("_Kind")
_Case = TypeVar("_Case")


def pairwise(kinds: Sequence[_Kind], cases: Iterable[_Case]) -> list[tuple[_Kind, _Case, bool]]:
    """Each case with each kind, streamed (True) or not in turn, so that each kind and case comes both ways.

    For rules that a pair may break: what only a dialect, a fault and a stream together could do is a matter
    of the dialect's reader, whose own tests have every combination.
    """
    return [
        (kind, case, (place + turn) % 2 == 0)
        for place, case in enumerate(cases)
        for turn, kind in enumerate(kinds)
    ]
