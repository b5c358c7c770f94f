"""What is known of each target's health, kept across requests and reloads by target name. No I/O.

Three things keep requests from a target. A *breaker*, per (target, operation), since a provider can be
healthy for chat and failing for embeddings. A *cooldown*, per (target, credential), when the provider itself
asked to be left alone or refused our credential; a credential is named by its provider, which holds exactly
one. After either, one request at a time goes through as a probe. And a *degradation*, per pool, which rests
nothing: the target works, but too slowly for that pool or not well enough, and is asked after the others.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator
from typing import Final, TypeAlias

from ..classify.faults import RULES, Fault, HealthEffect, Rejection
from ..config import Pool
from .breaker import CLOSE_AFTER, MAX_OPEN, OPEN, SETTLED, TRIP, Breaker
from .cooldown import COOLDOWN, LONG_COOLDOWN, Cooldown, Cooldowns, place_of, rest_of
from .degradation import Degradation, Degraded
from .measurements import InFlight, Load, Measurements
from .retry_budget import RetryBudget
from .target_state import Ejection, Listener, TargetState

__all__ = [
    "ADOPTED",
    "CLOSE_AFTER",
    "COOLDOWN",
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
    "Listener",
    "Permit",
    "TargetState",
]

PROBING: Final = 1.0
"""Seconds until a caller may ask again while a probe is under way."""
SLOW_START: Final = SETTLED
"""Seconds over which a target that came back gets its share of the traffic again."""
FLOOR: Final = 0.1
"""Of that share, at the start."""
ADOPTED: Final = 0.1
"""A rest learnt of elsewhere is prolonged by up to this part, so that not all probe at once."""

_Key: TypeAlias = tuple[str, str]
"""Target and operation."""


class Permit(InFlight):
    """An attempt that was let in; `Health.record` must end it. It may be the one probe of what rested, or the
    one trial of what is degraded."""

    __slots__ = ("breaker", "cooldowns", "credential", "degradations", "operation", "target", "vitals")

    def __init__(self, target: str, credential: str, operation: str) -> None:
        super().__init__()
        self.target = target
        self.credential = credential
        self.operation = operation
        self.vitals: Measurements | None = None
        self.breaker: Breaker | None = None
        self.cooldowns: tuple[Cooldown, ...] = ()
        self.degradations: tuple[Degradation, ...] = ()


class Health:
    """The health of every target of one process. `clock` is monotonic, in seconds.

    What is well stands in `_vitals` alone: the other tables are empty as long as everybody is.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        self.clock = clock
        self._jitter = jitter
        self._vitals: dict[_Key, Measurements] = {}
        self._loads: dict[str, Load] = {}
        self._breakers: dict[_Key, Breaker] = {}  # those that are not well
        self._cooldowns = Cooldowns()
        self._degradations: dict[tuple[str, str, str], Degradation] = {}
        self._degraded: dict[_Key, tuple[Degradation, ...]] = {}
        self._starts: dict[_Key, float] = {}  # since when they start slowly
        self._reasons: dict[_Key, str] = {}
        self._targets: frozenset[str] | None = None
        self._listeners: tuple[Listener, ...] = ()

    # ------------------------------------------------------------------------------------------- attempts

    def rejection(self, target: str, credential: str, operation: str) -> Rejection | None:
        """Why `target` may not be tried for `operation` now, or None."""
        if not self._cooldowns and not self._breakers:
            return None
        now = self.clock()
        for cooldown in self._cooldowns.of(target, credential, operation):
            if cooldown.until > now or cooldown.probing:
                return Rejection("health.cooldown", _wait(cooldown.until - now))
        breaker = self._breakers.get((target, operation))
        if breaker is not None and (wait := breaker.wait(now)) is not None:
            return Rejection("health.breaker_open", _wait(wait))
        return None

    def enter(
        self, target: str, credential: str, operation: str, *, streamed: bool = True
    ) -> Permit | Rejection:
        """Begin an attempt, unless it is rejected. Of one that is not `streamed` no first token is expected.

        What goes to a degraded target when a trial is due is that trial, whoever sends it.
        """
        if (rejection := self.rejection(target, credential, operation)) is not None:
            return rejection
        key = (target, operation)
        vitals = self._vitals.get(key) or self._examine(key)
        entry = Permit(target, credential, operation)
        entry.vitals = vitals
        now = self.clock()
        vitals.begin(entry, now, streamed=streamed)
        if self._cooldowns:
            entry.cooldowns = self._cooldowns.of(target, credential, operation)
            for cooldown in entry.cooldowns:
                cooldown.probing = True
        if vitals.breaker.until is not None:
            vitals.breaker.probing = True
            entry.breaker = vitals.breaker
        if self._degraded:
            entry.degradations = self._degraded.get(key, ())
            for degradation in entry.degradations:
                degradation.begin(entry, now)
        return entry

    def answered(self, entry: Permit, *, streamed: bool = True) -> None:
        """The attempt is committed now: of a streamed one, the first content has come."""
        if not streamed:
            entry.streamed = False
        elif entry.vitals is not None:
            now = self.clock()
            entry.vitals.answered(entry, now)
            for degradation in entry.degradations:
                degradation.answered(entry, now)
                self._settle(entry, degradation, now)

    def record(self, entry: Permit, fault: Fault | None, *, proved: bool, refused: bool = False) -> None:
        """End an attempt. `proved` is False when it says nothing of the target (the client left, say);
        `refused` is True where the answer is a refusal to say what was asked for."""
        now = self.clock()
        key = (entry.target, entry.operation)
        vitals = entry.vitals
        if vitals is not None:
            vitals.end(entry)
        for degradation in entry.degradations:
            degradation.end(entry, now, fault, proved=proved, refused=refused)
            self._settle(entry, degradation, now)
        effect: HealthEffect = "alive" if fault is None else RULES[fault.kind].health
        if effect == "none" or (fault is None and not proved):
            self._release(entry)
            return
        if self._targets is not None and entry.target not in self._targets:
            return  # it was taken out of the configuration meanwhile
        if vitals is None or self._vitals.get(key) is not vitals:
            vitals = self._vitals.get(key) or self._examine(key)
        took = None if entry.vitals is None else now - entry.started
        vitals.finished(now, took, fault, refused=refused)
        self._judge_cooldown(entry, fault, now)
        if effect in {"failure", "alive"}:
            self._judge_breaker(key, vitals.breaker, entry, fault if effect == "failure" else None, now)
        elif entry.breaker is not None:
            entry.breaker.probing = False  # it rests for another reason now; the breaker is none the wiser

    # --------------------------------------------------------------------------------------------- figures

    def busy(self, target: str) -> int:
        """How many attempts are under way at the target."""
        load = self._loads.get(target)
        return 0 if load is None else load.busy

    def ramp(self, target: str, operation: str) -> float:
        """What part of its usual share a target should get: less than 1.0 only shortly after it came back."""
        if not self._starts:
            return 1.0
        key = (target, operation)
        since = self._starts.get(key)
        if since is None:
            return 1.0
        elapsed = self.clock() - since
        if elapsed >= SLOW_START:
            del self._starts[key]
            return 1.0
        return FLOOR + (1 - FLOOR) * max(0.0, elapsed) / SLOW_START

    def expected(self, target: str, operation: str, *, streamed: bool) -> float | None:
        """What a caller should expect, in seconds; None for a target unknown. See `Latency.expected`."""
        vitals = self._vitals.get((target, operation))
        return None if vitals is None else vitals.latency.expected(self.clock(), streamed=streamed)

    def p95(self, target: str, operation: str) -> float | None:
        """Seconds to the first token that nineteen of twenty answers of the last minute stayed within."""
        vitals = self._vitals.get((target, operation))
        return None if vitals is None else vitals.latency.first_token.percentiles(self.clock()).p95

    def p50(self, target: str, operation: str, *, streamed: bool) -> float | None:
        """The median of the last minute, in seconds: to the first token, or of whole answers."""
        vitals = self._vitals.get((target, operation))
        if vitals is None:
            return None
        durations = vitals.latency.first_token if streamed else vitals.latency.total
        return durations.percentiles(self.clock()).p50

    def retries(self, target: str, operation: str) -> RetryBudget:
        """How often the target may be asked again for the same request."""
        key = (target, operation)
        return (self._vitals.get(key) or self._examine(key)).retries

    def degradation(self, pool: Pool, target: str, operation: str) -> Degraded | None:
        """Why the target is to be asked after the pool's others, or None; at most FRESH old."""
        if pool.slow is None and pool.degrade_on is None:
            return None
        key = (target, operation)
        vitals = self._vitals.get(key)
        if vitals is None:
            return None
        place = (pool.name, target, operation)
        degradation = self._degradations.get(place)
        if degradation is None:
            degradation = self._degradations[place] = Degradation(pool.name)
        breach = degradation.breach
        now = self.clock()
        degraded = degradation.look(pool, vitals, now)
        if degradation.breach is not breach:
            others = tuple([other for other in self._degraded.get(key, ()) if other is not degradation])
            self._keep_degraded(key, others if degraded is None else (*others, degradation))
        return degraded

    def states(self) -> tuple[TargetState, ...]:
        """All that is known, by target and operation."""
        now = self.clock()
        cooldowns = [ejection for ejection in self.ejections() if ejection.kind == "cooldown"]
        states: list[TargetState] = []
        for key in sorted(self._vitals):
            vitals, degradations = self._vitals[key], self._degraded.get(key, ())
            wait = vitals.breaker.wait(now)
            ready_in = None if wait is None else _wait(wait)
            states.append(
                TargetState.of(key, vitals, cooldowns, degradations, ready_in, self.ramp(*key), now)
            )
        return tuple(states)

    # --------------------------------------------------------------------------------------------- replicas

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` called when a breaker opens or closes and when a cooldown begins or is prolonged.

        It is called in the middle of a request, and must be quick. Returns what ends that.
        """
        self._listeners = (*self._listeners, listener)

        def leave() -> None:
            self._listeners = tuple([other for other in self._listeners if other is not listener])

        return leave

    def ejections(self) -> tuple[Ejection, ...]:
        """All that rests now, and for how long."""
        return tuple(self._ejections(self.clock()))

    def adopt(self, ejection: Ejection) -> None:
        """Rest a target that rests elsewhere. That extends a rest, never cuts one; listeners are not told.

        What follows is as for a rest of our own: one probe at a time.
        """
        target = ejection.target
        if ejection.left <= 0 or (self._targets is not None and target not in self._targets):
            return
        now = self.clock()
        if ejection.kind == "cooldown":
            left = min(ejection.left, LONG_COOLDOWN)
            place = (target, ejection.credential, ejection.operation)
            self._cooldowns.begin(place, now + left, ejection.reason)
            return
        key = (target, ejection.operation)
        breaker = (self._vitals.get(key) or self._examine(key)).breaker
        if breaker.adopt(now, min(ejection.left * (1 + ADOPTED * self._jitter()), MAX_OPEN)):
            self._breakers[key] = breaker
            self._reasons[key] = ejection.reason
            self._starts.pop(key, None)

    def keep(self, targets: Collection[str], pools: Collection[str] | None = None) -> None:
        """Forget every target, and every pool, that is not among these: the configuration has changed."""
        self._targets = frozenset(targets)
        for table in (self._vitals, self._breakers, self._degraded, self._starts, self._reasons):
            for key in [key for key in table if key[0] not in self._targets]:
                del table[key]
        for name in [name for name in self._loads if name not in self._targets]:
            del self._loads[name]
        for rested in [rested for rested in self._cooldowns if rested[0] not in self._targets]:
            del self._cooldowns[rested]
        for place in list(self._degradations):
            if place[1] not in self._targets or (pools is not None and place[0] not in pools):
                del self._degradations[place]
        for key, degradations in list(self._degraded.items()):
            kept = [one for one in degradations if self._degradations.get((one.pool, *key)) is one]
            self._keep_degraded(key, tuple(kept))

    # -------------------------------------------------------------------------------------------- judgement

    def _examine(self, key: _Key) -> Measurements:
        """Begin to measure."""
        load = self._loads.setdefault(key[0], Load())
        vitals = self._vitals[key] = Measurements(load)
        return vitals

    @staticmethod
    def _release(entry: Permit) -> None:
        """A probe that found nothing out leaves the place to the next one."""
        for cooldown in entry.cooldowns:
            cooldown.probing = False
        if entry.breaker is not None:
            entry.breaker.probing = False

    def _judge_cooldown(self, entry: Permit, fault: Fault | None, now: float) -> None:
        for cooldown in entry.cooldowns:
            cooldown.probing = False
        rest = None if fault is None else rest_of(fault)
        if fault is None or rest is None:
            if entry.cooldowns:
                self._cooldowns.end(entry.cooldowns)
            return
        place = place_of(fault, entry.target, entry.credential, entry.operation)
        if self._cooldowns.begin(place, now + rest, fault.kind):
            self._tell(Ejection("cooldown", *place, rest, fault.kind))

    def _judge_breaker(
        self, key: _Key, breaker: Breaker, entry: Permit, failure: Fault | None, now: float
    ) -> None:
        probe = entry.breaker is breaker
        turn = breaker.record(now, failed=failure is not None, probe=probe, chance=self._jitter)
        if not breaker.well:
            self._breakers[key] = breaker
        elif self._breakers:
            self._breakers.pop(key, None)
        if turn == "opened" and failure is not None and breaker.until is not None:
            self._reasons[key] = failure.kind
            self._starts.pop(key, None)
            self._tell(Ejection("breaker", key[0], "", key[1], breaker.until - now, failure.kind))
        elif turn == "closed":
            self._starts[key] = now
            self._tell(Ejection("breaker", key[0], "", key[1], 0.0, self._reasons.pop(key, "")))

    def _settle(self, entry: Permit, degradation: Degradation, now: float) -> None:
        """Let a degraded target come back if it has earned it."""
        if degradation.breach is None or not degradation.recovered(now):
            return
        by_latency = degradation.breach in {"first_token", "total"}
        degradation.leave(now)
        key = (entry.target, entry.operation)
        self._keep_degraded(
            key, tuple([one for one in self._degraded.get(key, ()) if one is not degradation])
        )
        vitals = self._vitals.get(key)
        if vitals is not None:
            self._starts[key] = now
            vitals.forget(latency=by_latency)

    def _keep_degraded(self, key: _Key, degradations: tuple[Degradation, ...]) -> None:
        if degradations:
            self._degraded[key] = degradations
        else:
            self._degraded.pop(key, None)

    def _tell(self, ejection: Ejection) -> None:
        for listener in self._listeners:
            listener(ejection)

    def _ejections(self, now: float) -> Iterator[Ejection]:
        for key, breaker in self._breakers.items():
            if breaker.until is not None and breaker.until > now:
                reason = self._reasons.get(key, "")
                yield Ejection("breaker", key[0], "", key[1], breaker.until - now, reason)
        for place, cooldown in self._cooldowns.items():
            if cooldown.until > now:
                yield Ejection("cooldown", *place, cooldown.until - now, cooldown.reason)


def _wait(seconds: float) -> float:
    """Until the rest is over, or until a caller may ask again while a probe is under way."""
    return seconds if seconds > 0 else PROBING
