"""What is known of each target's health, kept across requests and reloads by target name.

Two things rest a target. A *breaker*, per (target, operation), since a provider can be healthy for chat and
failing for embeddings. A *cooldown*, per (target, credential), when the provider itself asked to be left
alone or refused our credential; a credential is named by its provider, which holds exactly one. After
either, one request at a time goes through as a probe.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .classify import RULES
from .exchange import Fault

__all__ = [
    "CLOSE_AFTER",
    "COOLDOWN",
    "LONG_COOLDOWN",
    "MAX_OPEN",
    "OPEN",
    "PROBING",
    "TRIP",
    "Health",
    "Rejection",
]

TRIP: Final = 5
"""Consecutive failures that open a breaker (Envoy, Finagle and LiteLLM agree on five)."""
OPEN: Final = 5.0
"""Seconds a breaker stays open the first time; doubled each time it opens again."""
MAX_OPEN: Final = 300.0
"""Seconds a breaker stays open at most (Envoy, Finagle)."""
CLOSE_AFTER: Final = 2
"""Successful probes that close a breaker (HAProxy's `rise`)."""
COOLDOWN: Final = 5.0
"""Seconds a rate-limited target rests when its provider does not say for how long."""
LONG_COOLDOWN: Final = 300.0
"""Seconds a target rests that refused our credential, has no quota left, or does not exist."""
PROBING: Final = 1.0
"""Seconds until a caller may ask again while a probe is under way."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a target may not be tried now, and in how many seconds it may."""

    reason: str
    ready_in: float


@dataclass(slots=True)
class _Breaker:
    failures: int = 0
    successes: int = 0
    opened: int = 0
    until: float | None = None
    probing: bool = False


@dataclass(slots=True)
class _Cooldown:
    until: float
    probing: bool = False


class Health:
    """The health of every target of one process. `clock` is monotonic, in seconds."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        self.clock = clock
        self._jitter = jitter
        self._breakers: dict[tuple[str, str], _Breaker] = {}
        self._cooldowns: dict[tuple[str, str], _Cooldown] = {}

    def rejection(self, target: str, credential: str, operation: str) -> Rejection | None:
        """Why `target` may not be tried for `operation` now, or None."""
        if not self._cooldowns and not self._breakers:
            return None
        now = self.clock()
        cooldown = self._cooldowns.get((target, credential))
        if cooldown is not None and (cooldown.until > now or cooldown.probing):
            return Rejection(
                "health.cooldown", max(cooldown.until - now, PROBING if cooldown.probing else 0.0)
            )
        breaker = self._breakers.get((target, operation))
        if breaker is None or breaker.until is None:
            return None
        if breaker.until > now or breaker.probing:
            return Rejection(
                "health.breaker_open", max(breaker.until - now, PROBING if breaker.probing else 0.0)
            )
        return None

    def enter(self, target: str, credential: str, operation: str) -> Rejection | None:
        """Begin an attempt, unless it is rejected. After a rest it is the one probe: `record` must follow."""
        if (rejection := self.rejection(target, credential, operation)) is not None:
            return rejection
        if (cooldown := self._cooldowns.get((target, credential))) is not None:
            cooldown.probing = True
        breaker = self._breakers.get((target, operation))
        if breaker is not None and breaker.until is not None:
            breaker.probing = True
        return None

    def record(
        self, target: str, credential: str, operation: str, fault: Fault | None, *, proved: bool
    ) -> None:
        """End an attempt. `proved` is False when it says nothing of the target (the client left, say)."""
        said = "none" if fault is None else RULES[fault.kind].health
        if not self._cooldowns and not self._breakers and said == "none":
            return
        now = self.clock()
        self._cool(now, (target, credential), fault, said, proved=proved)
        key = (target, operation)
        breaker = self._breakers.get(key)
        if said == "failure":
            if breaker is None:
                breaker = self._breakers[key] = _Breaker()
            self._failed(breaker, now)
        elif breaker is not None:
            breaker.probing = False
            if proved and (fault is None or said == "none"):
                self._succeeded(key, breaker)

    def _cool(
        self, now: float, key: tuple[str, str], fault: Fault | None, said: str, *, proved: bool
    ) -> None:
        cooldown = self._cooldowns.get(key)
        rest: float | None = None
        if fault is not None:
            if said == "cooldown":
                rest = fault.retry_after or COOLDOWN
            elif said == "long_cooldown":
                rest = LONG_COOLDOWN
            elif said == "failure":
                rest = fault.retry_after
        if rest is not None:
            # A later, longer word extends the rest; a shorter one does not cut it.
            until = now + rest
            if cooldown is None or cooldown.until < until:
                self._cooldowns[key] = _Cooldown(until)
            else:
                cooldown.probing = False
        elif cooldown is not None and cooldown.until <= now:
            if proved:
                del self._cooldowns[key]
            else:
                cooldown.probing = False

    def _failed(self, breaker: _Breaker, now: float) -> None:
        breaker.failures += 1
        breaker.successes = 0
        half_open = breaker.until is not None and breaker.until <= now
        breaker.probing = False
        if half_open or (breaker.until is None and breaker.failures >= TRIP):
            breaker.opened += 1
            span = min(OPEN * 2 ** (breaker.opened - 1), MAX_OPEN)
            # Equal jitter: replicas that tripped together must not probe together.
            breaker.until = now + span * (0.5 + self._jitter() / 2)

    def _succeeded(self, key: tuple[str, str], breaker: _Breaker) -> None:
        if breaker.until is None:
            del self._breakers[key]
            return
        breaker.successes += 1
        if breaker.successes >= CLOSE_AFTER:
            del self._breakers[key]
