"""What is told of a target's health: what rests it, and all that is known of it. Data, and no I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .cooldown import ANY
from .degradation import Degradation, Degraded
from .measurements import Measurements
from .percentiles import Percentiles

__all__ = ["Ejection", "Listener", "TargetState"]


@dataclass(frozen=True, slots=True)
class Ejection:
    """A target rests, for `left` more seconds; 0 says that its breaker has closed.

    A breaker has no credential. A cooldown without an operation is for all of them. `reason` is the kind of
    the fault that began it.
    """

    kind: Literal["breaker", "cooldown"]
    target: str
    credential: str
    operation: str
    left: float
    reason: str


Listener: TypeAlias = Callable[[Ejection], None]


@dataclass(frozen=True, slots=True)
class TargetState:
    """All that is known of one target for one operation, at one moment.

    `ready_in` is in seconds, None where nothing rests it; `cooldowns` and `degraded` (by pool) are those in
    force. `refusals` and `malformed` are shares of the last minute's answers, None without any.
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
        vitals: Measurements,
        cooldowns: Collection[Ejection],
        degradations: Collection[Degradation],
        ready_in: float | None,
        ramp: float,
        now: float,
    ) -> TargetState:
        """Of target and operation; all `cooldowns` are looked through, and `ready_in` is its breaker's."""
        target, operation = key
        resting = tuple([c for c in cooldowns if c.target == target and c.operation in {ANY, operation}])
        waits = [ejection.left for ejection in resting]
        if ready_in is not None:
            waits.append(ready_in)
        until = vitals.breaker.until
        return cls(
            target,
            operation,
            breaker="closed" if until is None else "open" if until > now else "half_open",
            ready_in=max(waits, default=None),
            cooldowns=resting,
            degraded=tuple([(one.pool, state) for one in degradations if (state := one.state(now))]),
            ramp=ramp,
            busy=vitals.busy,
            first_token=vitals.latency.first_token.percentiles(now),
            total=vitals.latency.total.percentiles(now),
            refusals=vitals.refusals.share(now),
            malformed=vitals.malformed.share(now),
        )
