"""What the gateway's process says of itself: the figures that must be the same before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CALM", "COLLECTED", "RESOURCES", "Resources"]

RESOURCES = "/resources"
"""Answers the figures."""
COLLECTED = "/resources/collected"
"""The same after a full garbage collection, with freed memory given back to the system."""
CALM = "/resources/calm"
"""The same, and from now on peaks and worst cases are counted afresh."""


@dataclass(frozen=True, slots=True)
class Resources:
    """One look into the process. Memory is in bytes, time in seconds."""

    tasks: int
    descriptors: int
    callers: int
    """Connections of callers, that of who asks included."""
    clogged: int
    """Those whose callers do not read, so that what is sent to them waits."""
    pooled: int
    """Connections to providers."""
    active: int
    """Those that are in use."""
    asked: int
    """Requests that hold a connection to a provider, or wait for one."""
    faults: Mapping[str, int]
    """Every fault that Health was ever told of, by its kind."""
    marked: int
    """Breakers and cooldowns that there are, also those that have counted one failure and rest nobody."""
    resting: int
    """Those that keep a target from being tried now."""
    probing: int
    """Those that count a probe as under way."""
    objects: int | None
    """What the garbage collector follows. Counted when it has just collected: counting takes milliseconds,
    which would show in `stall`."""
    resident: int
    peak: int
    """The most that was resident since the calm."""
    stall: float
    """The most CPU time that the loop's thread used between two beats of its heart since the calm."""
    lateness: float
    """The most that a beat was late."""

    @property
    def idle(self) -> bool:
        """Nobody asks a provider for anything."""
        return not self.active and not self.asked and not self.clogged
