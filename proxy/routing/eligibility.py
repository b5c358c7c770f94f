"""Who may be asked at all: filters in a fixed order, each with a stable reason code. No I/O.

They are the same for preferred targets, alternates, canaries and hedges. What will not pass by
itself comes first, so that a target that policy forbids is never reported as one that is merely busy.
"""

from __future__ import annotations

from math import inf
from typing import Final

from ..budget.metering.usage_meter import ASSUMED_OUTPUT, ExpectedUsage
from ..classify.faults import Rejection
from ..config import Target
from ..health.target_health import OPEN, Health
from .route_inputs import RouteInputs

__all__ = ["SPARED", "Eligibility"]

SPARED: Final = 1.0
"""Seconds until a caller may ask again who found every connection of a target in use."""


class Eligibility:
    """What stands against each target, for one request."""

    __slots__ = ("_base", "_granted", "_health", "_inputs", "_operation")

    def __init__(self, inputs: RouteInputs, health: Health) -> None:
        self._inputs = inputs
        self._health = health
        self._operation = inputs.needs.operation
        self._granted = inputs.principal is None or inputs.principal.grants(inputs.pool.name)
        self._base: float | None = None

    def rejection(self, target: Target) -> Rejection | None:
        """Why `target` is not asked, or None."""
        reason = self._lasting(target) or self._of_pool(target)
        return self._passing(target) if reason is None else Rejection(reason)

    def cost(self, target: Target) -> int | None:
        """What the request may cost at `target`, in nano-dollars; None without a price."""
        if target.price is None:
            return None
        estimate = self._inputs.estimates.get(target.name)
        if estimate is not None:
            return estimate
        needs = self._inputs.needs
        output = ASSUMED_OUTPUT if needs.output_tokens is None else needs.output_tokens
        return ExpectedUsage(needs.input_tokens, output).cost(target.price)

    def _lasting(self, target: Target) -> str | None:
        """What keeps this request from `target` in any pool."""
        inputs, provider = self._inputs, target.provider
        if target.disabled:
            return "disabled"
        if not self._granted:
            return "policy.model_not_allowed"
        if inputs.principal is not None and (objection := inputs.principal.objection(target)) is not None:
            return objection
        if inputs.holder is not None and inputs.holder != provider.name:
            return "state.bound"
        return inputs.needs.rejection(
            target.can,
            context=target.context,
            max_output=target.max_output,
            domain=provider.signature_domain,
            home=inputs.home,
        )

    def _of_pool(self, target: Target) -> str | None:
        """What the pool says of targets like this one."""
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
        if self._base is None:
            base = self.cost(pool.prefer[0])
            self._base = inf if base is None else ratio * base
        cost = self.cost(target)
        return "policy.price_ratio" if cost is None or cost > self._base else None

    def _passing(self, target: Target) -> Rejection | None:
        """What stands against `target` now."""
        health, seconds = self._health, self._inputs.seconds
        if target.name in self._inputs.down:
            return Rejection("health.breaker_open", OPEN)
        if (rest := health.rejection(target.name, target.provider.name, self._operation)) is not None:
            return rest
        if health.busy(target.name) >= target.connections:
            return Rejection("limit.concurrency", SPARED)
        if seconds is not None:
            usual = health.p50(target.name, self._operation, streamed=self._inputs.streamed)
            if usual is not None and usual > seconds:
                return Rejection("deadline.too_short")
        return None
