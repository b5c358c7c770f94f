"""Builds the ordered plan of one request: every target of its pool, with its position and the reason. No I/O.

Eligibility is decided first, with the same rules for every role of a target in the pool. The order of the
eligible targets comes second: load is balanced over healthy preferred targets, and the rest is for failover.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..bridge.bridges import operation_at_target
from ..config import Cause, Portion, Target
from ..dialects.registry import operation_named
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
    """Returns the targets of the pool in the order in which they are tried.

    Rejected targets are included with their reason. `dry` leaves the state of the balancer unchanged, for a
    caller that only displays the plan.
    """
    pool, planner = inputs.pool, _Planner(inputs, health)
    preferred = [planner.candidate(target, "prefer") for target in pool.prefer]
    alternates = [
        planner.candidate(alternate.target, "alternate", alternate.causes) for alternate in pool.alternates
    ]
    balance, key, canary = pool.balance, inputs.key, planner.canary()
    if any(inputs.share >= share for share in pool.at_budget):
        balance, key, canary = "cheapest", None, ()
        # Alternates for the cause `budget` join the preferred targets.
        for joining in [each for each in alternates if each.causes is not None and "budget" in each.causes]:
            joining.causes = None
            alternates.remove(joining)
            preferred.append(joining)
    canary = canary or planner.open_to_state(alternates)
    _allow_waiting((*preferred, *alternates))
    rejected: list[Candidate] = []
    degraded: list[Candidate] = []
    healthy: dict[str, Candidate] = {}
    last: list[Candidate] = []
    for each in preferred:
        if each.rejected is not None:
            rejected.append(each)
        elif each.role == "last":
            last.append(each)
        elif each.degraded is not None:
            degraded.append(each)
        else:
            healthy[each.name] = each
    last += [each for each in alternates if each.role == "last"]
    if balance == "priority" and key is None and not health.ramping:
        order: Iterable[str] = healthy  # the order of the file: nothing about the targets matters
    else:
        placed = balancer.order(
            pool.name, balance, [planner.entrant(each) for each in healthy.values()], key=key, dry=dry
        )
        for name, score in placed:
            healthy[name].score = score
        order = [name for name, _ in placed]
    others = sorted([each for each in alternates if each.role != "last"], key=_is_degraded)
    ahead_of_degraded = [each for each in others if _replaces_degraded(each)] if degraded else []
    ordered = (
        *canary,
        *rejected,
        *(healthy[name] for name in order),
        *ahead_of_degraded,
        *degraded,
        *(each for each in others if each not in ahead_of_degraded),
        *last,
    )
    if inputs.home is None or pool.reasoning_state == "keep":
        return ordered
    # Reasoning may be left out, but its issuer is still the first to be asked.
    return tuple(sorted(ordered, key=lambda each: each.target is None or not inputs.issued_by(each.target)))


def _is_degraded(candidate: Candidate) -> bool:
    return candidate.degraded is not None


def _replaces_degraded(candidate: Candidate) -> bool:
    """Whether an alternate is tried before the degraded preferred targets."""
    return candidate.causes is not None and "slow" in candidate.causes and candidate.degraded is None


def _allow_waiting(candidates: Sequence[Candidate]) -> None:
    """If no other target is available, let the request wait for a target whose connections are all in use."""
    for each in candidates:
        if each.rejected is None and (each.causes is None or "rate_limited" in each.causes):
            return
    for each in candidates:
        if each.rejected == "limit.concurrency":
            each.rejected = each.ready_in = None


class _Planner:
    """Creates the candidates of one request from the targets of its pool."""

    __slots__ = ("_eligibility", "_health", "_inputs", "_operation", "_thresholds")

    def __init__(self, inputs: RouteInputs, health: Health) -> None:
        self._inputs = inputs
        self._health = health
        self._operation = operation_named(inputs.needs.operation)
        self._eligibility = Eligibility(inputs, health)
        self._thresholds = inputs.pool.slow is not None or inputs.pool.degrade_on is not None

    def open_to_state(self, alternates: Iterable[Candidate]) -> Sequence[Candidate]:
        """If no preferred target has issued what the request refers to, let those that have be tried at once.

        Lifts the causes of such alternates, and returns the canary if it is one, whoever the caller is.
        """
        inputs, portion = self._inputs, self._inputs.pool.canary
        if (inputs.holder is None and inputs.home is None) or any(map(inputs.issued_by, inputs.pool.prefer)):
            return ()
        for each in alternates:
            if each.target is not None and inputs.issued_by(each.target):
                each.causes = None
        return () if portion is None or not inputs.issued_by(portion.target) else self._canary(portion)

    def canary(self) -> Sequence[Candidate]:
        """Returns the canary target if this caller is in its share, else nothing."""
        portion = self._inputs.pool.canary
        if portion is None or position(self._inputs.caller, self._inputs.pool.name) >= portion.share:
            return ()
        return self._canary(portion)

    def _canary(self, portion: Portion) -> Sequence[Candidate]:
        pool = self._inputs.pool
        candidate = self.candidate(portion.target, "canary")
        if pool.min_quality is not None and (portion.target.quality or 0) < pool.min_quality:
            candidate.rejected = candidate.rejected or "policy.quality"
        return (candidate,)

    def candidate(self, target: Target, role: Role, causes: frozenset[Cause] | None = None) -> Candidate:
        """Returns the candidate for `target`, with its rejection or degradation if it has one."""
        pool = self._inputs.pool
        candidate = Candidate(target.name, target, causes, role=role)
        asked = self._operation
        if asked.name not in target.operations:
            asked = operation_at_target(target, asked)
            candidate.operation = None if asked is self._operation else asked
        if self._inputs.home is not None and pool.reasoning_state == "strip":
            candidate.strips = not self._inputs.issued_by(target)
            candidate.presumed = self._inputs.presumed and not candidate.strips
        candidate.cost = self._eligibility.cost(target)
        if (rejection := self._eligibility.rejection(target, asked)) is not None:
            candidate.rejected, candidate.ready_in, candidate.limit, candidate.field = rejection
        elif self._thresholds:
            degradation = self._health.degradation(pool, target.name, asked.name)
            if degradation is not None and not degradation.due:
                candidate.degraded = degradation.reason
            elif pool.slow is not None and target.name in self._inputs.slow:
                candidate.degraded = "latency.slo"
        if pool.min_quality is not None and (target.quality or 0) < pool.min_quality and role != "canary":
            if role == "prefer":
                candidate.degraded = "policy.quality"
            candidate.role, candidate.causes = "last", None
        return candidate

    def entrant(self, candidate: Candidate) -> Entrant:
        """Returns the values by which the balancer orders the candidate."""
        name, health, operation = candidate.name, self._health, (candidate.operation or self._operation).name
        ramp = health.ramp(name, operation)
        weight = ramp if candidate.target is None else candidate.target.weight * ramp
        latency = None
        if self._inputs.pool.balance == "fastest":
            latency = health.expected(name, operation, streamed=self._inputs.streamed)
        return Entrant(name, weight, health.busy(name), latency, candidate.cost, ramp)
