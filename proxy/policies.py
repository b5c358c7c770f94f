"""Ways to order candidates. No I/O."""

from __future__ import annotations

from .config import Pool, Target
from .exchange import Candidate, Cause
from .health import Health

__all__ = ["in_order"]


def in_order(
    pool: Pool, health: Health, operation: str, *, provider: str | None = None
) -> tuple[Candidate, ...]:
    """The pool's targets in the order in which they are written, preferred ones first.

    `provider` names the only provider that holds the state this request depends on, or None.
    """
    plan = [_candidate(target, None, health, operation, provider) for target in pool.prefer]
    plan += [
        _candidate(alternate.target, alternate.causes, health, operation, provider)
        for alternate in pool.alternates
    ]
    return tuple(plan)


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
