"""The health of all targets, kept across requests and configuration reloads by target name. No I/O.

Three mechanisms act on a target. A *breaker*, per (target, operation), since a provider can be healthy for
chat and failing for embeddings. A *cooldown*, per (target, credential), when the provider sent a rate limit
or rejected our credential; a credential is named by its provider, which holds exactly one. After either, one
request at a time is admitted as a probe. And a *degradation*, per pool, which blocks nothing: the target
works, but breaks the pool's limits on latency or quality, and is tried after the others.

Longer than 400 lines because an attempt begins and ends for all three at once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator
from typing import Final, TypeAlias

from ..classify.faults import RULES, Fault, HealthEffect, Rejection
from ..config import Pool
from .breaker import CLOSE_AFTER, EARLY, MAX_OPEN, OPEN, TRIP, Breaker
from .cooldown import (
    COOLDOWN,
    EVERY_TARGET,
    LONG_COOLDOWN,
    Cooldowns,
    cooldown_key,
    cooldown_seconds,
)
from .degradation import Degradation, Degraded
from .measurements import Load, Measurements
from .percentiles import Percentiles
from .permit import Permit
from .retry_budget import RetryBudget
from .slow_start import FLOOR, SLOW_START, SlowStarts
from .target_state import Ejection, HealthChange, TargetState

__all__ = [
    "CLOSE_AFTER",
    "COOLDOWN",
    "EARLY",
    "FLOOR",
    "LONG_COOLDOWN",
    "MAX_OPEN",
    "OPEN",
    "PROBING",
    "SLOW_START",
    "TRIP",
    "Degraded",
    "Ejection",
    "Health",
    "HealthChange",
    "Permit",
    "TargetState",
]

PROBING: Final = 1.0
"""Seconds until a caller may retry while a probe is in flight."""
_Key: TypeAlias = tuple[str, str]
"""Target and operation."""


class Health:
    """The health of every target of one process. `clock` is monotonic, in seconds.

    `jitter` returns random numbers from 0 to 1, and `on_change` is told what changes. A healthy target has
    entries in `_measurements` and `_loads` only: the other tables are empty while all targets are healthy.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        self.clock = clock
        self._jitter = jitter
        self._measurements: dict[_Key, Measurements] = {}
        self._loads: dict[str, Load] = {}
        self._breakers: dict[_Key, Breaker] = {}  # those that are not healthy
        self._cooldowns = Cooldowns()
        self._degradations: dict[tuple[str, str, str], Degradation] = {}
        self._degraded: dict[_Key, tuple[Degradation, ...]] = {}
        self._slow_starts = SlowStarts()
        self._reasons: dict[_Key, str] = {}
        self._targets: frozenset[str] | None = None
        self.on_change: Callable[[HealthChange], None] | None = None

    # ------------------------------------------------------------------------------------------- attempts

    def rejection(self, target: str, credential: str, operation: str) -> Rejection | None:
        """Returns why `target` may not be tried for `operation` now, or None if it may."""
        if not self._cooldowns and not self._breakers:
            return None
        now = self.clock()
        for cooldown in self._cooldowns.of(target, credential, operation):
            if cooldown.until > now or cooldown.probing:
                return Rejection("health.cooldown", _retry_after(cooldown.until - now))
        breaker = self._breakers.get((target, operation))
        if breaker is not None and (wait := breaker.wait(now)) is not None:
            return Rejection("health.breaker_open", _retry_after(wait))
        return None

    def reason(self, target: str, credential: str, operation: str) -> str | None:
        """Returns the kind of the fault for which `target` is not counted on, or None.

        From the begin of a cooldown, or the opening of the breaker, until an attempt shows that it is over.
        """
        if not self._cooldowns and not self._breakers:
            return None
        for cooldown in self._cooldowns.of(target, credential, operation):
            return cooldown.reason
        breaker = self._breakers.get((target, operation))
        is_open = breaker is not None and breaker.until is not None
        return self._reasons.get((target, operation), "upstream_5xx") if is_open else None

    def enter(
        self, target: str, credential: str, operation: str, *, streamed: bool = True
    ) -> Permit | Rejection:
        """Begin an attempt, unless it is rejected. Returns its permit, or the rejection.

        An attempt that is not `streamed` has no first token. If the target is degraded and a trial is due,
        the attempt becomes the trial, whatever its pool.
        """
        if (rejection := self.rejection(target, credential, operation)) is not None:
            return rejection
        return self._admit(target, credential, operation, streamed=streamed)

    def enter_early(
        self, target: str, credential: str, operation: str, *, streamed: bool = True
    ) -> Permit | None:
        """Begin an attempt at a target whose breaker is open, before its time. It is the target's probe.

        Returns None if there is one already, if the last one was less than EARLY seconds ago, or if the
        target asked to be left alone or refuses us, which an attempt would not change.
        """
        key, now = (target, operation), self.clock()
        breaker = self._breakers.get(key)
        if breaker is None or breaker.probing or self._cooldowns.of(target, credential, operation):
            return None
        if now < breaker.early_at:
            return None
        breaker.early_at = now + EARLY
        return self._admit(target, credential, operation, streamed=streamed)

    def is_probed(self, target: str, operation: str) -> bool:
        """Whether an attempt is in flight that will show if the target's breaker closes."""
        breaker = self._breakers.get((target, operation))
        return breaker is not None and breaker.probing

    def _admit(self, target: str, credential: str, operation: str, *, streamed: bool) -> Permit:
        """Begin an attempt. If the target rests, the attempt is its probe."""
        key = (target, operation)
        measurements = self._measurements.get(key) or self._create_measurements(key)
        measurements.load.credential = credential
        permit = Permit(target, credential, operation)
        permit.measurements = measurements
        now = self.clock()
        measurements.begin(permit, now, streamed=streamed)
        if self._cooldowns:
            permit.cooldowns = self._cooldowns.of(target, credential, operation)
            for cooldown in permit.cooldowns:
                cooldown.probing = True
        if measurements.breaker.until is not None:
            measurements.breaker.probing = True
            permit.breaker = measurements.breaker
        if self._degraded:
            permit.degradations = self._degraded.get(key, ())
            for degradation in permit.degradations:
                degradation.begin(permit, now)
        return permit

    def answered(self, permit: Permit, *, streamed: bool = True) -> None:
        """Record that the attempt is committed. If it is streamed, its first content has arrived."""
        if not streamed:
            permit.streamed = False
        elif permit.measurements is not None:
            now = self.clock()
            permit.measurements.answered(permit, now)
            for degradation in permit.degradations:
                degradation.answered(permit, now)
                self._recover_if_ready(permit, degradation, now)

    def record(self, permit: Permit, fault: Fault | None, *, proved: bool, refused: bool = False) -> None:
        """End an attempt.

        `proved` is False if it shows nothing about the target, for example because the client left. `refused`
        is True if the answer is the model's refusal to answer.
        """
        now = self.clock()
        key = (permit.target, permit.operation)
        measurements = permit.measurements
        if measurements is not None:
            measurements.end(permit)
            if fault is None and not proved:
                measurements.gave_up(permit, now)
        for degradation in permit.degradations:
            degradation.end(permit, now, fault, proved=proved, refused=refused)
            self._recover_if_ready(permit, degradation, now)
        effect: HealthEffect = "alive" if fault is None else RULES[fault.kind].health
        if effect == "failure" and fault is not None and fault.rests == "nothing":
            effect = "none"  # it fails for this request alone
        if effect == "none" or (fault is None and not proved):
            self._release(permit)
            return
        if self._targets is not None and permit.target not in self._targets:
            self._release(permit)  # a cooldown may be one of other targets too
            return  # it was removed from the configuration during the attempt
        if measurements is None or self._measurements.get(key) is not measurements:
            measurements = self._measurements.get(key) or self._create_measurements(key)
        duration = None if permit.measurements is None else now - permit.started
        measurements.finished(now, duration, fault, refused=refused)
        self._update_cooldowns(permit, fault, now)
        if effect in {"failure", "alive"}:
            self._update_breaker(
                key, measurements.breaker, permit, fault if effect == "failure" else None, now
            )
        elif permit.breaker is not None:
            permit.breaker.probing = False  # it is in cooldown now; the breaker learned nothing

    # --------------------------------------------------------------------------------------------- metrics

    def busy(self, target: str) -> int:
        """Returns the number of attempts in flight at the target."""
        load = self._loads.get(target)
        return 0 if load is None else load.busy

    @property
    def ramping(self) -> bool:
        """Whether any target may be in a slow start."""
        return bool(self._slow_starts)

    def ramp(self, target: str, operation: str) -> float:
        """Returns the part of its usual share a target should get. Less than 1.0 only during a slow start."""
        return self._slow_starts.ramp((target, operation), self.clock()) if self._slow_starts else 1.0

    def expected(self, target: str, operation: str, *, streamed: bool) -> float | None:
        """Returns the expected latency in seconds, or None without samples. See `Latency.expected`."""
        known = self._measurements.get((target, operation))
        return None if known is None else known.latency.expected(self.clock(), streamed=streamed)

    def percentiles(self, target: str, operation: str, *, streamed: bool) -> Percentiles | None:
        """Returns those of the last minute, in seconds: to the first token, or of whole answers."""
        if (known := self._measurements.get((target, operation))) is None:
            return None
        durations = known.latency.first_token if streamed else known.latency.total
        return durations.percentiles(self.clock())

    def is_open(self, target: str) -> bool:
        """Whether a breaker of the target is open, for any operation."""
        if not self._breakers:
            return False
        now = self.clock()
        return any(
            breaker.until is not None and breaker.until > now
            for key, breaker in self._breakers.items()
            if key[0] == target
        )

    def half_open(self, target: str) -> None:
        """Let the next attempt at the target in, as a probe, whose breaker is open."""
        now = self.clock()
        for key, breaker in self._breakers.items():
            if key[0] == target and breaker.until is not None and breaker.until > now:
                breaker.until = now

    def retries(self, target: str, operation: str) -> RetryBudget:
        """Returns the retry budget of the target for the operation."""
        known = self._measurements.get((target, operation))
        return (known or self._create_measurements((target, operation))).retries

    def degradation(self, pool: Pool, target: str, operation: str) -> Degraded | None:
        """Returns why the target is degraded in the pool, or None. At most FRESH seconds old."""
        if pool.slow is None and pool.degrade_on is None:
            return None
        key = (target, operation)
        measurements = self._measurements.get(key)
        if measurements is None:
            return None
        pool_key = (pool.name, target, operation)
        degradation = self._degradations.get(pool_key)
        if degradation is None:
            degradation = self._degradations[pool_key] = Degradation(pool.name)
        breach = degradation.breach
        now = self.clock()
        degraded = degradation.review(pool, measurements, now)
        if degradation.breach is not breach:
            others = tuple([other for other in self._degraded.get(key, ()) if other is not degradation])
            self._keep_degraded(key, others if degraded is None else (*others, degradation))
        return degraded

    def states(self) -> tuple[TargetState, ...]:
        """Returns the state of every measured target and operation, sorted."""
        now = self.clock()
        cooldowns = [ejection for ejection in self.ejections() if ejection.kind == "cooldown"]
        states: list[TargetState] = []
        for key in sorted(self._measurements):
            known, degradations = self._measurements[key], self._degraded.get(key, ())
            wait = known.breaker.wait(now)
            ready_in = None if wait is None else _retry_after(wait)
            ramp = self.ramp(*key)
            states.append(TargetState.of(key, known, cooldowns, degradations, ready_in, ramp, now))
        return tuple(states)

    def ejections(self, *, unproven: bool = False) -> tuple[Ejection, ...]:
        """Returns every open breaker and cooldown in force; with `unproven` also those that time ended."""
        return tuple(self._ejections(float("-inf") if unproven else self.clock()))

    def reset(self, targets: Collection[str], credentials: Collection[str] = ()) -> None:
        """Delete the state of these targets, and of these credentials: they are others now."""
        for table in (self._measurements, self._breakers, self._degraded, self._slow_starts, self._reasons):
            for key in [key for key in table if key[0] in targets]:
                del table[key]
        for place in [key for key in self._cooldowns if key[0] in targets or key[1] in credentials]:
            del self._cooldowns[place]
        for degradation in [key for key in self._degradations if key[1] in targets]:
            del self._degradations[degradation]

    def keep(self, targets: Collection[str], judged: Collection[tuple[str, str]] | None = None) -> None:
        """Delete the state of every target that is not among these. Called after a reload.

        Of degradations only those are kept whose pool and target are in `judged`; all of them if it is None.
        """
        self._targets = frozenset(targets)
        for table in (self._measurements, self._breakers, self._degraded, self._slow_starts, self._reasons):
            for key in [key for key in table if key[0] not in self._targets]:
                del table[key]
        for name in [name for name in self._loads if name not in self._targets]:
            del self._loads[name]
        kept_targets = {EVERY_TARGET, *self._targets}
        for place in [place for place in self._cooldowns if place[0] not in kept_targets]:
            del self._cooldowns[place]
        for pool_key in list(self._degradations):
            if pool_key[1] not in self._targets or (judged is not None and pool_key[:2] not in judged):
                del self._degradations[pool_key]
        for key, degradations in list(self._degraded.items()):
            kept = [item for item in degradations if self._degradations.get((item.pool, *key)) is item]
            self._keep_degraded(key, tuple(kept))

    # ---------------------------------------------------------------------------------------------- internal

    def _create_measurements(self, key: _Key) -> Measurements:
        """Create and store the measurements of a target and operation."""
        load = self._loads.setdefault(key[0], Load())
        measurements = self._measurements[key] = Measurements(load)
        return measurements

    @staticmethod
    def _release(permit: Permit) -> None:
        """Release the probes of an attempt without a result, so that others can probe."""
        for cooldown in permit.cooldowns:
            cooldown.probing = False
        if permit.breaker is not None:
            permit.breaker.probing = False

    def _update_cooldowns(self, permit: Permit, fault: Fault | None, now: float) -> None:
        for cooldown in permit.cooldowns:
            cooldown.probing = False
        rest = None if fault is None else cooldown_seconds(fault)
        if fault is None or rest is None:
            if permit.cooldowns:
                self._cooldowns.end(permit.cooldowns)
                self._tell(HealthChange("cooldown_ended", permit.target, permit.operation))
            return
        place_key = cooldown_key(fault, permit.target, permit.credential, permit.operation)
        if self._cooldowns.begin(place_key, now + rest, fault.kind):
            target = place_key[0] or f"of provider {permit.credential}"
            self._tell(HealthChange("cooldown", target, place_key[2], fault.kind, rest))

    def _update_breaker(
        self, key: _Key, breaker: Breaker, permit: Permit, failure: Fault | None, now: float
    ) -> None:
        probe = permit.breaker is breaker
        transition = breaker.record(now, failed=failure is not None, probe=probe, chance=self._jitter)
        if not breaker.healthy:
            self._breakers[key] = breaker
        elif self._breakers:
            self._breakers.pop(key, None)
        if transition == "opened" and failure is not None:
            self._reasons[key] = failure.kind
            self._slow_starts.pop(key, None)
            self._tell(HealthChange("breaker_opened", *key, failure.kind, breaker.wait(now)))
        elif transition == "closed":
            self._slow_starts[key] = now
            self._reasons.pop(key, None)
            self._tell(HealthChange("breaker_closed", *key))

    def _tell(self, change: HealthChange) -> None:
        if self.on_change is not None:
            self.on_change(change)

    def _recover_if_ready(self, permit: Permit, degradation: Degradation, now: float) -> None:
        """End a degradation if the target has recovered, and begin a slow start."""
        if degradation.breach is None or not degradation.recovered(now):
            return
        by_latency = degradation.breach in {"first_token", "total"}
        degradation.recover(now)
        key = (permit.target, permit.operation)
        self._keep_degraded(
            key, tuple([other for other in self._degraded.get(key, ()) if other is not degradation])
        )
        measurements = self._measurements.get(key)
        if measurements is not None:
            self._slow_starts[key] = now
            measurements.forget(latency=by_latency)

    def _keep_degraded(self, key: _Key, degradations: tuple[Degradation, ...]) -> None:
        if degradations:
            self._degraded[key] = degradations
        else:
            self._degraded.pop(key, None)

    def _ejections(self, later: float) -> Iterator[Ejection]:
        now = self.clock()
        for key, breaker in self._breakers.items():
            if breaker.until is not None and breaker.until > later:
                reason = self._reasons.get(key, "")
                yield Ejection("breaker", key[0], "", key[1], breaker.until - now, reason)
        for place_key, cooldown in self._cooldowns.items():
            if cooldown.until > later:
                yield Ejection("cooldown", *place_key, cooldown.until - now, cooldown.reason)


def _retry_after(seconds: float) -> float:
    """Returns `seconds`, or PROBING if they are over and a probe is in flight."""
    return seconds if seconds > 0 else PROBING
