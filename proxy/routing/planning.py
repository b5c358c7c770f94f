"""The ordered plan for one request: every target of its pool, where it stands, and why. No I/O.

Who may be asked at all is decided first, alike for every role that a target has in the pool. Who of those is
asked first comes after that: load is spread over healthy preferred targets; all the rest is failover.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..config import Cause, Target
from ..exchange import Candidate, Role
from ..health.target_health import Health
from .balance import Balancer, Entrant
from .eligibility import Eligibility
from .rendezvous import position
from .route_inputs import RouteInputs

__all__ = ["plan"]


def plan(
    inputs: RouteInputs, health: Health, balancer: Balancer, *, dry: bool = False
) -> tuple[Candidate, ...]:
    """The targets of the pool in the order in which they are asked; those that are not have their reason.

    `dry` takes no turn from anybody: it is for those who only want to know.
    """
    pool, planner = inputs.pool, _Planner(inputs, health)
    preferred = [planner.candidate(target, "prefer") for target in pool.prefer]
    alternates = [planner.candidate(each.target, "alternate", each.causes) for each in pool.alternates]
    balance, key = pool.balance, inputs.key
    if any(inputs.share >= share for share in pool.at_budget):
        balance, key = "cheapest", None
        for joining in [each for each in alternates if each.causes is not None and "budget" in each.causes]:
            joining.causes = None
            alternates.remove(joining)
            preferred.append(joining)
    _spare((*preferred, *alternates))
    rejected = [each for each in preferred if each.rejected is not None]
    last = [each for each in (*preferred, *alternates) if each.role == "last" and each not in rejected]
    degraded = [each for each in preferred if each.degraded is not None and each.role != "last"]
    fit = {
        each.name: each
        for each in preferred
        if each.rejected is None and each.degraded is None and each.role != "last"
    }
    entrants = [planner.entrant(each) for each in fit.values()]
    placed = balancer.order(pool.name, balance, entrants, key=key, dry=dry)
    for name, score in placed:
        fit[name].score = score
    others = sorted([each for each in alternates if each.role != "last"], key=_is_degraded)
    instead = [each for each in others if _stands_in(each)] if degraded else []
    return (
        *planner.canary(),
        *rejected,
        *(fit[name] for name, _ in placed),
        *instead,
        *degraded,
        *(each for each in others if each not in instead),
        *last,
    )


def _is_degraded(candidate: Candidate) -> bool:
    return candidate.degraded is not None


def _stands_in(candidate: Candidate) -> bool:
    """Whether an alternate goes before preferred targets that are degraded."""
    return candidate.causes is not None and "slow" in candidate.causes and candidate.degraded is None


def _spare(candidates: Sequence[Candidate]) -> None:
    """Let a target whose connections are all in use be waited for, where there is no other to go to."""
    for each in candidates:
        if each.rejected is None and (each.causes is None or "rate_limited" in each.causes):
            return
    for each in candidates:
        if each.rejected == "limit.concurrency":
            each.rejected = each.ready_in = None


class _Planner:
    """What is known of every target of one request's pool."""

    __slots__ = ("_eligibility", "_health", "_inputs", "_operation", "_thresholds")

    def __init__(self, inputs: RouteInputs, health: Health) -> None:
        self._inputs = inputs
        self._health = health
        self._operation = inputs.needs.operation
        self._eligibility = Eligibility(inputs, health)
        self._thresholds = inputs.pool.slow is not None or inputs.pool.degrade_on is not None

    def canary(self) -> Sequence[Candidate]:
        """The new target, for the callers that try it first."""
        portion, pool = self._inputs.pool.canary, self._inputs.pool
        if portion is None or position(self._inputs.caller, pool.name) >= portion.share:
            return ()
        return (self.candidate(portion.target, "canary"),)

    def candidate(self, target: Target, role: Role, causes: frozenset[Cause] | None = None) -> Candidate:
        """`target` with what stands against it."""
        pool = self._inputs.pool
        candidate = Candidate(target.name, target, causes, role=role)
        candidate.cost = self._eligibility.cost(target)
        if (rejection := self._eligibility.rejection(target)) is not None:
            candidate.rejected, candidate.ready_in, candidate.limit = rejection
        elif self._thresholds:
            degradation = self._health.degradation(pool, target.name, self._operation)
            if degradation is not None and not degradation.due:
                candidate.degraded = degradation.reason
        if pool.min_quality is not None and (target.quality or 0) < pool.min_quality and role != "canary":
            candidate.role, candidate.causes = "last", None
        return candidate

    def entrant(self, candidate: Candidate) -> Entrant:
        """What the ways to balance look at."""
        name, health, operation = candidate.name, self._health, self._operation
        ramp = health.ramp(name, operation)
        weight = ramp if candidate.target is None else candidate.target.weight * ramp
        latency = None
        if self._inputs.pool.balance == "fastest":
            latency = health.expected(name, operation, streamed=self._inputs.streamed)
        return Entrant(name, weight, health.busy(name), latency, candidate.cost, ramp)
