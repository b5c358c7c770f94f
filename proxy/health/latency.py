"""How long one target takes for one operation: to its first token, and to the end. No I/O.

`now` is in seconds of one monotonic clock, as for `Durations`, which does the counting.
"""

from __future__ import annotations

from .percentiles import PercentileWindow

__all__ = ["Latency"]


class Latency:
    """The latency of one (target, operation): percentiles of the last minute, and what was usual before it.

    25 KB at most, however many requests there are; 6 KB for a target that nobody asks.
    """

    __slots__ = ("first_token", "total")

    def __init__(self) -> None:
        self.first_token = PercentileWindow()
        self.total = PercentileWindow()

    def record(self, now: float, first_token: float | None = None, total: float | None = None) -> None:
        """An attempt ended at `now`, or has begun to answer. Seconds since it was sent, as far as known.

        Only answers are recorded: a refusal after 2 ms is not fast, and a client that left says nothing.
        """
        if first_token is not None:
            self.first_token.record(first_token, now)
        if total is not None:
            self.total.record(total, now)

    def expected(self, now: float, *, streamed: bool) -> float | None:
        """What a caller should expect, in seconds; None for a target unknown. See `Durations.expected`.

        To the first token for one who reads a stream, to the end for the others.
        """
        return (self.first_token if streamed else self.total).expected(now)

    def slowdown(self, now: float) -> float | None:
        """How many times longer than usual the first token takes, by p95; None where that is not known."""
        usual = self.first_token.usual(now)
        p95 = self.first_token.percentiles(now).p95
        return None if usual is None or p95 is None else p95 / usual
