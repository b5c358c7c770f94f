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

from ..classify.faults import RULES, Fault, Rejection, Says

__all__ = [
    "CLOSE_AFTER",
    "COOLDOWN",
    "LONG_COOLDOWN",
    "MAX_OPEN",
    "OPEN",
    "PROBING",
    "TRIP",
    "Entry",
    "Health",
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


_ANY: Final = ""


@dataclass(slots=True, eq=False)
class _Breaker:
    """Closed while `until` is None."""

    failures: int = 0
    successes: int = 0
    span: float = OPEN / 2
    until: float | None = None
    probing: bool = False


@dataclass(slots=True, eq=False)
class _Cooldown:
    until: float
    probing: bool = False


@dataclass(slots=True, eq=False)
class Entry:
    """An attempt that was let in; `Health.record` must end it. It may be the one probe of what rested."""

    target: str
    credential: str
    operation: str
    breaker: _Breaker | None = None
    cooldowns: tuple[_Cooldown, ...] = ()


class Health:
    """The health of every target of one process. `clock` is monotonic, in seconds."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        self.clock = clock
        self._jitter = jitter
        self._breakers: dict[tuple[str, str], _Breaker] = {}
        self._cooldowns: dict[tuple[str, str, str], _Cooldown] = {}

    def rejection(self, target: str, credential: str, operation: str) -> Rejection | None:
        """Why `target` may not be tried for `operation` now, or None."""
        if not self._cooldowns and not self._breakers:
            return None
        now = self.clock()
        for cooldown in self._resting(target, credential, operation):
            if cooldown.until > now or cooldown.probing:
                return Rejection("health.cooldown", _wait(cooldown.until - now))
        breaker = self._breakers.get((target, operation))
        if breaker is not None and breaker.until is not None and (breaker.until > now or breaker.probing):
            return Rejection("health.breaker_open", _wait(breaker.until - now))
        return None

    def enter(self, target: str, credential: str, operation: str) -> Entry | Rejection:
        """Begin an attempt, unless it is rejected."""
        if not self._cooldowns and not self._breakers:
            return Entry(target, credential, operation)  # all is well, as nearly always
        if (rejection := self.rejection(target, credential, operation)) is not None:
            return rejection
        entry = Entry(target, credential, operation)
        entry.cooldowns = self._resting(target, credential, operation)
        for cooldown in entry.cooldowns:
            cooldown.probing = True
        breaker = self._breakers.get((target, operation))
        if breaker is not None and breaker.until is not None:
            breaker.probing = True
            entry.breaker = breaker
        return entry

    def record(self, entry: Entry, fault: Fault | None, *, proved: bool) -> None:
        """End an attempt. `proved` is False when it says nothing of the target (the client left, say)."""
        if fault is None and not self._cooldowns and not self._breakers:
            return
        says: Says = "alive" if fault is None else RULES[fault.kind].health
        if says == "none" or (fault is None and not proved):
            self._release(entry)
            return
        self._judge_cooldown(entry, fault, says)
        if says in {"failure", "alive"}:
            self._judge_breaker(entry, failed=says == "failure")
        elif entry.breaker is not None:
            entry.breaker.probing = False  # it rests for another reason now; the breaker is none the wiser

    @staticmethod
    def _release(entry: Entry) -> None:
        """A probe that found nothing out leaves the place to the next one."""
        for cooldown in entry.cooldowns:
            cooldown.probing = False
        if entry.breaker is not None:
            entry.breaker.probing = False

    def _resting(self, target: str, credential: str, operation: str) -> tuple[_Cooldown, ...]:
        """What rests this target for this operation: for all of them, and for this one alone."""
        found = [self._cooldowns.get((target, credential, scope)) for scope in (_ANY, operation)]
        return tuple([cooldown for cooldown in found if cooldown is not None])

    def _judge_cooldown(self, entry: Entry, fault: Fault | None, says: Says) -> None:
        for cooldown in entry.cooldowns:
            cooldown.probing = False
        rest: float | None = None
        if fault is not None and says != "alive":
            rest = fault.retry_after
            if says == "cooldown":
                rest = rest or COOLDOWN
            elif says == "long_cooldown":
                rest = LONG_COOLDOWN
        if rest is None:
            self._cooldowns = {
                key: held for key, held in self._cooldowns.items() if held not in entry.cooldowns
            }
            return
        # A model, or a permission, may be missing for one operation and there for another.
        alone = fault is not None and (fault.kind == "target_missing" or fault.status == 403)
        key = (entry.target, entry.credential, entry.operation if alone else _ANY)
        until = self.clock() + rest
        current = self._cooldowns.get(key)
        # A later, longer word extends the rest; a shorter one does not cut it.
        if current is None or current.until < until:
            self._cooldowns[key] = _Cooldown(until)

    def _judge_breaker(self, entry: Entry, *, failed: bool) -> None:
        key = (entry.target, entry.operation)
        breaker = entry.breaker
        if breaker is not None:
            breaker.probing = False
            if failed:
                self._open(breaker)
            else:
                breaker.successes += 1
                if breaker.successes >= CLOSE_AFTER:
                    del self._breakers[key]
            return
        breaker = self._breakers.get(key)
        if breaker is None:
            if failed:
                self._breakers[key] = _Breaker(failures=1)
        elif breaker.until is not None:
            pass  # it began before the breaker opened, and tells nothing that opened it did not
        elif not failed:
            del self._breakers[key]
        else:
            breaker.failures += 1
            if breaker.failures >= TRIP:
                self._open(breaker)

    def _open(self, breaker: _Breaker) -> None:
        breaker.successes = 0
        breaker.span = min(breaker.span * 2, MAX_OPEN)
        # Equal jitter: replicas that tripped together must not probe together.
        breaker.until = self.clock() + breaker.span * (0.5 + self._jitter() / 2)


def _wait(seconds: float) -> float:
    """Until the rest is over, or until a caller may ask again while a probe is under way."""
    return seconds if seconds > 0 else PROBING
