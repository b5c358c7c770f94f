"""Describes the differences between two configurations in words: for pools, for callers, and the rest.

It describes effects: a changed rule of a team is listed with the keys it applies to, and what a key may use
is computed from its whole chain of scopes. Secrets are reported as changed but never shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from .chain import BUILT_IN
from .change_text import changed, joined, listed, moved
from .pools import Pool, targets_of
from .routes import Routes
from .scopes import EVERY, Grants, Key, kind_of, parent_of
from .storage import shown
from .table import Table
from .tables import Target

__all__ = ["Changes", "differences"]

T = TypeVar("T", bound=Table)

_SECTIONS: Final = ("organisations", "teams", "users", "keys")
_AT_START: Final = ("endpoint", "metrics", "service")
"""Keys of `[trace]` that are read when the gateway starts."""
_GRANTED: Final = ("pools", "regions", "providers")


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes, one line each: those of pools first, then those of callers, then the rest."""

    lines: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.lines)

    def __str__(self) -> str:
        return "\n".join(self.lines) or "no change"


def differences(before: Routes, after: Routes) -> Changes:
    """Returns the changes from `before` to `after`."""
    if before.source == after.source and before.file == after.file and _same(before, after):
        return Changes(())
    return Changes(
        (
            *_section("pool", before.pools, after.pools, _pool, _new_pool),
            *(line for name in _SECTIONS for line in _scopes(name, before, after)),
            *_callers(before, after),
            *_targets(before, after),
            *_providers(before, after),
            *_rest(before, after),
        )
    )


def _same(before: Routes, after: Routes) -> bool:
    """Whether two configurations of the same text also have the same secrets and looked-up prices."""
    return before.providers == after.providers and before.cards == after.cards and before.store == after.store


def _section(
    kind: str,
    before: Mapping[str, T],
    after: Mapping[str, T],
    compare: Callable[[T, T], Iterator[str]],
    added: Callable[[T], str],
) -> Iterator[str]:
    """Returns the lines for the added, removed and changed tables of one kind.

    `compare` describes the changes of one table, and `added` is the text after "added" for a new one.
    """
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        if new is None:
            yield f"{kind} {name}: removed"
        elif old is None:
            yield f"{kind} {name}: added{added(new)}"
        else:
            yield from (f"{kind} {name}: {line}" for line in compare(old, new))


# -- pools ------------------------------------------------------------------------------------


def _new_pool(pool: Pool) -> str:
    return f", serves {listed(pool.serves)} and prefers {listed(target.name for target in pool.prefer)}"


def _pool(old: Pool, new: Pool) -> Iterator[str]:
    for name in old.serves:
        if name not in new.serves:
            yield f"no longer serves {name}"
    for name in new.serves:
        if name not in old.serves:
            yield f"now serves {name}"
    yield from _preferred([target.name for target in old.prefer], [target.name for target in new.prefer])
    yield from _alternates(
        {alternate.target.name: alternate.causes for alternate in old.alternates},
        {alternate.target.name: alternate.causes for alternate in new.alternates},
    )
    shares = [
        "none" if canary is None else f"{canary.target.name} {canary.share:g}"
        for canary in (old.canary, new.canary)
    ]
    if shares[0] != shares[1]:
        yield moved("canary", *shares)
    yield from changed(old, new, ("serves", "prefer", "alternates", "canary"))


def _preferred(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    yield from (f"{name} is no longer preferred" for name in old if name not in new)
    yield from (f"{name} is now preferred" for name in new if name not in old)
    yield from _reordered("preferred targets", old, new)


def _alternates(old: Mapping[str, frozenset[str]], new: Mapping[str, frozenset[str]]) -> Iterator[str]:
    for name in dict.fromkeys((*old, *new)):
        was, now = old.get(name, frozenset()), new.get(name, frozenset())
        if now - was:
            yield f"{name} may now be asked for {listed(sorted(now - was))}"
        if was - now:
            yield f"{name} may no longer be asked for {listed(sorted(was - now))}"
    yield from _reordered("alternates", list(old), list(new))


def _reordered(what: str, old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """Returns a line if the names in both lists have a different order in `new`."""
    if [name for name in old if name in new] != [name for name in new if name in old]:
        yield f"order of {what} {', '.join(old)} -> {', '.join(new)}"


# -- callers ----------------------------------------------------------------------------------


def _scopes(section: str, before: Routes, after: Routes) -> Iterator[str]:
    """Returns the changes of the scopes' own fields. `_callers` has the effects on keys."""
    old: Mapping[str, Grants] = getattr(before, section)
    new: Mapping[str, Grants] = getattr(after, section)
    kind = section.removesuffix("s")

    def compare(was: Grants, now: Grants) -> Iterator[str]:
        touched = "" if isinstance(now, Key) else _touched(now, after)
        yield from (f"{line}{touched}" for line in _grants(was, now))

    yield from _section(kind, old, new, compare, _summary)


def _summary(scope: Grants) -> str:
    if not isinstance(scope, Key):
        return ""
    above = parent_of(scope)
    return "" if above is None else f", of {kind_of(above)} {above.name}"


def _grants(was: Grants, now: Grants) -> Iterator[str]:
    own = isinstance(now, Key)
    if isinstance(was, Key) and isinstance(now, Key) and was.hash != now.hash:
        yield "hash changed"
    for name in _GRANTED:
        rules = getattr(was, name), getattr(now, name)
        if not own and rules[0] != rules[1]:
            yield moved(name, *map(joined, rules))
    above = parent_of(was), parent_of(now)
    names = ["nobody" if parent is None else f"{kind_of(parent)} {parent.name}" for parent in above]
    if names[0] != names[1]:
        yield moved("belongs to", *names)
    yield from changed(was, now, (*_GRANTED, "hash", "user", "team", "organisation"))


def _touched(scope: Grants, routes: Routes) -> str:
    """Returns, in brackets, the keys of the file to which the rules of `scope` apply."""
    keys = [key.name for key in routes.keys.values() if any(ancestor == scope for ancestor in _chain(key))]
    return f" (key{'s' * (len(keys) > 1)} {listed(keys)})" if keys else " (no key of this file)"


def _callers(before: Routes, after: Routes) -> Iterator[str]:
    """Returns the changes in what keys may use by their chain of scopes, one line per distinct change."""
    added: dict[str, list[str]] = {}
    members = [
        {name: set(targets_of(pool)) for name, pool in routes.pools.items()} for routes in (before, after)
    ]
    for name, key in after.keys.items():
        old = before.keys.get(name)
        for line in () if old is None else _reach(_Reach.of(old, members[0]), _Reach.of(key, members[1])):
            added.setdefault(line, []).append(name)
    for line, names in added.items():
        yield f"key{'s' * (len(names) > 1)} {listed(names)}: {line}"


@dataclass(frozen=True, slots=True)
class _Reach:
    """Where the requests of a key may go, by all rules of its chain of scopes."""

    pools: dict[str, set[str]]
    """The names of the targets that the key may use, by pool."""
    regions: frozenset[str] | None
    providers: frozenset[str] | None
    members: Mapping[str, set[Target]]
    """All targets of every pool, independent of the key."""

    @classmethod
    def of(cls, key: Key, members: Mapping[str, set[Target]]) -> _Reach:
        chain = list(_chain(key))
        pools = _common([None if scope.pools and EVERY in scope.pools else scope.pools for scope in chain])
        regions = _common([scope.regions for scope in chain])
        providers = _common([scope.providers for scope in chain])
        reached = {
            name: {target.name for target in targets if _may_receive(target, regions, providers)}
            for name, targets in members.items()
            if pools is None or name in pools
        }
        return cls(reached, regions, providers, members)


def _reach(was: _Reach, now: _Reach) -> Iterator[str]:
    yield from (f"may no longer use pool {name}" for name in was.pools if name not in now.pools)
    yield from (f"may now use pool {name}" for name in now.pools if name not in was.pools)
    yield from _rule("region", was.regions, now.regions)
    yield from _rule("provider", was.providers, now.providers)
    for pool in now.pools:
        if pool not in was.pools:
            continue
        # Targets added to or removed from the pool affect all keys; they are reported with the pool.
        kept = {target.name for target in was.members[pool]} & {target.name for target in now.members[pool]}
        lost = (was.pools[pool] - now.pools[pool]) & kept
        gained = (now.pools[pool] - was.pools[pool]) & kept
        if lost:
            yield f"in pool {pool} its data may no longer go to {listed(sorted(lost))}"
        if gained:
            yield f"in pool {pool} its data may now go to {listed(sorted(gained))}"


def _rule(what: str, old: frozenset[str] | None, new: frozenset[str] | None) -> Iterator[str]:
    if old is None and new is not None:
        yield f"its data may now go to {what}s {joined(sorted(new))} only"
    elif new is None and old is not None:
        yield f"its data may now go to any {what} (before: {joined(sorted(old))})"
    elif old is not None and new is not None:
        yield from (f"loses {what} {name}" for name in sorted(old - new))
        yield from (f"gains {what} {name}" for name in sorted(new - old))


def _may_receive(target: Target, regions: frozenset[str] | None, providers: frozenset[str] | None) -> bool:
    provider = target.provider
    return (regions is None or provider.region in regions) and (
        providers is None or provider.name in providers
    )


def _chain(key: Key) -> Iterator[Grants]:
    """Returns the key and all of its ancestors."""
    scope: Grants | None = key
    while scope is not None:
        yield scope
        scope = parent_of(scope)


def _common(rules: Sequence[tuple[str, ...] | None]) -> frozenset[str] | None:
    """Returns the names that are in all rules. A rule of None allows all names, as does a result of None."""
    given = [frozenset(rule) for rule in rules if rule is not None]
    return given[0].intersection(*given[1:]) if given else None


# -- the rest ---------------------------------------------------------------------------------


def _targets(before: Routes, after: Routes) -> Iterator[str]:
    def compare(old: Target, new: Target) -> Iterator[str]:
        pools = [pool.name for pool in after.pools.values() if _has(pool, new.name)]
        touched = f" (pool{'s' * (len(pools) > 1)} {listed(pools)})" if pools else " (no pool)"
        if old.provider.name != new.provider.name:
            yield moved("provider", old.provider.name, f"{new.provider.name}{touched}")
        yield from (f"{line}{touched}" for line in changed(old, new, ("provider",)))

    def added(new: Target) -> str:
        return f", {new.model} at {new.provider.name}"

    yield from _section("target", before.targets, after.targets, compare, added)


def _has(pool: Pool, name: str) -> bool:
    return any(target.name == name for target in targets_of(pool))


def _providers(before: Routes, after: Routes) -> Iterator[str]:
    yield from _section(
        "provider",
        before.providers,
        after.providers,
        changed,
        lambda new: f", {new.dialect} at {new.base_url}",
    )


def _rest(before: Routes, after: Routes) -> Iterator[str]:
    if before.stack != after.stack:
        yield moved("stack:", *(", ".join(routes.stack) or "none" for routes in (before, after)))
    if before.store != after.store:
        addresses = shown(before.store), shown(after.store)
        same = addresses[0] == addresses[1]
        yield "store: its address changed" if same else moved("store:", *addresses)
    yield from _operations(before, after)
    for name in dict.fromkeys((*before.tables, *after.tables)):
        old, new = before.tables.get(name, {}), after.tables.get(name, {})
        for key in dict.fromkeys((*old, *new)):
            if old.get(key) == new.get(key):
                continue
            values = [_written(table.get(key)) for table in (old, new)]
            # The tables of custom middlewares may hold confidential values, so these are not shown.
            showable = name in {*BUILT_IN, "hygiene"} and None not in values
            yield moved(f"[{name}] {key}", *map(str, values)) if showable else f"[{name}] {key} changed"


def _operations(before: Routes, after: Routes) -> Iterator[str]:
    """Returns the changes of the tables for those who operate the gateway. URLs and tokens are not shown."""
    for name in ("admin", "alerts", "decisions"):
        old: Table | None = getattr(before, name)
        new: Table | None = getattr(after, name)
        if old is None or new is None:
            if old is not new:
                yield f"[{name}] {'added' if old is None else 'removed'}"
            continue
        for key in type(new).model_fields:
            if getattr(old, key) != getattr(new, key):
                yield f"[{name}] {key} changed"
    if before.admin != after.admin:
        yield "[admin] takes effect when the gateway is restarted"
    tables = before.tables.get("trace", {}), after.tables.get("trace", {})
    if "trace" in after.stack and any(tables[0].get(key) != tables[1].get(key) for key in _AT_START):
        yield "[trace] exports to where it did until the gateway is restarted"


def _written(value: object) -> str | None:
    """Returns a value of a table as text; None for references to secrets and for lists and tables."""
    if value is None:
        return "default"
    if isinstance(value, str) and value.startswith(("env:", "file:")):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else None
