"""Rendezvous hashing with weights: the same caller at the same target, without a table. No I/O.

Each target draws a number from the caller's key and its own name, and the lowest goes first. So a provider's
prompt cache sees the same conversations again, in every worker and replica and after a restart; and when a
target leaves, only its own callers move, each to where it would have gone anyway (Thaler and Ravishankar;
with weights, Schindelhauer and Schomaker).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from math import inf, log1p
from typing import Final

__all__ = ["position", "ranked"]

_UNIT: Final = 1 / 2**53


def ranked(key: str, weights: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """Names with what they drew for `key`, lowest first. Of equals the one written first is first.

    What is drawn is exponentially distributed with the weight as its rate. So the lowest is each one's in
    proportion to its weight, and a change of weight moves callers to or from that one alone. Who has no
    weight draws infinity.
    """
    data = key.encode("utf-8", "surrogatepass")
    # The length keeps key and name apart. The hash is the same in every process, which `hash` is not.
    begun = blake2b(b"%d:%b" % (len(data), data), digest_size=8)
    position: list[tuple[str, float]] = []
    for name, weight in weights:
        if weight > 0:
            hashed = begun.copy()
            hashed.update(name.encode())
            number = (int.from_bytes(hashed.digest(), "big") >> 11) * _UNIT  # at least 0, less than 1
            position.append((name, -log1p(-number) / weight))
        else:
            position.append((name, inf))
    position.sort(key=_number)
    return position


def position(key: str, name: str) -> float:
    """What `key` draws for `name`: from 0 up to but not including 1, the same in every process."""
    data = key.encode("utf-8", "surrogatepass")
    digest = blake2b(b"%d:%b%b" % (len(data), data, name.encode()), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * _UNIT


def _number(entry: tuple[str, float]) -> float:
    return entry[1]
