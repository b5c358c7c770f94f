"""Finds what is valid in a configuration but will disappoint in an outage, for `standby check`."""

from __future__ import annotations

from collections.abc import Iterator

from ..config.agreement import scopes_of
from ..config.pools import Alternate, Pool, targets_of
from ..config.routes import Routes
from ..config.storage import MEMORY
from ..errors import Refusal
from ..keys.principal import Principal
from .explain import Question, explain

__all__ = ["warnings"]


def warnings(routes: Routes) -> list[str]:
    """Returns one line for each warning, in the order of the file.

    They are: a pool that depends on one provider or that no request can pass, one that prefers the cheapest
    target and does not know every price, an alternate that no cause can open, targets, providers, teams and
    others that nothing uses, keys of providers that are not there, and web pages that may call without keys.
    """
    lines = [line for pool in routes.pools.values() for line in _of_pool(routes, pool)]
    used = {target.name for pool in routes.pools.values() for target in targets_of(pool)}
    lines += [f"target {name}: no pool uses it" for name in routes.targets if name not in used]
    providers = {target.provider.name for target in routes.targets.values()}
    lines += [f"provider {name}: no target uses it" for name in routes.providers if name not in providers]
    lines += _unused_scopes(routes)
    lines += [
        f"provider {name}: its key ({provider.key.source}) is not here; `standby serve` needs it"
        for name, provider in routes.providers.items()
        if provider.key is not None and not provider.key.reveal()
    ]
    if routes.tables.get("hygiene", {}).get("cors") and "auth" not in routes.stack:
        lines.append(
            "hygiene: with `cors` and without `auth`, the pages of these origins may call without a key"
        )
    return lines


def _unused_scopes(routes: Routes) -> Iterator[str]:
    """Warns of organisations, teams and users of which there is no key, if all keys are in the file."""
    if routes.store != MEMORY or "auth" not in routes.stack or "principal" in routes.tables.get("auth", {}):
        return
    used = {id(scope.grants) for key in routes.keys.values() for scope in Principal.of(key).scopes}
    for kind, scopes in (
        *(("organisation", routes.organisations), ("team", routes.teams)),
        ("user", routes.users),
    ):
        yield from (
            f"{kind} {name}: no key is of it" for name, scope in scopes.items() if id(scope) not in used
        )


def _of_pool(routes: Routes, pool: Pool) -> Iterator[str]:
    enabled = [target for target in targets_of(pool) if not target.disabled]
    if not enabled:
        yield f"pool {pool.name}: all its targets are disabled"
        return
    providers = sorted({target.provider.name for target in enabled})
    if len(providers) == 1:
        yield f"pool {pool.name}: depends on provider {providers[0]} alone; if it fails, so does the pool"
    yield from _unanswered(routes, pool)
    unpriced = [target.name for target in pool.prefer if target.price is None and not target.disabled]
    if pool.balance == "cheapest" and unpriced:
        names = ", ".join(unpriced)
        yield f"pool {pool.name}: without a price, {names} cannot be the cheapest and comes last"
    for alternate in pool.alternates:
        reasons = [_closed(routes, pool, alternate, cause) for cause in sorted(alternate.causes)]
        if None not in reasons:
            why = "; ".join(dict.fromkeys(reason for reason in reasons if reason is not None))
            yield f"pool {pool.name}: alternate {alternate.target.name} can never be used: {why}"


def _unanswered(routes: Routes, pool: Pool) -> Iterator[str]:
    """Warns of a pool that no request can pass, although all its targets are healthy."""
    try:
        explanation = explain(Question(pool.name), routes)
    except Refusal:
        return  # of the sample, as by a small `max_output`
    if explanation.first is None:
        reasons = ", ".join(f"{each.name} {each.rejected or 'has no cause'}" for each in explanation.plan)
        yield f"pool {pool.name}: no target can answer even a short request: {reasons}"


def _closed(routes: Routes, pool: Pool, alternate: Alternate, cause: str) -> str | None:
    """Returns why this cause can never open the alternate, or None if it can."""
    if alternate.target.disabled:
        return "it is disabled"
    low = pool.min_quality is not None and (alternate.target.quality or 0) < pool.min_quality
    if low and pool.when_exhausted == "degrade":
        return None  # it is the last resort, whatever its causes
    if cause == "context":
        contexts = [target.context or 0 for target in pool.prefer]
        if (alternate.target.context or 0) <= min(contexts):
            return "for context, it needs a larger `context` than a preferred target"
    if cause == "budget":
        budgets = [pool.budget, *(target.budget for target in targets_of(pool))]
        budgets += [scope.budget for scope in scopes_of(routes, pool.name)]
        if "budget" not in routes.stack or not any(budgets):
            return "for budget, nothing that may use the pool has a budget"
    return None
