"""The provider and target tables of `routes.toml`. The gateway uses these objects at run time too.

    Target --provider--> Provider

References by name are resolved to objects during validation, so there are no lookups later.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, PlainSerializer, model_validator

from ..dialects.vendors import VENDORS, Vendor, vendor_at
from .addresses import BaseURL, is_private, outgoing_headers, outgoing_query
from .authorities import Authorities
from .forward_proxy import ForwardProxy
from .limits import BudgetWindow, Limits
from .price import Price
from .references import named
from .routing import OPERATIONS, Capability, Probe
from .secret import Secret
from .table import Table
from .values import ImportString, ModelName, Name, Remark, objection, quoted

__all__ = ["Dialect", "Provider", "Target", "Unpriced"]

Dialect: TypeAlias = Literal["openai", "anthropic"]
"""The dialects of providers: families of wire formats."""

Unpriced: TypeAlias = Literal["refuse", "allow"]
"""How to treat a target without a price where a budget counts money: `refuse` to load the file, or `allow`
the target at a cost of 0."""

Scheme: TypeAlias = Literal["bearer", "x-api-key", "api-key"]
"""The headers in which a provider may expect its key."""

_EVERY_OPERATION: Final = frozenset[Capability]().union(*OPERATIONS.values())


def _known_vendor(value: str) -> str:
    if value not in VENDORS:
        meant = get_close_matches(value, VENDORS, 1)
        hint = f"did you mean {quoted(meant[0])}?" if meant else f"one of {', '.join(VENDORS)}"
        raise objection(Remark(f"there is no vendor {quoted(value)}", hint))
    return value


def _own_name(data: dict[str, Any]) -> str:
    return str(data.get("name", ""))  # an invalid name is reported elsewhere


class Provider(Table):
    """An account at a vendor."""

    name: Name
    dialect: Dialect
    base_url: BaseURL
    """Without a trailing slash. Plain http requires a loopback host or `insecure`. `{model}` in its path
    stands for the target's model, as in the URLs of Azure's deployments."""
    key: Secret | None = None
    auth: Scheme | None = None
    """How `key` is sent: as `Authorization: Bearer`, or in the header of that name. Defaults to the vendor's
    way, or the dialect's."""
    vendor: Annotated[str, AfterValidator(_known_vendor)] | None = None
    """The row of `dialects/vendors.py` that says how its API differs. By default it is found by the host."""
    query: Annotated[Mapping[str, str], AfterValidator(outgoing_query), PlainSerializer(dict)] = Field(
        default_factory=lambda: MappingProxyType[str, str]({})
    )
    """Parameters that are added to the URL of every request, such as Azure's `api-version`."""
    region: Name | None = None
    trust: Name | None = None
    """How far it is trusted with data, in words of the operator's. Only guardrails read it."""
    headers: Annotated[Mapping[str, str], AfterValidator(outgoing_headers), PlainSerializer(dict)] = Field(
        default_factory=lambda: MappingProxyType[str, str]({})
    )
    """Static headers, sent with every request in addition to the gateway's own. Names are in lower case."""
    transport: ImportString | None = None
    """The factory of the `httpx2.AsyncBaseTransport` for this provider. By default the gateway's own."""
    insecure: bool = False
    """Allow plain http to a host that is not loopback."""
    proxy: ForwardProxy | None = None
    """The forward proxy to it. By default the one of the environment: `HTTPS_PROXY`, `NO_PROXY`."""
    ca: Authorities | None = None
    """The authorities trusted for its certificate, instead of those of the environment or the system."""
    signature_domain: Name = Field(default_factory=_own_name)
    """Providers with the same value here can verify each other's signed reasoning. Defaults to `name`."""

    def __hash__(self) -> int:
        return hash(self.name)

    @cached_property
    def known_as(self) -> Vendor | None:
        """The vendor that it is an account at, None if it is none of the table."""
        return vendor_at(self.base_url) if self.vendor is None else VENDORS[self.vendor]

    @cached_property
    def adapted_for(self) -> Vendor | None:
        """The vendor, if it does not take every chat request that OpenAI takes."""
        vendor = self.known_as
        return vendor if vendor is not None and vendor.adapts else None

    @model_validator(mode="after")
    def _is_private(self) -> Self:
        if not self.insecure and not is_private(self.base_url):
            hint = "use https, or set insecure = true if the network between is yours"
            message = "plain http would show keys and prompts to the network"
            raise objection(Remark(message, hint, at=("base_url",)))
        if not self.insecure and self.proxy is not None and self.base_url.startswith("http:"):
            hint = "use https, or set insecure = true if the network between is yours"
            raise objection(Remark("plain http would show keys and prompts to it", hint, at=("proxy",)))
        return self


class Target(Table):
    """A model at a provider."""

    name: Name
    provider: Annotated[Provider, named("providers")]
    model: ModelName
    """The provider's name for the model."""
    disabled: bool = False
    """Whether the target is never used."""
    can: frozenset[Capability] | None = None
    """Its capabilities, including its operations. None means all."""
    quality: Annotated[int, Field(ge=0, le=1000)] | None = None
    """The quality of its answers, for `min_quality` of pools. Higher is better."""
    weight: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Its share of the load, relative to the weights of the other targets."""
    context: Annotated[int, Field(gt=0)] | None = None
    """The model's context window in tokens, if known."""
    connections: Annotated[int, Field(ge=1, le=10_000)] = 100
    """The most concurrent requests."""
    max_output: Annotated[int, Field(gt=0)] | None = None
    """The most output tokens that it generates for one request, if known."""
    price: Price | None = None
    unpriced: Unpriced = "refuse"
    served_as: tuple[ModelName, ...] = ()
    """Names that the provider may report for it, besides `model` and its dated snapshots. `*` and `?` are
    wildcards."""
    limits: Limits = Limits()
    budget: tuple[BudgetWindow, ...] = ()
    probe: Probe | None = None
    """How to check during a cooldown whether the target can be reached again."""
    propagate: bool = False
    """Whether the target receives the trace context of the request, so that its own spans join the trace."""

    def __hash__(self) -> int:
        return hash(self.name)

    @cached_property
    def operations(self) -> frozenset[str]:
        """The operations that it is asked for: those in `can`, or else those of its vendor or dialect."""
        dialect, vendor = self.provider.dialect, self.provider.known_as
        if self.can is not None:
            return frozenset[str](self.can & OPERATIONS[dialect])
        return (vendor and vendor.operations(dialect)) or frozenset[str](OPERATIONS[dialect])

    @model_validator(mode="after")
    def _can_do_something(self) -> Self:
        if self.can is None:
            return self
        dialect = self.provider.dialect
        own = OPERATIONS[dialect]
        foreign = sorted(self.can & _EVERY_OPERATION - own)
        if foreign:
            message = f"{quoted(self.provider.name)} speaks {dialect}, which has no {foreign[0]}"
            raise objection(Remark(message, f"it has {', '.join(sorted(own))}", at=("can",)))
        if own.isdisjoint(self.can):
            raise objection(Remark("names no operation", f"add one of {', '.join(sorted(own))}", at=("can",)))
        return self
