"""A retry budget: limits how often the same target is tried again for the same request. No I/O.

A retry helps against a transient fault. Against an outage it only adds load, so retries are limited to a
share of requests and not only per request. Failing over to another target is not a retry.
"""

from __future__ import annotations

from typing import Final

from .ratio_window import RatioWindow

__all__ = ["FLOOR", "SHARE", "SPAN", "RetryBudget"]

SHARE: Final = 0.2
"""Retries as a share of requests (Finagle, Linkerd and Envoy agree on a fifth)."""
SPAN: Final = 10.0
"""Seconds over which retries and requests are counted (as in Finagle and Linkerd)."""
FLOOR: Final = 3
"""Retries that are allowed within SPAN even if there are few requests (as in Envoy)."""


class RetryBudget:
    """The retry budget of one target and operation. `now` is in seconds of one monotonic clock."""

    __slots__ = ("_floor", "_share", "_window")

    def __init__(self, share: float = SHARE, span: float = SPAN, floor: int = FLOOR) -> None:
        self._share = share
        self._floor = floor
        self._window = RatioWindow(span)

    def request(self, now: float) -> None:
        """Count a request: its first attempt at the target."""
        self._window.add(now, total=1)

    def allows(self, now: float) -> bool:
        """Whether one more retry fits the budget. Consumes nothing."""
        retries, requests = self._window.counted(now)
        return retries < self._floor or (requests > 0 and (retries + 1) / requests <= self._share)

    def take(self, now: float) -> bool:
        """Count one more retry. Returns False, and counts nothing, if the budget does not allow it."""
        if not self.allows(now):
            return False
        self._window.add(now, hits=1)
        return True
