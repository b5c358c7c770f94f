"""Cooldowns: targets that are not tried for a while after a rate limit or a rejected credential. No I/O.

`now` is in seconds of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from ..classify.faults import RULES, Fault

__all__ = [
    "ANY",
    "COOLDOWN",
    "LONG_COOLDOWN",
    "Cooldown",
    "CooldownKey",
    "Cooldowns",
    "cooldown_key",
    "cooldown_seconds",
]

COOLDOWN: Final = 5.0
"""Seconds of cooldown for a rate-limited target whose provider sends no `Retry-After`."""
LONG_COOLDOWN: Final = 300.0
"""Seconds of cooldown for a target that rejected our credential, has no quota left, or does not exist."""
ANY: Final = ""
"""The operation of a cooldown that applies to every operation."""

CooldownKey: TypeAlias = tuple[str, str, str]
"""Target, credential, and operation or ANY."""


@dataclass(slots=True, eq=False)
class Cooldown:
    """A cooldown of one target. Before `until` no attempt is admitted.

    After it, one probe at a time is admitted, until a probe succeeds and ends the cooldown. `reason` is the
    kind of the fault that began it, `probing` whether a probe is in flight.
    """

    until: float
    reason: str
    probing: bool = False


class Cooldowns(dict[CooldownKey, Cooldown]):
    """The cooldowns in force, by key. A cooldown is exactly as long as the provider asked for.

    Jitter is not needed, since only one probe is admitted when a cooldown ends. Without it, the
    `Retry-After` that callers receive is exact.
    """

    def of(self, target: str, credential: str, operation: str) -> tuple[Cooldown, ...]:
        """Returns the cooldowns that apply to this operation of the target: for ANY, and for this one."""
        cooldowns = [self.get((target, credential, scope)) for scope in (ANY, operation)]
        return tuple([cooldown for cooldown in cooldowns if cooldown is not None])

    def begin(self, key: CooldownKey, until: float, reason: str) -> bool:
        """Begin or extend a cooldown. Returns False, and changes nothing, if one lasts as long already."""
        current = self.get(key)
        if current is not None and current.until >= until:
            return False
        self[key] = Cooldown(until, reason)
        return True

    def end(self, ended: Iterable[Cooldown]) -> None:
        """Remove these cooldowns, since a probe has succeeded."""
        for key in [key for key, cooldown in self.items() if cooldown in ended]:
            del self[key]


def cooldown_seconds(fault: Fault) -> float | None:
    """Returns the seconds of cooldown that a fault causes, or None if it causes none."""
    effect = RULES[fault.kind].health
    if effect in {"alive", "none"}:
        return None
    if effect == "long_cooldown":
        return LONG_COOLDOWN
    return fault.retry_after or COOLDOWN if effect == "cooldown" else fault.retry_after


def cooldown_key(fault: Fault, target: str, credential: str, operation: str) -> CooldownKey:
    """Returns the key of the cooldown that a fault causes.

    A missing model (`target_missing`) and a missing permission (403) apply to one operation only. Every other
    fault applies to all operations.
    """
    one_operation = fault.kind == "target_missing" or fault.status == 403
    return target, credential, operation if one_operation else ANY
