"""The tables of `routes.toml`, which are also the objects the gateway works with.

    Pool --prefer, alternates--> Target --provider--> Provider

Names are resolved while a table is validated, so nothing later looks one up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    model_validator,
)

from .addresses import BaseURL, is_private, outgoing_headers
from .report import suggestion
from .secret import Secret
from .values import Duration, ImportString, KeyPath, ModelName, Name, Remark, Surroundings, objection, quoted

__all__ = ["Alternate", "Cause", "Dialect", "Pool", "Provider", "Table", "Target", "Timeouts"]

Dialect: TypeAlias = Literal["openai", "anthropic"]
"""The wire formats a provider may speak."""

Cause: TypeAlias = Literal["outage", "slow", "rate_limited", "context", "refused"]
"""Why a request may leave a pool's preferred targets."""


class Table(BaseModel):
    """A table that takes the keys it declares and no others, and never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)


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


def _named(kind: Literal["providers", "targets"]) -> BeforeValidator:
    """Turns the name of a provider or target into the object. Code that gives the object is left alone."""

    def resolve(value: object, info: ValidationInfo) -> object:
        around = info.context
        if not isinstance(around, Surroundings):
            return value
        what, known = kind[:-1], around.providers if kind == "providers" else around.targets
        if not isinstance(value, str):
            raise objection(Remark(f"must be the name of a {what}"))
        if value not in known:
            raise objection(Remark(f"there is no {what} {quoted(value)}", suggestion(value, known)))
        found = known[value]
        if found is None:
            raise objection()
        return found

    return BeforeValidator(resolve)


class Target(Table):
    """A model at a provider."""

    name: Name
    provider: Annotated[Provider, _named("providers")]
    model: ModelName
    """As the provider spells it."""
    context: Annotated[int, Field(gt=0)] | None = None
    """The most tokens the model takes, if known."""
    connections: Annotated[int, Field(ge=1, le=10_000)] = 100
    """The most requests under way at once."""

    def __hash__(self) -> int:
        return hash(self.name)


class Alternate(Table):
    """A target that a pool moves to for the named causes only."""

    target: Annotated[Target, _named("targets")]
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
    prefer: Annotated[tuple[Annotated[Target, _named("targets")], ...], Field(min_length=1)]
    """In this order."""
    alternates: tuple[Alternate, ...] = ()
    timeouts: Timeouts = Timeouts()

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
