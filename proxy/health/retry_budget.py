"""How often a target may be asked again for the same request. No I/O.

A retry helps against a fault that strikes now and then. Against an outage it only adds load, so retries are
limited to a share of requests and not per request alone. Moving on to another target is not a retry.
"""

from __future__ import annotations

from typing import Final

from .ratio_window import RatioWindow

__all__ = ["FLOOR", "SHARE", "SPAN", "RetryBudget"]

SHARE: Final = 0.2
"""Retries by requests (Finagle, Linkerd and Envoy agree on a fifth)."""
SPAN: Final = 10.0
"""Seconds over which both are counted (Finagle's and Linkerd's)."""
FLOOR: Final = 3
"""Retries that are allowed within the span however few the requests (Envoy's)."""


class RetryBudget:
    """The retries of one target. `now` is in seconds of one monotonic clock."""

    __slots__ = ("_floor", "_share", "_window")

    def __init__(self, share: float = SHARE, span: float = SPAN, floor: int = FLOOR) -> None:
        self._share = share
        self._floor = floor
        self._window = RatioWindow(span)

    def request(self, now: float) -> None:
        """The target is asked for a request for the first time."""
        self._window.add(now, total=1)

    def allows(self, now: float) -> bool:
        """Whether there is room for one more retry; takes nothing."""
        retries, requests = self._window.counted(now)
        return retries < self._floor or (requests > 0 and (retries + 1) / requests <= self._share)

    def take(self, now: float) -> bool:
        """Count one more retry, if there is room for it. Without room it must not happen."""
        if not self.allows(now):
            return False
        self._window.add(now, hits=1)
        return True
