"""Weighted rendezvous hashing: sends the same caller to the same target, without shared state. No I/O.

A number is hashed from the caller's key and each target's name, and the lowest goes first. So a provider's
prompt cache sees the same conversations again, in every worker and replica and after a restart. If a target
is removed, only its own callers move, each to the target that was second for it (Thaler and Ravishankar; with
weights, Schindelhauer and Schomaker).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from math import inf, log1p
from typing import Final

__all__ = ["position", "ranked"]

_UNIT: Final = 1 / 2**53


def ranked(key: str, weights: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """Returns (name, number) pairs for `key`, lowest first. `weights` are (name, weight) pairs.

    Ties keep the order given. The numbers are exponentially distributed with the weight as the rate. So each
    name is the lowest in proportion to its weight, and a change of one weight moves callers to or from that
    name only. A name without a weight above 0 gets infinity.
    """
    data = key.encode("utf-8", "surrogatepass")
    # The length separates key and name. Unlike `hash`, blake2b is the same in every process.
    prefix = blake2b(b"%d:%b" % (len(data), data), digest_size=8)
    order: list[tuple[str, float]] = []
    for name, weight in weights:
        if weight > 0:
            hashed = prefix.copy()
            hashed.update(name.encode())
            number = (int.from_bytes(hashed.digest(), "big") >> 11) * _UNIT  # at least 0, less than 1
            order.append((name, -log1p(-number) / weight))
        else:
            order.append((name, inf))
    order.sort(key=_number)
    return order


def position(key: str, name: str) -> float:
    """Returns a hash of `key` and `name` from 0 up to but not including 1, the same in every process."""
    data = key.encode("utf-8", "surrogatepass")
    digest = blake2b(b"%d:%b%b" % (len(data), data, name.encode()), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * _UNIT


def _number(entry: tuple[str, float]) -> float:
    return entry[1]
