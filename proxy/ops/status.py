"""The status of a gateway as plain data, of one process or of several together. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ..config import Routes
from ..health.percentiles import Percentiles
from ..health.pool_state import PoolState, PoolStates
from ..health.target_health import Health, TargetState
from .gauges import target_level

__all__ = ["merged_status", "moment", "status"]

_LEVELS: Final = ("healthy", "degraded", "cooldown", "open")
_POOL_LEVELS: Final = ("healthy", "degraded", "exhausted")


def status(routes: Routes, health: Health, pools: PoolStates) -> dict[str, Any]:
    """Returns the states of every pool, and of every target that has been used."""
    return {
        "config": {"file": routes.file, "version": routes.version},
        "pools": {name: _pool(pools.of(name)) for name in routes.pools},
        "targets": {
            f"{state.target} {state.operation}": _target(state, _reason(routes, health, state))
            for state in health.states()
        },
    }


def merged_status(processes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the status of several processes as one: of each pool and target the worst, requests summed."""
    merged: dict[str, Any] = {}
    for report in processes:
        if not merged:
            merged = {**report, "pools": dict(report["pools"]), "targets": dict(report["targets"])}
            continue
        for section, levels in (("pools", _POOL_LEVELS), ("targets", _LEVELS)):
            for name, state in report[section].items():
                known = merged[section].get(name)
                merged[section][name] = state if known is None else _worse(known, state, levels)
    return merged


def moment(seconds: float) -> str:
    """Returns a time in seconds since 1970 as text, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _worse(one: dict[str, Any], other: dict[str, Any], levels: tuple[str, ...]) -> dict[str, Any]:
    worst = max(one, other, key=lambda state: levels.index(state["state"]))
    if "in_flight" not in one:
        return worst
    return {**worst, "in_flight": one["in_flight"] + other["in_flight"]}


def _pool(state: PoolState) -> dict[str, Any]:
    if state.state == "healthy":
        return {"state": "healthy"}
    return {
        "state": state.state,
        "since": moment(state.since),
        "cause": state.cause,
        "target": state.target,
        "operation": state.operation,
    }


def _reason(routes: Routes, health: Health, state: TargetState) -> str | None:
    """Returns why a target rests, or proves itself after a rest."""
    target = routes.targets.get(state.target)
    return None if target is None else health.reason(target.name, target.provider.name, state.operation)


def _target(state: TargetState, reason: str | None) -> dict[str, Any]:
    reasons = [] if reason is None else [reason]
    reasons += [degraded.reason for _, degraded in state.degraded]
    return {
        "target": state.target,
        "operation": state.operation,
        "state": _LEVELS[target_level(state)],
        "breaker": state.breaker,
        "ready_in_s": None if state.ready_in is None else round(state.ready_in, 1),
        "reasons": reasons,
        "share": round(state.ramp, 3),
        "in_flight": state.busy,
        "first_token_s": _seconds(state.first_token),
        "total_s": _seconds(state.total),
        "refusals": state.refusals,
        "malformed": state.malformed,
    }


def _seconds(known: Percentiles) -> dict[str, Any]:
    return {"samples": known.samples, "p50": known.p50, "p95": known.p95, "p99": known.p99}
