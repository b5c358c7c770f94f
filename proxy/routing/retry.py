"""Retry delays: whether and when the same target is tried again for the same request. No I/O.

Failover to another target comes first, and without a delay. A retry is for when no other target is left: a
transient fault may be gone a moment later.
"""

from __future__ import annotations

from typing import Final

from ..classify.faults import Fault, FaultKind

__all__ = ["LEAST", "LONGEST", "MOST", "pause"]

LEAST: Final = 0.1
"""Minimum delay of a retry, in seconds."""
MOST: Final = 1.0
"""Maximum delay of a retry without a `Retry-After`, in seconds.

The delay is random between LEAST and MOST, so that requests that failed together are not retried together."""
LONGEST: Final = 2.0
"""Seconds. There is no retry after a longer `Retry-After`."""

_RETRYABLE: Final[frozenset[FaultKind]] = frozenset({"conflict", "timeout", "upstream_5xx", "overloaded"})
_RETRYABLE_IF_REQUESTED: Final[frozenset[FaultKind]] = frozenset({"rate_limited", "ramp_limited"})


def pause(fault: Fault, chance: float) -> float | None:
    """Returns the seconds to wait before a retry after `fault`, or None if there must be no retry.

    `chance` is a random number from 0 to 1. Only faults with an error status of the provider are retried: not
    timeouts of the gateway, which have already cost their wait, and not errors inside a 200.
    """
    if fault.status is None or 200 <= fault.status <= 299:
        return None
    requested = fault.retry_after
    if requested is not None:
        retryable = fault.kind in _RETRYABLE or fault.kind in _RETRYABLE_IF_REQUESTED
        return requested + LEAST * (1 + chance) / 2 if retryable and requested <= LONGEST else None
    return LEAST + (MOST - LEAST) * chance if fault.kind in _RETRYABLE else None
