"""The permission for one attempt at a target. No I/O."""

from __future__ import annotations

from .breaker import Breaker
from .cooldown import Cooldown
from .degradation import Degradation
from .measurements import InFlight, Measurements

__all__ = ["Permit"]


class Permit(InFlight):
    """An admitted attempt. `Health.record` must be called to end it.

    It may be the one probe of a breaker (`breaker`) or of cooldowns (`cooldowns`), and the one trial of a
    degradation (`degradations`).
    """

    __slots__ = ("breaker", "cooldowns", "credential", "degradations", "measurements", "operation", "target")

    def __init__(self, target: str, credential: str, operation: str) -> None:
        super().__init__()
        self.target = target
        self.credential = credential
        self.operation = operation
        self.measurements: Measurements | None = None
        self.breaker: Breaker | None = None
        self.cooldowns: tuple[Cooldown, ...] = ()
        self.degradations: tuple[Degradation, ...] = ()
