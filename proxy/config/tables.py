"""The tables of `routes.toml` that say who can be asked, which are also the objects the gateway works with.

    Target --provider--> Provider

Names are resolved while a table is validated, so nothing later looks one up.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, PlainSerializer, model_validator

from .addresses import BaseURL, is_private, outgoing_headers
from .limits import BudgetWindow, Limits
from .price import Price
from .references import named
from .routing import OPERATIONS, Capability, Probe
from .secret import Secret
from .table import Table
from .values import ImportString, ModelName, Name, Remark, objection, quoted

__all__ = ["Dialect", "Provider", "Target", "Unpriced"]

Dialect: TypeAlias = Literal["openai", "anthropic"]
"""The wire formats a provider may speak."""

Unpriced: TypeAlias = Literal["refuse", "allow"]
"""What becomes of a target without a price where money is counted: the file does not load, or it counts 0."""

_EVERY_OPERATION: Final = frozenset[Capability]().union(*OPERATIONS.values())


def _own_name(data: dict[str, Any]) -> str:
    return str(data.get("name", ""))  # one that is not valid is told elsewhere


class Provider(Table):
    """An account at a vendor."""

    name: Name
    dialect: Dialect
    base_url: BaseURL
    """Without a slash at its end. Plain http needs a loopback host, or `insecure`."""
    key: Secret | None = None
    region: Name | None = None
    headers: Annotated[Mapping[str, str], AfterValidator(outgoing_headers), PlainSerializer(dict)] = Field(
        default_factory=lambda: MappingProxyType[str, str]({})
    )
    """Sent with every request besides the gateway's own; names in lower case."""
    transport: ImportString | None = None
    """What makes the `httpx2.AsyncBaseTransport` for this provider, if not the gateway's own."""
    insecure: bool = False
    """Allow plain http to a host that is not loopback."""
    signature_domain: Name = Field(default_factory=_own_name)
    """Where reasoning that one target signed can be read by another: providers with the same word here."""

    def __hash__(self) -> int:
        return hash(self.name)

    @model_validator(mode="after")
    def _is_private(self) -> Self:
        if not self.insecure and not is_private(self.base_url):
            hint = "use https, or set insecure = true if the network between is yours"
            message = "plain http would show keys and prompts to the network"
            raise objection(Remark(message, hint, at=("base_url",)))
        return self


class Target(Table):
    """A model at a provider."""

    name: Name
    provider: Annotated[Provider, named("providers")]
    model: ModelName
    """As the provider spells it."""
    disabled: bool = False
    """Not asked, by anybody."""
    can: frozenset[Capability] | None = None
    """What it is able to do, its operations included; else everything."""
    quality: Annotated[int, Field(ge=0, le=1000)] | None = None
    """How good its answers are, for `min_quality` of pools; the higher the better."""
    weight: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Its share of the traffic where load is spread, relative to the others' weights."""
    context: Annotated[int, Field(gt=0)] | None = None
    """The most tokens the model takes, if known."""
    connections: Annotated[int, Field(ge=1, le=10_000)] = 100
    """The most requests under way at once."""
    max_output: Annotated[int, Field(gt=0)] | None = None
    """The most tokens of output it ever gives to one request, if known."""
    price: Price | None = None
    unpriced: Unpriced = "refuse"
    served_as: tuple[ModelName, ...] = ()
    """Names the provider may give for it, besides `model` and its dated snapshots; `*` and `?` are wild."""
    limits: Limits = Limits()
    budget: tuple[BudgetWindow, ...] = ()
    probe: Probe | None = None
    """What to ask while it rests, to see whether it can be reached again."""

    def __hash__(self) -> int:
        return hash(self.name)

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
