"""What the tables of one file must agree on among themselves. No I/O."""

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
    *("slow", "degrade_on", "canary"),
)
"""Keys of pools by which requests are routed."""


def check_served(report: Report, document: Mapping[str, Any], pools: Mapping[str, Pool]) -> None:
    """A model name leads to one pool."""
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
    """A secret leads to one key, and a hash that takes a pepper needs one."""
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
    """What nobody in the stack would heed is an error, as is any table without effect.

    Middlewares of your own may heed anything, so with one of them in the stack nothing is said.
    """
    if not all(name in BUILT_IN for name in routes.stack):
        return
    for name, heeded in (("auth", _called), ("route_select", _routed), ("budget", _limited)):
        if name not in routes.stack:
            for path, message in heeded(routes):
                report.add(path, message, f'add "{name}" to stack, before "failover"')


def _called(routes: Routes) -> Iterator[tuple[KeyPath, str]]:
    """Everything that only Auth heeds, with its place in the file."""
    for title in ("organisations", "teams", "users", "keys"):
        if getattr(routes, title):
            yield (title,), "nobody asks who calls"


def _routed(routes: Routes) -> Iterator[tuple[KeyPath, str]]:
    """Everything that only RouteSelect heeds, with its place in the file."""
    for name, target in routes.targets.items():
        for key in ("disabled", "can"):
            if getattr(target, key):
                yield ("targets", name, key), "nobody heeds it"
    for name, pool in routes.pools.items():
        for key in _ROUTING:
            if getattr(pool, key) != Pool.model_fields[key].default:
                yield ("pools", name, key), "nobody heeds it"


def check_prices(report: Report, routes: Routes) -> None:
    """Where money is counted every target has a price, or says that it may have none."""
    for pool in routes.pools.values():
        for target in targets_of(pool):
            if target.price is not None or "allow" in {target.unpriced, pool.unpriced}:
                continue
            if (reason := _counted_in_money(routes, pool, target)) is not None:
                message = f"has no price, and {reason} counts money in pool {quoted(pool.name)}"
                report.add(("targets", target.name), message, 'write price = { ... }, or unpriced = "allow"')


def _counted_in_money(routes: Routes, pool: Pool, target: Target) -> str | None:
    """Whose budget counts the money that `target` costs in `pool`: the first such scope in words, or None."""
    for what, each in (("the pool", pool), (f"target {quoted(target.name)}", target)):
        if _counts_money(each):
            return what
    for scope in scopes_of(routes, pool.name):
        if _counts_money(scope):
            return f"{kind_of(scope)} {quoted(scope.name)}"
    return None


def scopes_of(routes: Routes, pool: str) -> Iterator[Grants]:
    """Every scope that may use `pool`, the widest kind first."""
    return (scope for scope in _scopes(routes) if _may_use(scope, pool))


def _counts_money(each: Pool | Target | Grants) -> bool:
    return any(window.unit == "cost" for window in each.budget)


def _scopes(routes: Routes) -> Iterator[Grants]:
    for section in (routes.organisations, routes.teams, routes.users, routes.keys):
        yield from cast("Mapping[str, Grants]", section).values()


def _limited(routes: Routes) -> Iterator[tuple[KeyPath, str]]:
    """Everything that only Budget heeds, with its place in the file."""
    for path, each in _limitable(routes):
        for name in ("budget", "limits"):
            if getattr(each, name) not in ((), Limits()):
                yield (*path, name), "nobody counts"


def _limitable(routes: Routes) -> Iterator[tuple[KeyPath, Pool | Target | Grants]]:
    """Everything that may have a budget and limits, with its place in the file."""
    yield from ((("targets", name), target) for name, target in routes.targets.items())
    yield from ((("pools", name), pool) for name, pool in routes.pools.items())
    for scope in _scopes(routes):
        yield (f"{kind_of(scope)}s", scope.name), scope


def _may_use(scope: Grants, pool: str) -> bool:
    """Whether the scope and every one that it belongs to grant the pool."""
    each: Grants | None = scope
    while each is not None:
        if each.pools is not None and pool not in each.pools and EVERY not in each.pools:
            return False
        each = parent_of(each)
    return True
