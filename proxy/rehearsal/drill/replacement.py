"""A configuration in which everything outside the gateway is replaced, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, cast

from ...config import Pool, Provider, Routes, Target
from ...config.pools import Timeouts
from ...config.scopes import Grants, Key, parent_of
from ...config.storage import MEMORY
from .scenarios import SLOW, WAIT

__all__ = ["Replacement", "replaced", "replacement"]

_DEADLINE: Final = "20s"
"""Failover's deadline in a drill. Whether the real one fits the timeouts is told without trying."""
_SECRET: Final = "sk-standby-drill-"


@dataclass(frozen=True, slots=True)
class Replacement:
    """The configuration of a drill, and the secret of each key in it."""

    routes: Routes
    secrets: Mapping[str, str]


def replacement(routes: Routes, urls: Mapping[str, str]) -> Replacement:
    """Returns `routes` with each provider at the URL of its simulator, and what else a drill must not touch.

    Budgets, limits, policies, causes, prices and the stack stay as they are.
    """
    providers = {name: _provider(provider, urls[name]) for name, provider in routes.providers.items()}
    targets = _targets(routes, providers)
    pools = {name: _pool(pool, targets) for name, pool in routes.pools.items()}
    secrets = {name: f"{_SECRET}{name}" for name in routes.keys}
    keys = {name: _key(key, secrets[name]) for name, key in routes.keys.items()}
    changed = replace(
        routes,
        providers=MappingProxyType(providers),
        targets=MappingProxyType(targets),
        pools=MappingProxyType(pools),
        keys=MappingProxyType(keys),
        tables=_tables(routes),
        store=MEMORY,
        admin=None,
        alerts=None,
        decisions=None,
        lenient=True,
    )
    return Replacement(changed, MappingProxyType(secrets))


def replaced(routes: Routes) -> list[str]:
    """Returns what a drill replaces, a sentence for each."""
    lines = [f"{len(routes.providers)} providers by simulators of their dialects, on loopback"]
    lines.append(
        "the store by one in memory, which begins empty; keys that are only in a store are not tried"
    )
    if routes.keys:
        lines.append("the secrets of keys, and the addresses that callers may use")
    lines.append(
        f"timeouts by {WAIT:g} s for a first token, an answer and a stall; thresholds of `slow` by {SLOW:g} s"
    )
    webhooks = _webhooks(routes)
    if webhooks:
        lines.append(f"rules that ask webhooks are left out: {', '.join(webhooks)}")
    lines.append("alerts, the decision log, traces and the admin listener go nowhere")
    return lines


def _provider(provider: Provider, url: str) -> Provider:
    vendor = None if provider.known_as is None else provider.known_as.name
    return provider.model_copy(
        update={
            "base_url": url,
            "query": MappingProxyType[str, str]({}),
            "key": None,
            "transport": None,
            "proxy": None,
            "ca": None,
            "insecure": False,
            "vendor": vendor,
        }
    )


def _targets(routes: Routes, providers: Mapping[str, Provider]) -> dict[str, Target]:
    """Returns the targets at their simulators. Each has a model of its own there, by which it is known."""
    made: dict[str, Target] = {}
    models: set[tuple[str, str]] = set()
    for name, target in routes.targets.items():
        place = (target.provider.name, target.model)
        while place in models:
            place = (place[0], f"{place[1]}-{name}")
        models.add(place)
        update = {"provider": providers[target.provider.name], "probe": None, "model": place[1]}
        made[name] = target.model_copy(update=update)
    return made


def _pool(pool: Pool, targets: Mapping[str, Target]) -> Pool:
    update: dict[str, Any] = {
        "prefer": tuple(targets[target.name] for target in pool.prefer),
        "alternates": tuple(
            each.model_copy(update={"target": targets[each.target.name]}) for each in pool.alternates
        ),
        "timeouts": Timeouts(
            connect=10 * WAIT,
            first_token=WAIT,
            answer=WAIT,
            stall=WAIT,
            total=10 * WAIT,
        ),
    }
    if pool.canary is not None:
        update["canary"] = pool.canary.model_copy(update={"target": targets[pool.canary.target.name]})
    if pool.slow is not None:
        thresholds = ("p95_first_token", "p95_total")
        set_ones = [name for name in thresholds if getattr(pool.slow, name) is not None]
        update["slow"] = pool.slow.model_copy(update=dict.fromkeys(set_ones, SLOW))
    return pool.model_copy(update=update)


def _key(key: Key, secret: str) -> Key:
    digest = f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}"
    return cast("Key", _from_anywhere(key)).model_copy(update={"hash": (digest,)})


def _from_anywhere(scope: Grants) -> Grants:
    """Returns a scope, and those that it belongs to, without the addresses of its callers."""
    update: dict[str, Any] = {"ips": None}
    if (parent := parent_of(scope)) is not None:
        kind = type(parent).__name__.lower()
        update[kind] = _from_anywhere(parent)
    return scope.model_copy(update=update)


def _tables(routes: Routes) -> Mapping[str, Mapping[str, object]]:
    tables = {name: dict(table) for name, table in routes.tables.items()}
    if "auth" in tables:
        tables["auth"].pop("pepper", None)
    if "failover" in routes.stack:
        tables.setdefault("failover", {})["deadline"] = _DEADLINE
    if "guardrails" in tables:
        rules = cast("list[dict[str, object]]", tables["guardrails"].get("rules", []))
        tables["guardrails"]["rules"] = [rule for rule in rules if rule.get("kind") != "webhook"]
    return MappingProxyType({name: MappingProxyType(table) for name, table in tables.items()})


def _webhooks(routes: Routes) -> list[str]:
    rules = cast("list[dict[str, object]]", routes.tables.get("guardrails", {}).get("rules", []))
    return [str(rule.get("name", "webhook")) for rule in rules if rule.get("kind") == "webhook"]
