"""Whether, and when, the same target may be asked again for the same request. No I/O.

Another target is the better choice wherever there is one, and is asked at once. This is for when nobody else
is left: a fault that strikes now and then may be gone a moment later.
"""

from __future__ import annotations

from typing import Final

from ..classify.faults import Fault, FaultKind

__all__ = ["LEAST", "LONGEST", "MOST", "pause"]

LEAST: Final = 0.1
"""Seconds before a target is asked again at the least."""
MOST: Final = 1.0
"""Seconds at the most, where the provider names no time: chance decides between the two, so that those who
failed together do not come back together."""
LONGEST: Final = 2.0
"""Seconds. A longer `Retry-After` is not waited for."""

_HELPS: Final[frozenset[FaultKind]] = frozenset({"conflict", "timeout", "upstream_5xx", "overloaded"})
_IF_ASKED: Final[frozenset[FaultKind]] = frozenset({"rate_limited", "ramp_limited"})


def pause(fault: Fault, chance: float) -> float | None:
    """Seconds to wait before the target that failed like this is asked again; None if that cannot help.

    `chance` is from 0 to 1. Only a refusal that came with its own status counts: what timed out here was
    waited for once, and what failed inside a 200 fails by its own ways.
    """
    if fault.status is None or 200 <= fault.status <= 299:
        return None
    requested = fault.retry_after
    if requested is not None:
        helps = fault.kind in _HELPS or fault.kind in _IF_ASKED
        return requested + LEAST * (1 + chance) / 2 if helps and requested <= LONGEST else None
    return LEAST + (MOST - LEAST) * chance if fault.kind in _HELPS else None
