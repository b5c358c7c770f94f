"""Describes a configuration as text, for `standby check`: the effective chain and prices of every pool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..config.agreement import scopes_of
from ..config.limits import Limits
from ..config.money import dollars
from ..config.pools import Pool, Timeouts, targets_of
from ..config.price import Price, Rates
from ..config.routes import Routes
from ..config.scopes import Grants, kind_of
from ..config.storage import MEMORY, shown
from ..config.tables import Target
from ..config.values import spelled
from .columns import columns

__all__ = ["describe"]


def describe(routes: Routes) -> str:
    """Returns the stack and each pool as text: names, targets in order, timeouts, prices, budgets, limits."""
    sections = (
        *(("provider", routes.providers), ("target", routes.targets), ("pool", routes.pools)),
        *(("organisation", routes.organisations), ("team", routes.teams), ("user", routes.users)),
        ("key", routes.keys),
    )
    counts = ", ".join(
        f"{len(entries)} {kind}{'s' * (len(entries) != 1)}"
        for kind, entries in sections
        if entries or kind in {"provider", "target", "pool"}
    )
    lines = [f"{routes.file}: {counts}", f"stack: {' -> '.join(('hygiene', *routes.stack, 'relay'))}"]
    if routes.store != MEMORY or not {"auth", "budget"}.isdisjoint(routes.stack):
        lines.append(f"store: {shown(routes.store)}")
    return "\n".join((*lines, *(_pool(routes, pool) for pool in routes.pools.values())))


def _pool(routes: Routes, pool: Pool) -> str:
    rows: list[tuple[str, ...]]
    rows = [("prefer", str(i), *_target(target), "") for i, target in enumerate(pool.prefer, 1)]
    rows += [
        ("alternates", str(i), *_target(other.target), f"for {', '.join(sorted(other.causes))}")
        for i, other in enumerate(pool.alternates, len(pool.prefer) + 1)
    ]
    timeouts = "  ".join(f"{name} {spelled(getattr(pool.timeouts, name))}" for name in Timeouts.model_fields)
    given = pool.timeouts.model_fields_set
    if "first_token" in given and "answer" not in given:
        timeouts += "  (answer follows from first_token)"
    # Everything whose budgets and limits may apply to a request to this pool.
    places: dict[str, Pool | Target | Grants] = {"pool": pool}
    places |= {f"target {target.name}": target for target in targets_of(pool)}
    places |= {f"{kind_of(scope)} {scope.name}": scope for scope in scopes_of(routes, pool.name)}
    lines = [
        f"\npool {pool.name} ({'/'.join(pool.dialects)})",
        f"  {'serves':10}  {', '.join(pool.serves)}",
        *_aligned(rows),
        f"  {'timeouts':10}  {timeouts}",
        *_aligned(list(_prices(routes, pool))),
        *_aligned(list(_budgets(places))),
        *_aligned(list(_limits(places))),
    ]
    lines += [f"  {'at budget':10}  from {share:g} on: {order}" for share, order in pool.at_budget.items()]
    return "\n".join(lines)


def _target(target: Target) -> tuple[str, str, str]:
    return target.name, f"{target.provider.name}/{target.model}", target.provider.region or "-"


def _prices(routes: Routes, pool: Pool) -> Iterator[tuple[str, ...]]:
    """Yields the price of each target with its source, or nothing if no target has a price."""
    targets = targets_of(pool)
    if all(target.price is None for target in targets):
        return
    for target in targets:
        card = routes.cards.get(target.name)
        source = "" if target.price is None else f"({card.source}, {card.date})" if card else "(this file)"
        yield "prices", target.name, _price(target.price), source


def _price(price: Price | None) -> str:
    if price is None:
        return "none"
    tiers = sorted(price.above, key=lambda tier: tier.tokens)
    return "  ".join((_rates(price), *(f"above {tier.tokens} tokens: {_rates(tier)}" for tier in tiers)))


def _rates(rates: Rates) -> str:
    given = ((name, getattr(rates, name)) for name in type(rates).model_fields)
    amounts = ((name, value) for name, value in given if isinstance(value, int) and name != "tokens")
    return "  ".join(f"{name} {dollars(amount)}" for name, amount in amounts if amount or name == "input")


def _budgets(places: Mapping[str, Pool | Target | Grants]) -> Iterator[tuple[str, ...]]:
    for place, scope in places.items():
        for window in scope.budget:
            amount = dollars(window.limit) if window.unit == "cost" else f"{window.limit} {window.unit}"
            when = "rolling" if window.rolling else window.timezone
            yield "budgets", place, f"{amount} per {window.window} ({when})"


def _limits(places: Mapping[str, Pool | Target | Grants]) -> Iterator[tuple[str, ...]]:
    for place, scope in places.items():
        if scope.limits != Limits():
            given = ((name, getattr(scope.limits, name)) for name in Limits.model_fields)
            yield "limits", place, "  ".join(f"{name} {value}" for name, value in given if value is not None)


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Returns the rows as lines of aligned columns. A repeated label in the first column is left out."""
    labels = ["", *(label for label, *_ in rows)]
    shown = [
        ("" if row[0] == before else row[0], *row[1:]) for before, row in zip(labels, rows, strict=False)
    ]
    return [f"  {line}" for line in columns(shown, first=10)]
