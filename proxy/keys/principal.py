"""Who calls, and what they may use. No I/O.

A caller belongs to a chain of scopes, organisation, team, user, key, and the rules of all of them hold at
once. So each rule is the intersection of what the scopes say, and adding a scope can only take away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from ..config import EVERY, Grants, Key, Pool, ScopeKind, Target, kind_of, parent_of, targets_of
from ..config.scopes import Network

__all__ = ["Principal", "ScopeKind", "ScopeOf"]


class ScopeOf(NamedTuple):
    """One scope that a caller belongs to."""

    kind: ScopeKind
    grants: Grants


@dataclass(frozen=True, slots=True, eq=False)
class Principal:
    """A caller and every scope it belongs to, widest first. All of their rules hold at once.

    `replaced` is when the key that was shown stops working because a newer one took its place, in seconds
    since 1970.
    """

    scopes: tuple[ScopeOf, ...]
    replaced: float | None = None
    pools: frozenset[str] | None = field(init=False)
    """The pools granted; None for all."""
    regions: frozenset[str] | None = field(init=False)
    """The regions that data may go to; None for all."""
    providers: frozenset[str] | None = field(init=False)
    """The providers that data may go to; None for all."""
    disabled: bool = field(init=False)
    expires: float | None = field(init=False)
    """When the key ends, in seconds since 1970."""
    _networks: tuple[tuple[Network, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        chain = [scope.grants for scope in self.scopes]
        pools = _common(None if each.pools and EVERY in each.pools else each.pools for each in chain)
        ends = [
            each.expires.timestamp() for each in chain if isinstance(each, Key) and each.expires is not None
        ]
        for name, value in (
            ("pools", pools),
            ("regions", _common(each.regions for each in chain)),
            ("providers", _common(each.providers for each in chain)),
            ("disabled", any(each.disabled for each in chain)),
            ("expires", min(ends, default=None)),
            ("_networks", tuple(each.ips for each in chain if each.ips is not None)),
        ):
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, scope: Grants, replaced: float | None = None) -> Principal:
        """The caller whose nearest scope is `scope`."""
        chain: list[ScopeOf] = []
        each: Grants | None = scope
        while each is not None:
            chain.append(ScopeOf(kind_of(each), each))
            each = parent_of(each)
        return cls(tuple(reversed(chain)), replaced)

    def name(self, kind: ScopeKind) -> str | None:
        """The name of the scope of this kind, or None."""
        for scope in self.scopes:
            if scope.kind == kind:
                return scope.grants.name
        return None

    def ended(self, now: float) -> str | None:
        """The error code of a key that does not work any more at `now`, or None."""
        if self.disabled or (self.replaced is not None and now >= self.replaced):
            return "api_key_revoked"
        return "api_key_expired" if self.expires is not None and now >= self.expires else None

    def comes_from(self, client: str | None) -> bool:
        """Whether every scope takes callers from the address `client`."""
        if not self._networks:
            return True
        try:
            address = ip_address(client or "")
        except ValueError:
            return False  # a socket file, or nothing: no network holds it
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # how a socket for both kinds spells IPv4
        return all(any(address in network for network in networks) for networks in self._networks)

    def grants(self, pool: str) -> bool:
        """Whether every scope grants the pool of this name."""
        return self.pools is None or pool in self.pools

    def objection(self, target: Target) -> str | None:
        """Why no data may go to `target`: the reason code, or None if it may."""
        provider = target.provider
        if self.providers is not None and provider.name not in self.providers:
            return "policy.provider_denied"
        if self.regions is not None and provider.region not in self.regions:
            return "policy.residency"
        return None

    def lacks(self, pool: Pool) -> str | None:
        """The error code where no target of `pool`, which is granted, could ever be used, or None."""
        objections = {self.objection(target) for target in targets_of(pool)}
        if None in objections:
            return None
        return "region_not_allowed" if "policy.residency" in objections else "provider_not_allowed"


def _common(rules: Iterable[tuple[str, ...] | None]) -> frozenset[str] | None:
    """What all rules name; a rule of None names everything."""
    common: frozenset[str] | None = None
    for rule in rules:
        if rule is not None:
            common = frozenset(rule) if common is None else common.intersection(rule)
    return common
