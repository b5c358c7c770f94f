"""Which traces are kept: a share of all, and those of requests that did not go as they should. No I/O."""

from __future__ import annotations

import random
from collections.abc import Callable

from ..exchange import Exchange
from .outcome import KEPT, outcome_of

__all__ = ["Sampler"]


class Sampler:
    """Decides at the begin of a request for a share of them, and at the end for those worth keeping.

    `share` is from 0 to 1. `most` is the number of requests a second that are kept beyond the share, so that
    an outage does not flood the collector. `chance` returns random numbers from 0 to 1.
    """

    __slots__ = ("_chance", "_left", "_most", "_since", "not_kept", "share")

    def __init__(self, share: float, most: int, chance: Callable[[], float] = random.random) -> None:
        self.share = share
        self.not_kept = 0  # requests worth keeping for which there was no room
        self._most = most
        self._chance = chance
        self._left = float(most)
        self._since: float | None = None

    def at_begin(self, parent_sampled: bool | None) -> bool:
        """Whether to keep the trace, whatever happens. A caller's trace is kept if the caller keeps it.

        `parent_sampled` is None if the request does not belong to a trace yet.
        """
        return self._chance() < self.share if parent_sampled is None else parent_sampled

    def at_end(self, exchange: Exchange, now: float) -> bool:
        """Whether to keep the trace of this request, which is not in the sample. `now` is in seconds."""
        if not (len(exchange.attempts) > 1 or is_worth_keeping(exchange)):
            return False
        if self._since is not None:
            self._left = min(float(self._most), self._left + (now - self._since) * self._most)
        self._since = now
        if self._left < 1:
            self.not_kept += 1
            return False
        self._left -= 1
        return True


def is_worth_keeping(exchange: Exchange) -> bool:
    """Whether a request was refused, failed, broke off, or was not served by a healthy preferred target."""
    return outcome_of(exchange) in KEPT or exchange.degraded is not None
