"""What a configuration leaves unprotected in an outage, found without trying it. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..budget.metering.usage_meter import ASSUMED_OUTPUT, ExpectedUsage
from ..budget.request_budget import failover_deadline
from ..config import Pool, Routes, Target, dollars
from ..config.routing import Capability
from ..dialects.json_values import is_list, within
from ..keys.principal import Principal
from .settings import max_attempts

__all__ = ["gaps"]

_USUAL_INPUT: Final = 1_000
"""Tokens of a prompt by which the cost of one request is judged."""
_STREAM: Final[frozenset[Capability]] = frozenset({"stream"})
"""What targets that claim nothing can do for certain."""
_SDK_TIMEOUT: Final = 600.0
"""Seconds after which the official SDKs give up by themselves."""


def gaps(routes: Routes) -> list[str]:
    """Returns a line for each gap, with what to change."""
    lines: list[str] = []
    for pool in routes.pools.values():
        lines += _of_pool(routes, pool)
    lines += _of_keys(routes)
    if routes.alerts is None or (routes.alerts.webhook is None and routes.alerts.slack is None):
        lines.append(
            "alerts: nobody learns that routing is degraded; give [alerts] a webhook or slack, or scrape"
            " /metrics"
        )
    lines += _guardrails(routes)
    return lines


def _of_pool(routes: Routes, pool: Pool) -> Iterator[str]:
    alternates = [each.target for each in pool.alternates if not each.target.disabled]
    targets = [target for target in (*pool.prefer, *alternates) if not target.disabled]
    places = {_origin(target) for target in targets}
    providers = {target.provider.name for target in targets}
    if len(places) == 1 and len(providers) > 1:
        yield (
            f"pool {pool.name}: all its targets are at one vendor under several names"
            f" ({', '.join(sorted(providers))}); add a target elsewhere"
        )
    regions = {target.provider.region for target in targets}
    if len(regions) == 1 and None not in regions:
        yield f"pool {pool.name}: all its targets are in region {regions.pop()}; add one in another region"
    if not alternates and len(pool.prefer) == 1:
        yield f"pool {pool.name}: nobody takes over from {pool.prefer[0].name}; add alternates"
    yield from _capabilities(pool, alternates)
    yield from _limits(pool, alternates)
    yield from _timeouts(routes, pool)
    limit = max_attempts(routes)
    if "failover" in routes.stack and alternates and len(pool.prefer) >= limit:
        yield (
            f"pool {pool.name}: its preferred targets use up Failover's max_attempts ({limit}), so that no"
            " alternate is tried in the same request; raise it"
        )


def _origin(target: Target) -> str:
    """Returns what fails together with a target: the vendor's host and the key."""
    host = target.provider.base_url.split("://", 1)[-1].split("/", 1)[0]
    return host if target.provider.known_as is not None else f"{host} {target.provider.base_url}"


def _capabilities(pool: Pool, alternates: list[Target]) -> Iterator[str]:
    """Alternates that can do less than every preferred target, so that requests find nobody."""
    claimed = [target.can for target in pool.prefer if target.can is not None]
    needed: frozenset[Capability] = pool.requires if claimed else pool.requires | _STREAM
    for can in claimed[:1]:
        needed = can.intersection(*claimed[1:])
    for target in alternates:
        lacking = sorted(need for need in needed if target.can is not None and need not in target.can)
        lacking = [need for need in lacking if need not in {"chat", "messages", "responses"}]
        if lacking:
            yield (
                f"pool {pool.name}: alternate {target.name} cannot do {', '.join(lacking)}, as the preferred"
                " targets can; such requests fail in an outage. Add to its `can`, or choose another"
            )


def _limits(pool: Pool, alternates: list[Target]) -> Iterator[str]:
    """Alternates that cannot carry the load of the preferred targets."""
    for name in ("requests_per_minute", "tokens_per_minute", "concurrent"):
        carried = [value for target in pool.prefer if (value := getattr(target.limits, name)) is not None]
        wanted = sum(carried) if len(carried) == len(pool.prefer) else getattr(pool.limits, name)
        for target in alternates:
            limit = getattr(target.limits, name)
            if limit is None or (wanted is not None and limit >= wanted):
                continue
            load = "have no limit" if wanted is None else f"take {wanted}"
            yield (
                f"pool {pool.name}: alternate {target.name} takes {limit} {name.replace('_', ' ')}, and the"
                f" preferred targets {load}; raise its limits, or limit the pool"
            )


def _timeouts(routes: Routes, pool: Pool) -> Iterator[str]:
    deadline = failover_deadline(routes)
    slowest = max(pool.timeouts.first_token, pool.timeouts.answer)
    if slowest >= deadline:
        yield (
            f"pool {pool.name}: one attempt may take {slowest:g} s, and Failover's deadline for all is"
            f" {deadline:g} s, so that nobody takes over from a silent target; lower first_token and answer"
        )
    elif pool.alternates and 2 * slowest > _SDK_TIMEOUT:
        yield (
            f"pool {pool.name}: two silent targets take {2 * slowest:g} s, and SDKs give up after"
            f" {_SDK_TIMEOUT:g} s; lower first_token and answer"
        )


def _of_keys(routes: Routes) -> Iterator[str]:
    if "auth" not in routes.stack:
        return
    callers = {name: Principal.of(key) for name, key in routes.keys.items()}
    for pool in routes.pools.values():
        alternates = [each.target for each in pool.alternates if not each.target.disabled]
        for name, principal in callers.items():
            if not principal.grants(pool.name):
                continue
            able = [target for target in (*pool.prefer, *alternates) if principal.objection(target) is None]
            refused = [target for target in alternates if principal.objection(target) is not None]
            if alternates and len(refused) == len(alternates):
                why = sorted({principal.objection(target) or "" for target in refused})
                yield (
                    f"key {name}, pool {pool.name}: its policy ({', '.join(why)}) allows no alternate:"
                    f" {', '.join(target.name for target in refused)}; allow one, or add one that it allows"
                )
            for target in refused if len(refused) < len(alternates) else ():
                why_not = principal.objection(target)
                yield f"key {name}, pool {pool.name}: may not use alternate {target.name} ({why_not})"
            yield from _money(routes, pool, name, principal, able)


def _money(routes: Routes, pool: Pool, name: str, principal: Principal, able: list[Target]) -> Iterator[str]:
    """Budgets that do not pay for one usual request at the dearest allowed target."""
    if "budget" not in routes.stack:
        return
    budgets = [
        (f"{scope.kind} {scope.grants.name}", window.limit)
        for scope in principal.scopes
        for window in scope.grants.budget
        if window.unit == "cost"
    ]
    budgets += [(f"pool {pool.name}", window.limit) for window in pool.budget if window.unit == "cost"]
    for target in able:
        if target.price is None:
            continue
        limits = [limit for limit in (target.max_output, pool.max_output) if limit is not None]
        cost = ExpectedUsage(_USUAL_INPUT, min([ASSUMED_OUTPUT, *limits])).cost(target.price)
        for owner, limit in budgets:
            if cost > limit:
                yield (
                    f"key {name}, pool {pool.name}: one request may cost ${dollars(cost)} at {target.name},"
                    f" and the budget of {owner} is ${dollars(limit)}; raise it, or set max_output"
                )


def _guardrails(routes: Routes) -> Iterator[str]:
    """Pools whose requests no rule reads, while it reads those of others."""
    rules: object = routes.tables.get("guardrails", {}).get("rules", ())
    for rule in rules if is_list(rules) else ():
        named, kind = within(rule, "pools"), within(rule, "kind")
        if not is_list(named) or kind not in {"secrets", "personal_data", "injection"}:
            continue
        others = [name for name in routes.pools if name not in named]
        if others:
            yield (
                f"guardrails: rule {within(rule, 'name') or kind} does not read requests to"
                f" {', '.join(others)}; leave `pools` out of it, or say there why not"
            )
