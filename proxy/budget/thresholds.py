"""Which shares of a budget have just been passed: each is told once in each window. No I/O."""

from __future__ import annotations

from typing import Final

from cachetools import LRUCache

from .accounts import Account

__all__ = ["Thresholds", "share"]

_KEPT: Final = 10_000
"""Shares told that are remembered; each process tells of itself."""


class Thresholds:
    """Remembers what has been told."""

    __slots__ = ("_raised",)

    def __init__(self) -> None:
        self._raised: LRUCache[tuple[str, int, float], bool] = LRUCache(_KEPT)

    def passed(self, account: Account, used: int) -> float | None:
        """The highest share of `account` that is reached and was not told before, which from now on it is."""
        reached = share(account, used)
        line = account.line
        # Of a rolling window's buckets many are in one window: it is told again when all of them have passed.
        window = line.bucket // (line.bucket - line.since) if line.rolling else line.bucket
        news = [
            each
            for each in account.alert_at
            if each <= reached and (line.account, window, each) not in self._raised
        ]
        for each in news:
            self._raised[line.account, window, each] = True
        return max(news, default=None)


def share(account: Account, used: int) -> float:
    """How much of the account's limit is used, 1.0 being all of it."""
    return used / account.line.limit if account.line.limit else 0.0
