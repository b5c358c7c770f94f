"""Alert thresholds of budgets: each threshold is reported once per window. No I/O."""

from __future__ import annotations

from typing import Final

from cachetools import LRUCache

from .accounts import Account

__all__ = ["Thresholds", "share"]

_KEPT: Final = 10_000
"""The maximum number of reported thresholds that are remembered. Each process reports separately."""


class Thresholds:
    """Remembers which thresholds have been reported."""

    __slots__ = ("_reported",)

    def __init__(self) -> None:
        self._reported: LRUCache[tuple[str, int, float], bool] = LRUCache(_KEPT)

    def passed(self, account: Account, used: int) -> float | None:
        """Returns the highest threshold of `account` that is newly reached, or None.

        `used` is in the account's unit. All thresholds reached are then remembered as reported.
        """
        if not account.alert_at or (reached := share(account, used)) < min(account.alert_at):
            return None
        line = account.line
        # A rolling window has many buckets: a threshold is reported again after a whole window has passed.
        window = line.bucket // (line.bucket - line.since) if line.rolling else line.bucket
        new = [
            threshold
            for threshold in account.alert_at
            if threshold <= reached and (line.account, window, threshold) not in self._reported
        ]
        for threshold in new:
            self._reported[line.account, window, threshold] = True
        return max(new, default=None)


def share(account: Account, used: int) -> float:
    """Returns the used fraction of the account's limit: 1.0 is the whole limit, 0.0 if there is no limit."""
    return used / account.line.limit if account.line.limit else 0.0
