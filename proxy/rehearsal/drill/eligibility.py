"""Which targets may answer in a cell of a drill, and which must, read from the configuration. No I/O.

None of the gateway's own rules of routing is used, so that a fault in them cannot hide itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ...bridge.bridges import operation_at_target
from ...config import Cause, Pool, Target, targets_of
from ...config.limits import Limits
from .record import Record

__all__ = ["against_policy", "first_choices", "is_kept_away", "is_limited", "may_answer", "must_answer"]

_OUTAGE: Final[frozenset[Cause]] = frozenset({"outage"})
_ROOM: Final = 1_000
"""Tokens of context that the requests of a drill surely fit into."""


def may_answer(record: Record) -> dict[str, str]:
    """Returns the targets that may answer, by name, with the reason."""
    pool, scenario = record.cell.pool, record.cell.scenario
    failing = scenario.fails(pool)
    opens: set[Cause] = {*scenario.opens, *scenario.later}
    if is_kept_away(record) or any(rule.when and rule.action == "block" for rule in record.rules):
        opens.add("outage")
    if is_limited(record):
        opens.add("rate_limited")
    if record.counts_money:
        opens.add("budget")
    able = {
        target.name: "preferred"
        for target in pool.prefer
        if scenario.intermittent or target.name not in failing
    }
    if pool.canary is not None and pool.canary.target.name not in failing:
        able[pool.canary.target.name] = "canary"
    return _permitted(record, able | _alternates(record, opens))


def must_answer(record: Record) -> dict[str, str]:
    """Returns the targets of which one must answer if no other does, by name, with the reason.

    Not the canary, which only a share of the callers gets; none that fails at times, and none whose limits,
    `can` or `context` the requests may exceed; and none at all if those that fail may use up the attempts.
    """
    pool, scenario = record.cell.pool, record.cell.scenario
    failing = scenario.fails(pool)
    if len(failing) >= record.max_attempts:
        return {}
    asked = {target.name: "preferred" for target in pool.prefer if not _falls_short(record, target)}
    # A target that is not for this request opens `outage`; how it fails for others is no cause.
    opens = scenario.opens if failing & _permitted(record, asked).keys() else _OUTAGE
    able = {name: why for name, why in asked.items() if name not in failing}
    able = _permitted(record, able | _alternates(record, opens))
    targets = record.targets
    return {
        name: why
        for name, why in able.items()
        if not _falls_short(record, targets[name]) and targets[name].limits == Limits()
    }


def first_choices(record: Record) -> set[str]:
    """Returns the targets whose answers are not degraded, with the canary and those that a budget lets in."""
    pool = record.cell.pool
    names = {target.name for target in pool.prefer}
    if pool.canary is not None:
        names.add(pool.canary.target.name)
    if pool.at_budget:
        names |= {each.target.name for each in pool.alternates if "budget" in each.causes}
    return names


def against_policy(record: Record, target: Target) -> str | None:
    """Returns why the caller's data may not go to a target, None if it may."""
    principal = record.cell.principal
    for scope in () if principal is None else principal.scopes:
        grants = scope.grants
        if grants.providers is not None and target.provider.name not in grants.providers:
            return f"{scope.kind} {grants.name} allows the providers {', '.join(grants.providers)}"
        if grants.regions is not None and target.provider.region not in grants.regions:
            return f"{scope.kind} {grants.name} allows the regions {', '.join(grants.regions)}"
    return None


def is_kept_away(record: Record) -> bool:
    """Whether a preferred target is not for this caller, not for such requests, or for nobody."""
    return any(
        target.disabled or against_policy(record, target) or _falls_short(record, target)
        for target in record.cell.pool.prefer
    )


def is_limited(record: Record) -> bool:
    """Whether limits of a target may keep requests from it."""
    return any(target.limits != Limits() for target in targets_of(record.cell.pool))


def _alternates(record: Record, opens: Iterable[Cause]) -> dict[str, str]:
    """Returns the alternates for one of these causes that do not fail."""
    pool = record.cell.pool
    failing = record.cell.scenario.fails(pool)
    return {
        each.target.name: f"alternate for {', '.join(sorted(opened))}"
        for each in pool.alternates
        if (opened := each.causes.intersection(opens)) and each.target.name not in failing
    }


def _permitted(record: Record, able: dict[str, str]) -> dict[str, str]:
    """Returns those of the targets that are enabled, and to which the caller's data may go."""
    targets = record.targets
    return {
        name: why
        for name, why in able.items()
        if not targets[name].disabled and against_policy(record, targets[name]) is None
    }


def _falls_short(record: Record, target: Target) -> bool:
    """Whether a target does not claim to do what the requests of the cell need."""
    if target.context is not None and target.context < _ROOM:
        return True
    if operation_at_target(target, record.cell.operation).name not in target.operations:
        return True
    pool = record.cell.pool
    if pool.min_quality is not None and (target.quality or 0) < pool.min_quality:
        return True
    if _costs_too_much(pool, target):
        return True
    if target.can is None:
        return False
    needs = {"stream"} if record.cell.streamed else set[str]()
    return not (needs | (pool.requires & {"tools"})) <= target.can


def _costs_too_much(pool: Pool, target: Target) -> bool:
    """Whether a target may cost more than the pool allows, by its first target's price."""
    first, price, ratio = pool.prefer[0].price, target.price, pool.max_price_ratio
    if ratio is None or first is None or price is None:
        return False
    return price.input > ratio * first.input or (price.output or 0) > ratio * (first.output or 0)
