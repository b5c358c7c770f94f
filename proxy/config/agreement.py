"""Checks across the tables of one file: served names, key hashes, unused settings, missing prices. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from .chain import BUILT_IN
from .limits import Limits
from .pools import Pool, targets_of
from .report import Report
from .routes import Routes
from .scopes import EVERY, Grants, kind_of, parent_of
from .tables import Target
from .values import KeyPath, quoted

__all__ = ["check_effect", "check_hashes", "check_prices", "check_served", "scopes_of"]


_ROUTING: Final = (
    *("balance", "sticky", "min_quality", "max_price_ratio"),
    *("slow", "degrade_on", "canary", "reasoning_state"),
)
"""Keys of pools that only RouteSelect reads."""


def check_served(report: Report, document: Mapping[str, Any], pools: Mapping[str, Pool]) -> None:
    """Report model names that more than one pool serves."""
    owners: dict[str, str] = {}
    for pool in pools.values():
        for i, name in enumerate(pool.serves):
            owner = owners.setdefault(name, pool.name)
            if owner != pool.name:
                own = "serves" in document["pools"][pool.name]
                at = ("pools", pool.name, "serves", i) if own else ("pools", pool.name)
                message = f"{quoted(name)} is served by pools {quoted(owner)} and {quoted(pool.name)}"
                report.add(at, message, "a name leads to one pool")


def check_hashes(report: Report, routes: Routes) -> None:
    """Report hashes that more than one key has, and hashes that need a pepper if [auth] has none."""
    owners: dict[str, str] = {}
    peppered = "pepper" in routes.tables.get("auth", {})
    for key in routes.keys.values():
        for digest in key.hash:
            at = ("keys", key.name, "hash")
            owner = owners.get(digest)
            if owner is not None:
                report.add(at, f"keys {quoted(owner)} and {quoted(key.name)} have the same hash")
            owners[digest] = key.name
            if digest.startswith("hmac-") and not peppered and "auth" in routes.stack:
                report.add(at, "this hash was made with a pepper, and [auth] has none", "give it its pepper")


def check_effect(report: Report, routes: Routes) -> None:
    """Report settings that no middleware in the stack reads, since they would have no effect.

    Does nothing if the stack has a middleware that is not built in, since that may read any setting.
    """
    if not all(name in BUILT_IN for name in routes.stack):
        return
    readers = {"auth": _auth_settings, "route_select": _routing_settings, "budget": _budget_settings}
    for name, settings_of in readers.items():
        if name not in routes.stack:
            for path, message in settings_of(routes):
                report.add(path, message, f'add "{name}" to stack, before "failover"')


def _auth_settings(routes: Routes) -> Iterator[tuple[KeyPath, str]]:
    """The settings that only Auth reads: the path of each, and the message if Auth is not in the stack."""
    for title in ("organisations", "teams", "users", "keys"):
        if getattr(routes, title):
            yield (title,), "nobody asks who calls"
    for name, pool in routes.pools.items():
        if pool.sticky == "key":
            yield ("pools", name, "sticky"), "nobody asks who calls"
    yield from _callers_of_guardrails(routes)


def _callers_of_guardrails(routes: Routes) -> Iterator[tuple[KeyPath, str]]:
    """The rules of guardrails for some callers only."""
    rules: object = routes.tables.get("guardrails", {}).get("rules")
    for index, rule in enumerate(cast("list[object]", rules) if isinstance(rules, list) else ()):
        for key in ("keys", "users", "teams", "organisations"):
            if isinstance(rule, dict) and key in rule:
                yield ("guardrails", "rules", index, key), "nobody asks who calls"


def _routing_settings(routes: Routes) -> Iterator[tuple[KeyPath, str]]:
    """The settings that only RouteSelect reads, as in `_auth_settings`."""
    for name, target in routes.targets.items():
        for key in ("disabled", "can"):
            if getattr(target, key):
                yield ("targets", name, key), "nobody heeds it"
    for name, pool in routes.pools.items():
        for key in _ROUTING:
            if getattr(pool, key) != Pool.model_fields[key].default:
                yield ("pools", name, key), "nobody heeds it"


def check_prices(report: Report, routes: Routes) -> None:
    """Report targets without a price where a budget counts money, unless `unpriced = "allow"` is set."""
    for pool in routes.pools.values():
        for target in targets_of(pool):
            if target.price is not None or "allow" in {target.unpriced, pool.unpriced}:
                continue
            if (reason := _counted_in_money(routes, pool, target)) is not None:
                message = f"has no price, and {reason} counts money in pool {quoted(pool.name)}"
                report.add(("targets", target.name), message, 'write price = { ... }, or unpriced = "allow"')


def _counted_in_money(routes: Routes, pool: Pool, target: Target) -> str | None:
    """Returns what has a budget in money that `target` in `pool` counts towards, in words, or None.

    Only the first one is returned: the pool, the target, or a scope that may use the pool.
    """
    for what, table in (("the pool", pool), (f"target {quoted(target.name)}", target)):
        if _counts_money(table):
            return what
    for scope in scopes_of(routes, pool.name):
        if _counts_money(scope):
            return f"{kind_of(scope)} {quoted(scope.name)}"
    return None


def scopes_of(routes: Routes, pool: str) -> Iterator[Grants]:
    """Returns every scope that may use `pool`, the widest kind first."""
    return (scope for scope in _all_scopes(routes) if _may_use(scope, pool))


def _counts_money(table: Pool | Target | Grants) -> bool:
    return any(window.unit == "cost" for window in table.budget)


def _all_scopes(routes: Routes) -> Iterator[Grants]:
    for section in (routes.organisations, routes.teams, routes.users, routes.keys):
        yield from cast("Mapping[str, Grants]", section).values()


def _budget_settings(routes: Routes) -> Iterator[tuple[KeyPath, str]]:
    """The settings that only Budget reads, as in `_auth_settings`."""
    for path, table in _tables_with_limits(routes):
        for name in ("budget", "limits"):
            if getattr(table, name) not in ((), Limits()):
                yield (*path, name), "nobody counts"
    for name, pool in routes.pools.items():
        if pool.max_output is not None:
            yield ("pools", name, "max_output"), "nobody heeds it"


def _tables_with_limits(routes: Routes) -> Iterator[tuple[KeyPath, Pool | Target | Grants]]:
    """All tables that may have a budget and limits, each with its path in the file."""
    yield from ((("targets", name), target) for name, target in routes.targets.items())
    yield from ((("pools", name), pool) for name, pool in routes.pools.items())
    for scope in _all_scopes(routes):
        yield (f"{kind_of(scope)}s", scope.name), scope


def _may_use(scope: Grants, pool: str) -> bool:
    """Whether the scope and all of its ancestors grant the pool."""
    current: Grants | None = scope
    while current is not None:
        if current.pools is not None and pool not in current.pools and EVERY not in current.pools:
            return False
        current = parent_of(current)
    return True
