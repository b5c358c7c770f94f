"""How many of those that came lately were of a kind: failures, refusals, retries. No I/O.

Ten buckets make the span; the oldest is dropped as a new one begins. Within them every count is exact, where
a moving average would let a burst of successes hide a total outage. `now` is in seconds of one monotonic
clock, always the same one; a moment before one that was seen already counts as that one.
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

__all__ = ["BUCKETS", "Counted", "RatioWindow"]

BUCKETS: Final = 10
"""Of one span. The newest is under way, so a window is nine to ten tenths of its span long, never longer."""


class Counted(NamedTuple):
    """So many of so many."""

    hits: int
    total: int


class RatioWindow:
    """Counts hits and all over a sliding span of seconds."""

    __slots__ = ("_at", "_hit_counts", "_hits", "_total", "_totals", "_until", "_width", "span")

    def __init__(self, span: float) -> None:
        self.span = span
        self._width = span / BUCKETS
        self._at = 0  # the bucket under way, counted from the clock's zero
        self._until = -inf  # when it ends
        self._hit_counts = [0] * BUCKETS
        self._totals = [0] * BUCKETS
        self._hits = 0
        self._total = 0

    def add(self, now: float, *, hits: int = 0, total: int = 0) -> None:
        """Count so many more. Hits are within the total where a hit is one of all, as a failure is."""
        if now >= self._until:
            self._turn(now)
        slot = self._at % BUCKETS
        self._hit_counts[slot] += hits
        self._totals[slot] += total
        self._hits += hits
        self._total += total

    def record(self, now: float, *, hit: bool) -> None:
        """One more came, which is of the kind or is not."""
        self.add(now, hits=int(hit), total=1)

    def counted(self, now: float) -> Counted:
        """What was counted within the span."""
        if now >= self._until:
            self._turn(now)
        return Counted(self._hits, self._total)

    def share(self, now: float, least: int = 1) -> float | None:
        """Hits by all, from 0 to 1; None for fewer than `least` in all."""
        hits, total = self.counted(now)
        return hits / total if total >= max(1, least) else None

    def reaches(self, share: float, least: int, now: float) -> bool:
        """Whether at least `share` of at least `least` are hits: half of at least ten, for a breaker."""
        current = self.share(now, least)
        return current is not None and current >= share

    def clear(self) -> None:
        """Forget all: what comes after a breaker has closed is judged by itself."""
        self._hit_counts = [0] * BUCKETS
        self._totals = [0] * BUCKETS
        self._hits = self._total = 0

    def _turn(self, now: float) -> None:
        at = int(now // self._width)
        for bucket in range(self._at + 1, min(at, self._at + BUCKETS) + 1):
            slot = bucket % BUCKETS
            self._hits -= self._hit_counts[slot]
            self._total -= self._totals[slot]
            self._hit_counts[slot] = self._totals[slot] = 0
        self._at = at
        self._until = (at + 1) * self._width
