"""What can be measured at any moment: the states of targets and pools, and what is in progress. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ..config import Routes
from ..health.percentiles import Percentiles
from ..health.pool_state import PoolStates
from ..health.target_health import Health, TargetState
from ..telemetry import names
from ..telemetry.metric import Metric
from ..telemetry.metrics import Sample

__all__ = ["gauges", "target_level"]

_POOL_LEVELS: Final = ("healthy", "degraded", "exhausted")


def gauges(routes: Routes, health: Health, pools: PoolStates) -> Iterator[Sample]:
    """Yields the states of targets and pools, and the percentiles of the last minute."""
    for state in health.states():
        place = state.target, state.operation
        yield Sample(names.TARGET_STATE, place, target_level(state))
        yield from _percentiles(names.TARGET_FIRST_TOKEN, place, state.first_token)
        yield from _percentiles(names.TARGET_TOTAL, place, state.total)
    for name in routes.pools:
        yield Sample(names.POOL_STATE, (name,), _POOL_LEVELS.index(pools.of(name).state))


def target_level(state: TargetState) -> int:
    """Returns 0 if the target is healthy, 1 if it is degraded, 2 in a cooldown, 3 if its breaker is not
    closed."""
    if state.breaker != "closed":
        return 3
    if state.cooldowns:
        return 2
    return 1 if state.degraded else 0


def _percentiles(metric: Metric, place: tuple[str, str], known: Percentiles) -> Iterable[Sample]:
    for percentile, value in (("p50", known.p50), ("p95", known.p95), ("p99", known.p99)):
        if value is not None:
            yield Sample(metric, (*place, percentile), value)
