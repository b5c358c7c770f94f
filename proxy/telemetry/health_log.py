"""The lines of the log about targets that begin or end a rest."""

from __future__ import annotations

import logging
from typing import Final

from ..health.target_health import HealthChange

__all__ = ["log_health_change"]

_log: Final = logging.getLogger("standby.health")


def log_health_change(change: HealthChange) -> None:
    """Log the change: a warning if the target is left alone from now on."""
    operation = change.operation or "all operations"
    seconds = 0.0 if change.seconds is None else change.seconds
    if change.kind == "breaker_opened":
        _log.warning(
            "target %s: circuit breaker open for %s (%s), tried again in %.1f s",
            *(change.target, operation, change.reason, seconds),
        )
    elif change.kind == "cooldown":
        _log.warning(
            "target %s: left alone for %s (%s) for %.1f s",
            *(change.target, operation, change.reason, seconds),
        )
    else:
        _log.warning("target %s: answers again for %s", change.target, operation)
