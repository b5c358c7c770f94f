"""The plan in the order of the file, for stacks without RouteSelect. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..bridge.bridges import operation_at_target
from ..config import Cause, Target
from ..exchange import Candidate, Exchange, Role
from ..health.target_health import Health
from ..http.body import Body
from .route_inputs import holder_of

__all__ = ["written_order"]


def written_order(
    exchange: Exchange, health: Health, body: Body, names: Sequence[str] = ()
) -> tuple[Candidate, ...]:
    """The targets of the request's pool as they are written, preferred ones first; of the rest, the reason.

    `names` are the candidates around an app that has no pools. Once the share of a budget that is used
    reaches one of the pool's `at_budget`, the cheapest by their estimates go first, and alternates for
    "budget" are among them; targets without an estimate come after those with one.
    """
    pool, operation = exchange.pool, exchange.operation
    if pool is None or operation is None:
        return tuple(Candidate(name) for name in names)
    provider = holder_of(exchange, pool, body.document) if exchange.bound else None

    def candidate(target: Target, role: Role, causes: frozenset[Cause] | None = None) -> Candidate:
        one = Candidate(target.name, target, causes, role=role)
        asked = operation
        if asked.name not in target.operations:
            asked = operation_at_target(target, asked)
            one.operation = None if asked is operation else asked
        if provider is not None and target.provider.name != provider:
            one.rejected = "state.bound"
        elif asked.name not in target.operations:
            one.rejected = "capability.endpoint"
        elif (rejection := health.rejection(target.name, target.provider.name, asked.name)) is not None:
            one.rejected, one.ready_in = rejection.reason, rejection.ready_in
        return one

    preferred = [candidate(target, "prefer") for target in pool.prefer]
    issued_elsewhere = provider is not None and all(each.provider.name != provider for each in pool.prefer)
    others = [
        # With what the request refers to issued by an alternate only, that need not wait for a cause.
        candidate(alternate.target, "alternate", None if issued_elsewhere else alternate.causes)
        for alternate in pool.alternates
    ]
    if any(exchange.share >= share for share in pool.at_budget):
        joining = [other for other in others if other.causes is not None and "budget" in other.causes]
        others = [other for other in others if other not in joining]
        for each in joining:
            each.causes = None
        costs = exchange.estimates
        preferred = sorted([*preferred, *joining], key=lambda each: costs.get(each.name, math.inf))
    return (*preferred, *others)
