"""Cooldowns: targets that rest because their provider asked for it, or refuses our credential. No I/O.

`now` is in seconds of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from ..classify.faults import RULES, Fault

__all__ = ["ANY", "COOLDOWN", "LONG_COOLDOWN", "Cooldown", "Cooldowns", "Place", "place_of", "rest_of"]

COOLDOWN: Final = 5.0
"""Seconds a rate-limited target rests when its provider does not say for how long."""
LONG_COOLDOWN: Final = 300.0
"""Seconds a target rests that refused our credential, has no quota left, or does not exist."""
ANY: Final = ""
"""In a place: every operation."""

Place: TypeAlias = tuple[str, str, str]
"""What a cooldown is of: target, credential, operation or ANY."""


@dataclass(slots=True, eq=False)
class Cooldown:
    """Nobody is let in before `until`; then one probe at a time, until one has succeeded."""

    until: float
    reason: str
    probing: bool = False


class Cooldowns(dict[Place, Cooldown]):
    """What rests, by its place. A rest is exactly as long as was asked for, and nothing is added to it.

    One probe goes through after it, so that no crowd arrives with the same second; and what a caller is told
    to wait is what holds.
    """

    def of(self, target: str, credential: str, operation: str) -> tuple[Cooldown, ...]:
        """What rests this target for this operation: for all of them, and for this one alone."""
        resting = [self.get((target, credential, scope)) for scope in (ANY, operation)]
        return tuple([cooldown for cooldown in resting if cooldown is not None])

    def begin(self, place: Place, until: float, reason: str) -> bool:
        """A later, longer word extends a rest; a shorter one does not cut it, and is False."""
        current = self.get(place)
        if current is not None and current.until >= until:
            return False
        self[place] = Cooldown(until, reason)
        return True

    def end(self, ended: Iterable[Cooldown]) -> None:
        """They are over: a probe has succeeded."""
        for place in [place for place, held in self.items() if held in ended]:
            del self[place]


def rest_of(fault: Fault) -> float | None:
    """Seconds for which a fault rests its target; None where it asks for no rest."""
    effect = RULES[fault.kind].health
    if effect in {"alive", "none"}:
        return None
    if effect == "long_cooldown":
        return LONG_COOLDOWN
    return fault.retry_after or COOLDOWN if effect == "cooldown" else fault.retry_after


def place_of(fault: Fault, target: str, credential: str, operation: str) -> Place:
    """What a fault rests: a model, or a permission, may be missing for one operation and not for another."""
    alone = fault.kind == "target_missing" or fault.status == 403
    return target, credential, operation if alone else ANY
