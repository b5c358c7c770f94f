"""A sliding window that counts hits (failures, refusals, retries) and their total. No I/O.

The window consists of ten buckets. The oldest is dropped when a new one begins. The counts within the window
are exact, where a moving average would let a burst of successes hide a total outage. `now` is in seconds of
one monotonic clock, always the same one. A time before the latest one seen counts as the latest.
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

__all__ = ["BUCKETS", "Counted", "RatioWindow"]

BUCKETS: Final = 10
"""Buckets of one window. The newest is not full, so a window covers 90 to 100 % of its span, never more."""


class Counted(NamedTuple):
    """The counts of a window: hits, and the total they are compared with."""

    hits: int
    total: int


class RatioWindow:
    """Counts hits and the total over a sliding window of `span` seconds."""

    __slots__ = ("_at", "_hit_counts", "_hits", "_total", "_totals", "_until", "_width", "span")

    def __init__(self, span: float) -> None:
        self.span = span
        self._width = span / BUCKETS
        self._at = 0  # number of the current bucket, counted from the clock's zero
        self._until = -inf  # when the current bucket ends
        self._hit_counts = [0] * BUCKETS
        self._totals = [0] * BUCKETS
        self._hits = 0
        self._total = 0

    def add(self, now: float, *, hits: int = 0, total: int = 0) -> None:
        """Add `hits` and `total` to the counts.

        A hit that is also one of the total, as a failure is one of the attempts, must be counted in both.
        """
        if now >= self._until:
            self._advance(now)
        slot = self._at % BUCKETS
        self._hit_counts[slot] += hits
        self._totals[slot] += total
        self._hits += hits
        self._total += total

    def record(self, now: float, *, hit: bool) -> None:
        """Count one more event. `hit` is whether it is of the counted kind."""
        if now >= self._until:
            self._advance(now)
        slot = self._at % BUCKETS
        self._totals[slot] += 1
        self._total += 1
        if hit:
            self._hit_counts[slot] += 1
            self._hits += 1

    def counted(self, now: float) -> Counted:
        """Returns the counts within the window."""
        if now >= self._until:
            self._advance(now)
        return Counted(self._hits, self._total)

    def share(self, now: float, least: int = 1) -> float | None:
        """Returns hits divided by the total, from 0 to 1, or None if the total is less than `least`."""
        hits, total = self.counted(now)
        return hits / total if total >= max(1, least) else None

    def reaches(self, share: float, least: int, now: float) -> bool:
        """Whether the total is at least `least` and at least `share` of it are hits."""
        current = self.share(now, least)
        return current is not None and current >= share

    def clear(self) -> None:
        """Reset all counts, so that earlier events do not affect what is counted next."""
        self._hit_counts = [0] * BUCKETS
        self._totals = [0] * BUCKETS
        self._hits = self._total = 0

    def _advance(self, now: float) -> None:
        """Move on to the bucket that contains `now`, and drop the buckets that are out of the window."""
        at = int(now // self._width)
        for bucket in range(self._at + 1, min(at, self._at + BUCKETS) + 1):
            slot = bucket % BUCKETS
            self._hits -= self._hit_counts[slot]
            self._total -= self._totals[slot]
            self._hit_counts[slot] = self._totals[slot] = 0
        self._at = at
        self._until = (at + 1) * self._width
