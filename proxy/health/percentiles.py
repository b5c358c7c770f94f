"""How long something took lately: percentiles over a sliding minute, and what was usual before. No I/O.

Each bucket of the histogram is wider than the one below it by the same factor, so that a percentile is off
by at most 4 % of itself anywhere between a millisecond and ten minutes. Twelve slices of five seconds make
the minute; the oldest is taken out as a new one begins. What is stored is one number per bucket and slice,
however much is recorded.

Time is passed in as `now`: seconds of one monotonic clock, always the same one. A moment before one that was
seen already counts as that one.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from itertools import accumulate
from math import ceil, inf, log
from operator import sub
from typing import Final, NamedTuple

__all__ = ["ERROR", "LEAST", "MOST", "SLICE", "SLICES", "USUAL", "PercentileWindow", "Percentiles"]

SLICE: Final = 5.0
"""Seconds of a slice."""
SLICES: Final = 12
"""Slices of the window. The newest is under way, so the window is 55 to 60 seconds long."""
ERROR: Final = 0.04
"""The most a percentile is off, relative to the exact one of the same durations."""
LEAST: Final = 0.001
"""Seconds. What is shorter counts as this."""
MOST: Final = 600.0
"""Seconds. What is longer counts as this; the official SDKs wait no longer either."""
USUAL: Final = 10
"""Minutes of which the middle one is what is usual."""

_FEWEST_USUAL: Final = 3  # minutes with figures of their own; of fewer none is in the middle
_NEEDED: Final = (2, 20, 100)  # samples: with fewer, not one is expected beyond the percentile
_PERCENTS: Final = (50, 95, 99)

_FACTOR: Final = (1 + ERROR) / (1 - ERROR)
_PER_LOG: Final = 1 / log(_FACTOR)
_SHIFT: Final = 1 - log(LEAST) * _PER_LOG
_LAST: Final = ceil(log(MOST / LEAST) * _PER_LOG) + 1
# The middle of a bucket is as far from its lower end as from its upper one, relative to each.
_MIDDLES: Final = (LEAST, *(min(LEAST * _FACTOR**i * (1 - ERROR), MOST) for i in range(1, _LAST)), MOST)
# Buckets are also counted by rows, so that finding one among them takes two short looks.
_ROW: Final = 13
_ROWS: Final = -(-len(_MIDDLES) // _ROW)
_EMPTY: Final = array("I", bytes(array("I").itemsize * _ROW * _ROWS))


class Percentiles(NamedTuple):
    """Seconds, by nearest rank; None where there are too few samples to tell (2, 20 and 100)."""

    samples: int
    p50: float | None
    p95: float | None
    p99: float | None


class PercentileWindow:
    """The durations of one kind of event. At most 13 KB, however many there are."""

    __slots__ = (
        "_at",
        "_cached",
        "_expected",
        "_minutes",
        "_newest",
        "_rows",
        "_slices",
        "_until",
        "_window",
    )

    def __init__(self) -> None:
        self._at = 0  # the slice under way, counted from the clock's zero
        self._until = -inf  # when it ends
        self._newest = _EMPTY[:]
        self._slices: list[array[int] | None] = [None] * SLICES
        self._window = _EMPTY[:]  # the sum of all slices
        self._rows = [0] * _ROWS
        self._minutes: deque[tuple[int, float]] = deque(maxlen=USUAL)
        self._cached: Percentiles | None = None
        self._expected: float | None = None

    def record(self, seconds: float, now: float) -> None:
        """It took this long, and ended at `now`."""
        if now >= self._until:
            self._turn(now)
        bucket = int(log(seconds) * _PER_LOG + _SHIFT) if LEAST < seconds < MOST else _edge(seconds)
        self._newest[bucket] += 1
        self._window[bucket] += 1
        self._rows[bucket // _ROW] += 1
        self._cached = self._expected = None

    def percentiles(self, now: float) -> Percentiles:
        """Of the window. Reckoned anew only after something was recorded or a slice ended."""
        if now >= self._until:
            self._turn(now)
        usual_p95s = self._cached
        if usual_p95s is None:
            usual_p95s = self._cached = self._read()
        return usual_p95s

    def expected(self, now: float) -> float | None:
        """What one who cares for the slow end should expect: p95, or the median while that is all there is.

        The median flatters who is little known, and so is soon better known. A third of what `percentiles`
        costs, when something was recorded.
        """
        if now >= self._until:
            self._turn(now)
        expected = self._expected
        if expected is None:
            rows = list(accumulate(self._rows))
            samples = rows[-1]
            if samples >= _NEEDED[0]:
                percent = _PERCENTS[samples >= _NEEDED[1]]
                expected = self._expected = self._at_rank(rows, -(-samples * percent // 100))
        return expected

    def exceeds(self, limit: float, now: float, overdue: int = 0) -> bool:
        """Whether p95 is above `limit` (seconds), so far as there are samples to tell.

        `overdue` is the number of those under way that have lasted longer than `limit` already. However long
        they will last, they count as above: who waits for them to end learns of a jump to 30 s after 30 s.
        """
        if now >= self._until:
            self._turn(now)
        samples = sum(self._rows)
        if samples + overdue < _NEEDED[1]:
            return False
        bucket = int(log(limit) * _PER_LOG + _SHIFT) if LEAST < limit < MOST else _edge(limit)
        row = bucket // _ROW
        within = sum(self._rows[:row]) + sum(self._window[row * _ROW : bucket + 1])
        return (samples - within + overdue) * 100 > (samples + overdue) * (100 - _PERCENTS[1])

    def usual(self, now: float) -> float | None:
        """The p95 of the middle one of the last ten whole minutes, in seconds; None for fewer than three.

        A minute too empty for a p95 does not count. What has been slow for half of the time is usual.
        """
        if now >= self._until:
            self._turn(now)
        oldest = self._at // SLICES - USUAL
        usual_p95s = sorted(p95 for minute, p95 in self._minutes if minute > oldest)
        return usual_p95s[(len(usual_p95s) - 1) // 2] if len(usual_p95s) >= _FEWEST_USUAL else None

    def clear(self) -> None:
        """Forget the window: what comes next is judged by itself. What was usual stays known."""
        self._newest = _EMPTY[:]
        self._slices = [None] * SLICES
        self._slices[self._at % SLICES] = self._newest
        self._window = _EMPTY[:]
        self._recount()

    def _read(self) -> Percentiles:
        rows = list(accumulate(self._rows))
        samples = rows[-1]
        return Percentiles(
            samples,
            *[
                self._at_rank(rows, -(-samples * percent // 100)) if samples >= needed else None
                for percent, needed in zip(_PERCENTS, _NEEDED, strict=True)
            ],
        )

    def _at_rank(self, rows: list[int], rank: int) -> float:
        """The duration that comes in this place by length, from 1 on. `rows` are sums up to each row."""
        row = bisect_left(rows, rank)
        if row:
            rank -= rows[row - 1]
        first = row * _ROW
        return _MIDDLES[first + bisect_left(list(accumulate(self._window[first : first + _ROW])), rank)]

    def _turn(self, now: float) -> None:
        """Begin the slice that `now` is in, and let go of those that are more than a window older."""
        at = int(now // SLICE)
        for slot in range(self._at + 1, min(at, self._at + SLICES) + 1):
            if slot % SLICES == 0:
                self._remember(slot // SLICES)
            self._expire(slot % SLICES)
        self._at = at
        self._until = (at + 1) * SLICE
        self._newest = self._slices[at % SLICES] = _EMPTY[:]
        self._recount()

    def _remember(self, minute: int) -> None:
        """A minute is over, and the window is just that minute."""
        self._recount()
        p95 = self._read().p95
        if p95 is not None:
            self._minutes.append((minute, p95))

    def _expire(self, slot: int) -> None:
        old = self._slices[slot]
        if old is not None:
            self._window = array("I", map(sub, self._window, old))
            self._slices[slot] = None

    def _recount(self) -> None:
        self._rows = [sum(self._window[first : first + _ROW]) for first in range(0, len(_EMPTY), _ROW)]
        self._cached = self._expected = None


def _edge(seconds: float) -> int:
    """The bucket of what is out of bounds; what is not even a number counts as nothing."""
    return _LAST if seconds >= MOST else 0
