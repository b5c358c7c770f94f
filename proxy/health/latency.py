"""The latency of one target for one operation: to the first token, and to the end of the answer. No I/O.

`now` is in seconds of one monotonic clock, as for `PercentileWindow`, which does the counting.
"""

from __future__ import annotations

from .percentiles import PercentileWindow

__all__ = ["Latency"]


class Latency:
    """The latency of one (target, operation): percentiles of the last minute.

    Takes at most 25 KB, independent of the number of requests, and 6 KB for a target without requests.
    """

    __slots__ = ("first_token", "total")

    def __init__(self) -> None:
        self.first_token = PercentileWindow()
        self.total = PercentileWindow()

    def expected(self, now: float, *, streamed: bool) -> float | None:
        """Returns the latency that a caller should expect, in seconds, or None without enough samples.

        To the first token for a streamed answer, else to the end. See `PercentileWindow.expected`.
        """
        return (self.first_token if streamed else self.total).expected(now)
