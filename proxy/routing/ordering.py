"""Ways to order candidates. No I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ..config import Cause, Pool, Target
from ..exchange import Candidate
from ..health.target_health import Health

__all__ = ["in_order"]

_NO_ESTIMATES: Final = MappingProxyType[str, int]({})


def in_order(
    pool: Pool,
    health: Health,
    operation: str,
    *,
    provider: str | None = None,
    share: float = 0.0,
    estimates: Mapping[str, int] = _NO_ESTIMATES,
) -> tuple[Candidate, ...]:
    """The pool's targets in the order in which they are written, preferred ones first.

    `provider` names the only provider that holds the state this request depends on, or None. Once the `share`
    of a budget that is used reaches one of the pool's `at_budget`, the cheapest by their `estimates` go
    first, and alternates for "budget" are among them; targets without an estimate come after those with one.
    """
    plan = [_candidate(target, None, health, operation, provider) for target in pool.prefer]
    others = [
        _candidate(alternate.target, alternate.causes, health, operation, provider)
        for alternate in pool.alternates
    ]
    if any(share >= from_share for from_share in pool.at_budget):
        joining = [other for other in others if other.causes is not None and "budget" in other.causes]
        others = [other for other in others if other not in joining]
        for candidate in joining:
            candidate.causes = None
        plan = sorted([*plan, *joining], key=lambda candidate: estimates.get(candidate.name, math.inf))
    return (*plan, *others)


def _candidate(
    target: Target, causes: frozenset[Cause] | None, health: Health, operation: str, provider: str | None
) -> Candidate:
    candidate = Candidate(target.name, target, causes)
    if provider is not None and target.provider.name != provider:
        candidate.rejected = "state.bound"
    elif (rejection := health.rejection(target.name, target.provider.name, operation)) is not None:
        candidate.rejected = rejection.reason
        candidate.ready_in = rejection.ready_in
    return candidate
