"""Cooldowns: targets that are not tried for a while after a rate limit or a rejected credential. No I/O.

`now` is in seconds of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from ..classify.faults import RULES, Fault, FaultKind, Rests

__all__ = [
    "ANY",
    "COOLDOWN",
    "EVERY_TARGET",
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
EVERY_TARGET: Final = ""
"""The target of a cooldown of every target behind a credential."""
ANY: Final = ""
"""The operation of a cooldown that applies to every operation."""

_RESTS: Final[Mapping[FaultKind, Rests]] = MappingProxyType(
    {"target_missing": "operation", "quota": "provider", "upstream_auth": "provider"}
)

CooldownKey: TypeAlias = tuple[str, str, str]
"""Target, credential, and operation or ANY."""


@dataclass(slots=True, eq=False)
class Cooldown:
    """A cooldown of one target. Before `until` no attempt is admitted.

    After it, one probe at a time is admitted, until a probe succeeds and ends the cooldown. `reason` is the
    kind of the fault that began it, and `probing` whether a probe is in flight.
    """

    until: float
    reason: FaultKind
    probing: bool = False


class Cooldowns(dict[CooldownKey, Cooldown]):
    """The cooldowns in force, by key. A cooldown is exactly as long as the provider asked for.

    Jitter is not needed, since only one probe is admitted when a cooldown ends. Without it, the
    `Retry-After` that callers receive is exact.
    """

    def of(self, target: str, credential: str, operation: str) -> tuple[Cooldown, ...]:
        """Returns the cooldowns that apply to this operation of the target."""
        keys = ((target, credential, ANY), (target, credential, operation), (EVERY_TARGET, credential, ANY))
        cooldowns = [self.get(key) for key in keys]
        return tuple([cooldown for cooldown in cooldowns if cooldown is not None])

    def begin(self, key: CooldownKey, until: float, reason: FaultKind) -> bool:
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
    if effect in {"alive", "none"} or fault.rests == "nothing":
        return None
    if effect == "long_cooldown":
        return LONG_COOLDOWN
    return fault.retry_after or COOLDOWN if effect == "cooldown" else fault.retry_after


def cooldown_key(fault: Fault, target: str, credential: str, operation: str) -> CooldownKey:
    """Returns the key of the cooldown that a fault causes.

    A missing model (`target_missing`) rests one operation, a used-up quota every target behind the
    credential, and every other fault the target, unless the fault says what it rests.
    """
    rests = fault.rests or _RESTS.get(fault.kind, "target")
    if rests == "provider":
        return EVERY_TARGET, credential, ANY
    return target, credential, operation if rests == "operation" else ANY
