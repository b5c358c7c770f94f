"""The tables of `routes.toml`, which are also the objects the gateway works with.

    Pool --prefer, alternates--> Target --provider--> Provider

Names are resolved while a table is validated, so nothing later looks one up.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self, TypeAlias, cast, get_args

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, model_validator

from .addresses import BaseURL, is_private, outgoing_headers
from .limits import Limits, Window
from .price import Price
from .references import named
from .secret import Secret
from .table import Table
from .values import Duration, ImportString, KeyPath, ModelName, Name, Remark, objection, quoted

__all__ = [
    "Alternate",
    "Cause",
    "Dialect",
    "Order",
    "Pool",
    "Provider",
    "Target",
    "Timeouts",
    "Unpriced",
    "targets_of",
]

_SHARE: Final = re.compile(r"[01](?:\.[0-9]{1,6})?")

Dialect: TypeAlias = Literal["openai", "anthropic"]
"""The wire formats a provider may speak."""

Cause: TypeAlias = Literal["outage", "slow", "rate_limited", "context", "refused", "budget"]
"""Why a request may leave a pool's preferred targets."""


Order: TypeAlias = Literal["cheapest"]
"""How the targets of a pool may be ordered once its budget runs low."""

Unpriced: TypeAlias = Literal["refuse", "allow"]
"""What becomes of a target without a price where money is counted: the file does not load, or it counts 0."""


def _shares(value: object) -> object:
    """The table as it was meant: TOML reads a bare 0.8 as the key 8 in the table 0."""
    if not isinstance(value, dict):
        if isinstance(value, Mapping):  # given by code
            return cast("Mapping[float, Order]", value)
        raise objection(Remark("must be a table", 'write { "0.8" = "cheapest" }'))
    flat: dict[str, object] = {}
    for key, inside in cast("dict[object, object]", value).items():
        if isinstance(inside, dict):
            inner = cast("dict[object, object]", inside)
            flat |= {f"{key}.{rest}": order for rest, order in inner.items()}
        else:
            flat[str(key)] = inside
    found: dict[float, object] = {}
    remarks: list[Remark] = []
    for written, order in flat.items():
        share = float(written) if _SHARE.fullmatch(written) else 0.0
        if not 0 < share <= 1:
            remarks.append(Remark(f"{quoted(written)} is not a share", 'write { "0.8" = "cheapest" }'))
        elif order not in get_args(Order):
            remarks.append(Remark(f"must be one of {', '.join(map(quoted, get_args(Order)))}"))
        found[share] = order
    if remarks:
        raise objection(*remarks)
    return MappingProxyType(dict(sorted(found.items())))


AtBudget: TypeAlias = Annotated[Mapping[float, Order], PlainValidator(_shares), PlainSerializer(dict)]


class Timeouts(Table):
    """The limits of one attempt, in seconds. All attempts together have Failover's `deadline`."""

    connect: Duration = 3.0
    """Until a connection stands, TLS included."""
    first_token: Duration = 15.0
    """Until the first content of a streamed answer."""
    answer: Duration = 60.0
    """Until an answer that is not streamed begins. Follows `first_token` when only that is given."""
    stall: Duration = 30.0
    """The longest silence once an answer has begun."""
    total: Duration = 240.0
    """For the whole answer."""

    @model_validator(mode="after")
    def _answer_follows_first_token(self) -> Self:
        given = self.model_fields_set
        if "first_token" in given and "answer" not in given:
            object.__setattr__(self, "answer", self.first_token)
        return self


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
    budget: tuple[Window, ...] = ()

    def __hash__(self) -> int:
        return hash(self.name)


class Alternate(Table):
    """A target that a pool moves to for the named causes only."""

    target: Annotated[Target, named("targets")]
    causes: Annotated[frozenset[Cause], Field(min_length=1, validation_alias="for")]

    def __hash__(self) -> int:
        return hash((self.target, self.causes))


def _own_name(data: dict[str, Any]) -> tuple[str, ...]:
    return (data["name"],)


class Pool(Table):
    """The targets fit for one workload."""

    name: Name
    serves: Annotated[tuple[ModelName, ...], Field(min_length=1)] = Field(default_factory=_own_name)
    """The names applications send as `model`."""
    prefer: Annotated[tuple[Annotated[Target, named("targets")], ...], Field(min_length=1)]
    """In this order."""
    alternates: tuple[Alternate, ...] = ()
    timeouts: Timeouts = Timeouts()
    max_output: Annotated[int, Field(gt=0)] | None = None
    """The most tokens of output for one request; said to the provider when the caller sets no limit."""
    limits: Limits = Limits()
    budget: tuple[Window, ...] = ()
    at_budget: AtBudget = Field(default_factory=lambda: MappingProxyType[float, Order]({}))
    """From which share of the fullest budget on, how targets are ordered."""
    unpriced: Unpriced = "refuse"

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def dialect(self) -> Dialect:
        """The one dialect that all its targets speak."""
        return self.prefer[0].provider.dialect

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        places: list[tuple[KeyPath, Target]]
        places = [(("prefer", i), target) for i, target in enumerate(self.prefer)]
        places += [(("alternates", i, "target"), other.target) for i, other in enumerate(self.alternates)]
        spoken = Counter(target.provider.dialect for _, target in places)
        common = max(spoken, key=lambda dialect: spoken[dialect])  # the first of the pool wins a draw
        remarks: list[Remark] = []
        names: set[str] = set()
        for at, target in places:
            dialect = target.provider.dialect
            if dialect != common:
                message = f"target {quoted(target.name)} speaks {dialect}, the rest of the pool {common}"
                remarks.append(Remark(message, "a pool speaks one dialect: make another pool", at))
            if target.name in names:
                message = f"target {quoted(target.name)} is in this pool already"
                remarks.append(Remark(message, "name each target once", at))
            names.add(target.name)
        remarks += [
            Remark(f"{quoted(name)} is served by this pool already", at=("serves", i))
            for i, name in enumerate(self.serves)
            if name in self.serves[:i]
        ]
        if remarks:
            raise objection(*remarks)
        return self


def targets_of(pool: Pool) -> tuple[Target, ...]:
    """All targets of a pool, preferred ones first."""
    return (*pool.prefer, *(alternate.target for alternate in pool.alternates))
