"""Snapshots of target health: what keeps requests from a target, and its full state. Data only, no I/O."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .cooldown import ANY, EVERY_TARGET
from .degradation import Degradation, Degraded
from .measurements import Measurements
from .percentiles import Percentiles

__all__ = ["Ejection", "HealthChange", "TargetState"]


@dataclass(frozen=True, slots=True)
class Ejection:
    """A breaker or cooldown that keeps requests from a target for `left` more seconds.

    `credential` is "" for a breaker. `operation` is
    "" for a cooldown that applies to all operations. `reason` is the kind of the fault that began it.
    """

    kind: Literal["breaker", "cooldown"]
    target: str
    credential: str
    operation: str
    left: float
    reason: str


class HealthChange(NamedTuple):
    """The begin or end of a cooldown, or the opening or closing of a breaker.

    `operation` is "" for all operations, `reason` the kind of the fault, `seconds` how long it lasts at
    least.
    """

    kind: Literal["breaker_opened", "breaker_closed", "cooldown", "cooldown_ended"]
    target: str
    operation: str
    reason: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TargetState:
    """The health of one target for one operation, at one moment.

    `ready_in` is the number of seconds until an attempt may enter, None if one may enter now. `cooldowns` are
    those in force. `degraded` holds pairs of a pool name and the target's degradation there. `ramp` is the
    share of its usual traffic, less than 1 during a slow start. `busy` is the number of attempts in flight.
    `refusals` and `malformed` are shares of the last minute's answers, None if there were none.
    """

    target: str
    operation: str
    breaker: Literal["closed", "open", "half_open"]
    ready_in: float | None
    cooldowns: tuple[Ejection, ...]
    degraded: tuple[tuple[str, Degraded], ...]
    ramp: float
    busy: int
    first_token: Percentiles
    total: Percentiles
    refusals: float | None
    malformed: float | None

    @classmethod
    def of(
        cls,
        key: tuple[str, str],
        measurements: Measurements,
        cooldowns: Collection[Ejection],
        degradations: Collection[Degradation],
        ready_in: float | None,
        ramp: float,
        now: float,
    ) -> TargetState:
        """Returns the state of `key` (target and operation).

        `cooldowns` may be those of all targets. `ready_in` is that of the breaker alone.
        """
        target, operation = key
        matched = tuple(
            [
                each
                for each in cooldowns
                if (each.target == target and each.operation in {ANY, operation})
                or (each.target == EVERY_TARGET and each.credential == measurements.load.credential)
            ]
        )
        waits = [ejection.left for ejection in matched]
        if ready_in is not None:
            waits.append(ready_in)
        until = measurements.breaker.until
        return cls(
            target,
            operation,
            breaker="closed" if until is None else "open" if until > now else "half_open",
            ready_in=max(waits, default=None),
            cooldowns=matched,
            degraded=tuple(
                [
                    (degradation.pool, state)
                    for degradation in degradations
                    if (state := degradation.state(now))
                ]
            ),
            ramp=ramp,
            busy=measurements.busy,
            first_token=measurements.latency.first_token.percentiles(now),
            total=measurements.latency.total.percentiles(now),
            refusals=measurements.refusals.share(now),
            malformed=measurements.malformed.share(now),
        )
