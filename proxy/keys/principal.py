"""The authenticated caller and its permissions. No I/O.

A caller belongs to a chain of scopes: organisation, team, user and key. The rules of all scopes apply
together. So each rule is the intersection of the scopes' rules, and another scope can only restrict it.
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
    """A caller and all its scopes, widest first. The rules of all scopes apply together.

    `replaced` is when the presented key stops working because it was rotated, in seconds since 1970.
    """

    scopes: tuple[ScopeOf, ...]
    replaced: float | None = None
    pools: frozenset[str] | None = field(init=False)
    """The names of the granted pools; None for all."""
    regions: frozenset[str] | None = field(init=False)
    """The regions to which data may be sent; None for all."""
    providers: frozenset[str] | None = field(init=False)
    """The names of the providers to which data may be sent; None for all."""
    disabled: bool = field(init=False)
    """Whether any of the scopes is disabled."""
    expires: float | None = field(init=False)
    """When the key expires, in seconds since 1970; None for never."""
    may_end: bool = field(init=False)
    """Whether `ended` may return an error code, now or later."""
    _networks: tuple[tuple[Network, ...], ...] = field(init=False)
    """The allowed client networks of each scope that restricts them."""

    def __post_init__(self) -> None:
        chain = [scope.grants for scope in self.scopes]
        pools = _common(None if grants.pools and EVERY in grants.pools else grants.pools for grants in chain)
        ends = [
            grants.expires.timestamp()
            for grants in chain
            if isinstance(grants, Key) and grants.expires is not None
        ]
        expires, disabled = min(ends, default=None), any(grants.disabled for grants in chain)
        for name, value in (
            ("pools", pools),
            ("regions", _common(grants.regions for grants in chain)),
            ("providers", _common(grants.providers for grants in chain)),
            ("disabled", disabled),
            ("expires", expires),
            ("may_end", disabled or expires is not None or self.replaced is not None),
            ("_networks", tuple(grants.ips for grants in chain if grants.ips is not None)),
        ):
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, scope: Grants, replaced: float | None = None) -> Principal:
        """Returns the caller whose narrowest scope is `scope`."""
        chain: list[ScopeOf] = []
        current: Grants | None = scope
        while current is not None:
            chain.append(ScopeOf(kind_of(current), current))
            current = parent_of(current)
        return cls(tuple(reversed(chain)), replaced)

    def name(self, kind: ScopeKind) -> str | None:
        """Returns the name of the scope of this kind, or None."""
        for scope in self.scopes:
            if scope.kind == kind:
                return scope.grants.name
        return None

    def ended(self, now: float) -> str | None:
        """Returns the error code if the key no longer works at `now` (seconds since 1970), otherwise None."""
        if self.disabled:
            return "api_key_disabled"
        if self.replaced is not None and now >= self.replaced:
            return "api_key_revoked"
        return "api_key_expired" if self.expires is not None and now >= self.expires else None

    def comes_from(self, client: str | None) -> bool:
        """Whether every scope allows callers from the IP address `client`."""
        if not self._networks:
            return True
        try:
            address = ip_address(client or "")
        except ValueError:
            return False  # a Unix socket or an unknown address is in no network
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # a dual-stack socket reports IPv4 clients as mapped addresses
        return all(any(address in network for network in networks) for networks in self._networks)

    def grants(self, pool: str) -> bool:
        """Whether every scope grants access to the pool of this name."""
        return self.pools is None or pool in self.pools

    def objection(self, target: Target) -> str | None:
        """Returns the reason code if data must not be sent to `target`, otherwise None."""
        if self.providers is None and self.regions is None:
            return None
        provider = target.provider
        if self.providers is not None and provider.name not in self.providers:
            return "policy.provider_denied"
        if self.regions is not None and provider.region not in self.regions:
            return "policy.residency"
        return None

    def lacks(self, pool: Pool) -> str | None:
        """Returns the error code if no target of the granted `pool` may be used, otherwise None."""
        if self.providers is None and self.regions is None:
            return None
        objections = {self.objection(target) for target in targets_of(pool)}
        if None in objections:
            return None
        return "region_not_allowed" if "policy.residency" in objections else "provider_not_allowed"


def _common(rules: Iterable[tuple[str, ...] | None]) -> frozenset[str] | None:
    """Returns the intersection of all rules. A rule of None allows everything."""
    common: frozenset[str] | None = None
    for rule in rules:
        if rule is not None:
            common = frozenset(rule) if common is None else common.intersection(rule)
    return common
