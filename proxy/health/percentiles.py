"""Duration percentiles over a sliding minute. No I/O.

The histogram has logarithmic buckets: each is wider than the one below it by the same factor. So the relative
error of a percentile is at most 4 % anywhere between a millisecond and ten minutes. The minute consists of
twelve slices of five seconds; the oldest is subtracted when a new one begins. Memory is one number per bucket
and slice, independent of the number of samples.

Time is passed in as `now`: seconds of one monotonic clock, always the same one. A time before the latest one
seen counts as the latest.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from itertools import accumulate
from math import ceil, inf, log
from operator import sub
from typing import Final, NamedTuple

__all__ = ["ERROR", "LEAST", "MOST", "SLICE", "SLICES", "PercentileWindow", "Percentiles"]

SLICE: Final = 5.0
"""Seconds of a slice."""
SLICES: Final = 12
"""Slices of the window. The newest is not full, so the window is 55 to 60 seconds long."""
ERROR: Final = 0.04
"""Maximum relative error of a percentile, compared with the exact one of the same durations."""
LEAST: Final = 0.001
"""Seconds. A shorter duration counts as this."""
MOST: Final = 600.0
"""Seconds. A longer duration counts as this. It is also the default timeout of the official SDKs."""

_NEEDED: Final = (2, 20, 100)  # minimum samples for p50, p95 and p99: with fewer, none is expected above it
_PERCENTS: Final = (50, 95, 99)

_FACTOR: Final = (1 + ERROR) / (1 - ERROR)
_PER_LOG: Final = 1 / log(_FACTOR)
_SHIFT: Final = 1 - log(LEAST) * _PER_LOG
_LAST: Final = ceil(log(MOST / LEAST) * _PER_LOG) + 1
# The middle of a bucket is as far from its lower end as from its upper one, relative to each.
_MIDDLES: Final = (LEAST, *(min(LEAST * _FACTOR**i * (1 - ERROR), MOST) for i in range(1, _LAST)), MOST)
# Counts are also summed by rows of buckets, so that finding a rank takes two short searches.
_ROW: Final = 13
_ROWS: Final = -(-len(_MIDDLES) // _ROW)
_EMPTY: Final = array("I", bytes(array("I").itemsize * _ROW * _ROWS))


class Percentiles(NamedTuple):
    """Percentiles in seconds, by nearest rank. None with fewer than 2, 20 and 100 samples, respectively."""

    samples: int
    p50: float | None
    p95: float | None
    p99: float | None


class PercentileWindow:
    """The durations of one kind of event. At most 13 KB, independent of the number of samples."""

    __slots__ = (
        "_at",
        "_cached",
        "_expected",
        "_newest",
        "_rows",
        "_slices",
        "_until",
        "_window",
    )

    def __init__(self) -> None:
        self._at = 0  # number of the current slice, counted from the clock's zero
        self._until = -inf  # when the current slice ends
        self._newest = _EMPTY[:]
        self._slices: list[array[int] | None] = [None] * SLICES
        self._window = _EMPTY[:]  # the sum of all slices
        self._rows = [0] * _ROWS
        self._cached: Percentiles | None = None
        self._expected: float | None = None

    def record(self, seconds: float, now: float) -> None:
        """Record a duration of an event that ended at `now`."""
        if now >= self._until:
            self._advance(now)
        bucket = int(log(seconds) * _PER_LOG + _SHIFT) if LEAST < seconds < MOST else _edge(seconds)
        self._newest[bucket] += 1
        self._window[bucket] += 1
        self._rows[bucket // _ROW] += 1
        self._cached = self._expected = None

    def percentiles(self, now: float) -> Percentiles:
        """Returns the percentiles of the window.

        They are cached, and recomputed only after a sample was recorded or a slice ended.
        """
        if now >= self._until:
            self._advance(now)
        cached = self._cached
        if cached is None:
            cached = self._cached = self._read()
        return cached

    def expected(self, now: float) -> float | None:
        """Returns the expected duration in seconds: p95, or the median if there are too few samples for p95.

        Returns None with fewer than two samples. The median makes a target with few samples look faster, so
        that it receives traffic and is soon measured better. After a new sample, a call costs a third of
        `percentiles`.
        """
        if now >= self._until:
            self._advance(now)
        expected = self._expected
        if expected is None:
            rows = list(accumulate(self._rows))
            samples = rows[-1]
            if samples >= _NEEDED[0]:
                percent = _PERCENTS[samples >= _NEEDED[1]]
                expected = self._expected = self._at_rank(rows, -(-samples * percent // 100))
        return expected

    def exceeds(self, limit: float, now: float, overdue: int = 0) -> bool:
        """Whether p95 is above `limit` (seconds). False with too few samples.

        `overdue` is the number of events in flight that have already lasted longer than `limit`. They count
        as above it, whatever their final duration. Without them, a jump of latency to 30 s would be detected
        only after 30 s.
        """
        if now >= self._until:
            self._advance(now)
        samples = sum(self._rows)
        if samples + overdue < _NEEDED[1]:
            return False
        bucket = int(log(limit) * _PER_LOG + _SHIFT) if LEAST < limit < MOST else _edge(limit)
        row = bucket // _ROW
        within = sum(self._rows[:row]) + sum(self._window[row * _ROW : bucket + 1])
        return (samples - within + overdue) * 100 > (samples + overdue) * (100 - _PERCENTS[1])

    def clear(self) -> None:
        """Clear the window, so that earlier samples do not affect later percentiles."""
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
        """Returns the duration of this rank (from 1). `rows` are the cumulative counts up to each row."""
        row = bisect_left(rows, rank)
        if row:
            rank -= rows[row - 1]
        first = row * _ROW
        return _MIDDLES[first + bisect_left(list(accumulate(self._window[first : first + _ROW])), rank)]

    def _advance(self, now: float) -> None:
        """Begin the slice that contains `now`, and remove the slices that are out of the window."""
        at = int(now // SLICE)
        for slot in range(self._at + 1, min(at, self._at + SLICES) + 1):
            self._expire(slot % SLICES)
        self._at = at
        self._until = (at + 1) * SLICE
        self._newest = self._slices[at % SLICES] = _EMPTY[:]
        self._recount()

    def _expire(self, slot: int) -> None:
        old = self._slices[slot]
        if old is not None:
            self._window = array("I", map(sub, self._window, old))
            self._slices[slot] = None

    def _recount(self) -> None:
        self._rows = [sum(self._window[first : first + _ROW]) for first in range(0, len(_EMPTY), _ROW)]
        self._cached = self._expected = None


def _edge(seconds: float) -> int:
    """Returns the bucket of a duration out of bounds. NaN goes to the lowest bucket."""
    return _LAST if seconds >= MOST else 0
