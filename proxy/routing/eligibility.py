"""Decides which targets a request may use: filters in a fixed order, each with a stable reason code. No I/O.

They are the same for preferred targets, alternates, canaries and hedges. Permanent reasons come before
temporary ones, so that a target that policy forbids is never reported as merely busy.
"""

from __future__ import annotations

from math import inf
from typing import Final

from ..budget.metering.usage_meter import ASSUMED_OUTPUT, ExpectedUsage
from ..classify.faults import Rejection
from ..config import Target
from ..dialects.base import Operation
from ..health.target_health import OPEN, Health
from .route_inputs import RouteInputs

__all__ = ["SPARED", "Eligibility"]

SPARED: Final = 1.0
"""Seconds until a caller may retry if every connection of a target is in use."""


class Eligibility:
    """Determines the rejection reason and the cost of each target, for one request."""

    __slots__ = ("_granted", "_has_policy", "_health", "_inputs", "_max_cost")

    def __init__(self, inputs: RouteInputs, health: Health) -> None:
        self._inputs = inputs
        self._health = health
        self._granted = inputs.principal is None or inputs.principal.grants(inputs.pool.name)
        self._has_policy = inputs.pool.min_quality is not None or inputs.pool.max_price_ratio is not None
        self._max_cost: float | None = None

    def rejection(self, target: Target, asked: Operation) -> Rejection | None:
        """Returns the reason why the request must not use `target`, which is `asked` for that, or None."""
        reason = self._permanent(target, asked)
        if reason is None and self._has_policy:
            reason = self._pool_policy(target)
        return self._temporary(target, asked.name) if reason is None else Rejection(reason)

    def cost(self, target: Target) -> int | None:
        """Returns the estimated cost of the request at `target` in nano-dollars, or None without a price."""
        if target.price is None:
            return None
        estimate = self._inputs.estimates.get(target.name)
        if estimate is not None:
            return estimate
        needs, limits = self._inputs.needs, (target.max_output, self._inputs.pool.max_output)
        output = ASSUMED_OUTPUT if needs.output_tokens is None else needs.output_tokens
        output = min([output, *(limit for limit in limits if limit is not None)])
        return ExpectedUsage(needs.input_tokens, output).cost(target.price)

    def _permanent(self, target: Target, asked: Operation) -> str | None:
        """Returns the reason code that excludes `target` in any pool, or None."""
        inputs, provider = self._inputs, target.provider
        if target.disabled:
            return "disabled"
        if not self._granted:
            return "policy.model_not_allowed"
        if inputs.principal is not None and (objection := inputs.principal.objection(target)) is not None:
            return objection
        if inputs.holder is not None and inputs.holder != provider.name:
            return "state.bound"
        needs = inputs.needs
        if asked.name not in target.operations:
            return "capability.endpoint"
        if asked.name != needs.operation:
            needs = needs.at(asked.name)
        return needs.rejection(
            target.can,
            context=target.context,
            max_output=target.max_output,
            domain=provider.signature_domain,
            home=inputs.home,
            strips=inputs.pool.reasoning_state == "strip",
        )

    def _pool_policy(self, target: Target) -> str | None:
        """Returns the reason code by which the pool's quality or price limit excludes `target`, or None."""
        pool = self._inputs.pool
        if (
            pool.min_quality is not None
            and pool.when_exhausted == "refuse"
            and (target.quality or 0) < pool.min_quality
        ):
            return "policy.quality"
        ratio = pool.max_price_ratio
        if ratio is None:
            return None
        if self._max_cost is None:
            base = self.cost(pool.prefer[0])
            self._max_cost = inf if base is None else ratio * base
        cost = self.cost(target)
        return "policy.price_ratio" if cost is None or cost > self._max_cost else None

    def _temporary(self, target: Target, operation: str) -> Rejection | None:
        """Returns the rejection of `target` because of its current health, load or latency, or None."""
        health, seconds = self._health, self._inputs.seconds
        if target.name in self._inputs.down:
            return Rejection("health.breaker_open", OPEN)
        if (rejection := health.rejection(target.name, target.provider.name, operation)) is not None:
            return rejection
        if health.busy(target.name) >= target.connections:
            return Rejection("limit.concurrency", SPARED)
        if seconds is not None:
            known = health.percentiles(target.name, operation, streamed=self._inputs.streamed)
            p50 = None if known is None else known.p50
            if p50 is not None and p50 > seconds:
                return Rejection("deadline.too_short")
        return None
