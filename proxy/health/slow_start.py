"""The slow start of a recovered target: its share of the traffic grows from a tenth to all of it. No I/O."""

from __future__ import annotations

from typing import Final

from .breaker import SETTLED

__all__ = ["FLOOR", "SLOW_START", "SlowStarts"]

SLOW_START: Final = SETTLED
"""Seconds over which a recovered target ramps up to its full share of the traffic."""
FLOOR: Final = 0.1
"""Part of that share with which the ramp starts."""


class SlowStarts(dict[tuple[str, str], float]):
    """When the slow start of each target and operation began, by a monotonic clock."""

    def ramp(self, key: tuple[str, str], now: float) -> float:
        """Returns the part of its usual share a target should get. Less than 1.0 only during a slow start."""
        since = self.get(key)
        if since is None:
            return 1.0
        elapsed = now - since
        if elapsed >= SLOW_START:
            del self[key]
            return 1.0
        return FLOOR + (1 - FLOOR) * max(0.0, elapsed) / SLOW_START
