"""The scope tables of `routes.toml`: organisations, teams, users, and their keys.

    Key --user, team or organisation--> User --team or organisation--> Team --organisation--> Organisation

A scope names only its nearest parent, so each scope has one chain of ancestors. The rules of all scopes in
the chain apply together: a team cannot grant what its organisation does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self, TypeAlias, cast

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, model_validator

from .limits import BudgetWindow, Limits
from .references import among, named
from .table import Table
from .values import Moment, Name, Remark, objection

__all__ = [
    "EVERY",
    "Grants",
    "Key",
    "KeyHash",
    "Network",
    "Organisation",
    "ScopeKind",
    "Team",
    "User",
    "kind_of",
    "parent_of",
]

EVERY: Final = "*"
"""In `pools`: all pools, including pools that are added later."""

_HASH: Final = re.compile(r"(?:hmac-)?sha256:[0-9a-f]{64}")


def _network(value: object) -> IPv4Network | IPv6Network:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        network = ip_network(value if isinstance(value, str) else "")
    except ValueError:
        raise objection(Remark("not an address or network", 'write "10.0.0.0/8" or "192.0.2.7"')) from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is not None:
        hint = f'write "{mapped}"' if network.prefixlen == 128 else 'write it as "10.0.0.0/8"'
        raise objection(Remark("an IPv4 network in the form of IPv6 never matches", hint))
    return network


def _hash(value: str) -> str:
    if _HASH.fullmatch(value) is None:
        hint = 'make one with "standby keys create"; a key itself is never written down'
        raise objection(Remark("not the hash of a key", hint))
    return value


def _listed(value: object) -> object:
    """Accepts a single hash as a list of one. Returns a tuple, since strict validation requires it here."""
    if isinstance(value, list):
        return tuple(cast("list[object]", value))
    return (value,) if isinstance(value, str) else value


Network: TypeAlias = Annotated[IPv4Network | IPv6Network, PlainValidator(_network), PlainSerializer(str)]
KeyHash: TypeAlias = Annotated[str, AfterValidator(_hash)]
"""`"sha256:"`, or `"hmac-sha256:"` if Auth has a pepper, followed by 64 hex digits."""

_Pools: TypeAlias = Annotated[tuple[Annotated[str, among("pools", EVERY)], ...], Field(min_length=1)]


ScopeKind: TypeAlias = Literal["organisation", "team", "user", "key"]
"""The kinds of scope, widest first."""


class Grants(Table):
    """What a scope may use, and how much. A field that is not set adds no restriction."""

    name: Name
    pools: _Pools | None = None
    """The granted pools; `"*"` for all."""
    regions: Annotated[tuple[Annotated[Name, among("regions")], ...], Field(min_length=1)] | None = None
    """The regions to which data may be sent. A provider without a region is in none of them."""
    providers: Annotated[tuple[Annotated[Name, among("providers")], ...], Field(min_length=1)] | None = None
    """The providers to which data may be sent."""
    ips: Annotated[tuple[Network, ...], Field(min_length=1)] | None = None
    """The networks from which callers may connect."""
    disabled: bool = False
    metadata: Annotated[Mapping[str, str], PlainSerializer(dict)] = Field(
        default_factory=lambda: MappingProxyType[str, str]({})
    )
    """For the operator's own use; the gateway does not read it."""
    limits: Limits = Limits()
    budget: tuple[BudgetWindow, ...] = ()

    def __hash__(self) -> int:
        return hash((type(self), self.name))


class Organisation(Grants):
    """The widest scope."""


class Team(Grants):
    """A part of an organisation."""

    organisation: Annotated[Organisation, named("organisations")] | None = None


class User(Grants):
    """A person, or a service."""

    team: Annotated[Team, named("teams")] | None = None
    organisation: Annotated[Organisation, named("organisations")] | None = None

    @model_validator(mode="after")
    def _has_one_parent(self) -> Self:
        _check_parent(self, ("team", "organisation"))
        return self


class Key(Grants):
    """A virtual key, with which a caller authenticates. Unlike other scopes, it must name its pools."""

    hash: Annotated[tuple[KeyHash, ...], BeforeValidator(_listed), Field(min_length=1)]
    """The hash of the key. There are several hashes while the key is being rotated."""
    expires: Moment | None = None
    user: Annotated[User, named("users")] | None = None
    team: Annotated[Team, named("teams")] | None = None
    organisation: Annotated[Organisation, named("organisations")] | None = None

    @model_validator(mode="after")
    def _has_one_parent(self) -> Self:
        _check_parent(self, ("user", "team", "organisation"))
        return self

    @model_validator(mode="after")
    def _names_its_pools(self) -> Self:
        if self.pools is None:
            raise objection(Remark("required, but not given", 'write ["*"] for all', at=("pools",)))
        return self


def kind_of(scope: Grants) -> ScopeKind:
    """Returns the kind of a scope."""
    return _KINDS[type(scope)]


def parent_of(scope: Grants) -> Grants | None:
    """Returns the nearest parent of a scope, or None if it has none."""
    for kind in ("user", "team", "organisation"):
        parent: Grants | None = getattr(scope, kind, None)
        if parent is not None:
            return parent
    return None


_KINDS: Final = MappingProxyType[type[Grants], ScopeKind](
    {Organisation: "organisation", Team: "team", User: "user", Key: "key"}
)


def _check_parent(scope: Grants, kinds: tuple[str, ...]) -> None:
    """Raises an error if a scope names several parents, since these could contradict each other."""
    given = [kind for kind in kinds if getattr(scope, kind) is not None]
    remarks = [
        Remark(f"a scope names its nearest parent alone, and {given[0]} is given", "leave it out", at=(kind,))
        for kind in given[1:]
    ]
    if remarks:
        raise objection(*remarks)
