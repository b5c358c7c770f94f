"""The pool tables of `routes.toml`: the targets for one workload, and the conditions for using each.

Pool --prefer, alternates, canary--> Target
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any, Final, Self, TypeAlias, cast, get_args

from pydantic import Field, PlainSerializer, PlainValidator, model_validator

from .limits import BudgetWindow, Limits
from .references import named
from .routing import (
    CARRIED,
    Balance,
    Capability,
    Cause,
    DegradeOn,
    Hedge,
    OnBreak,
    Order,
    ReasoningState,
    Share,
    Slow,
    Sticky,
    WhenExhausted,
)
from .table import Table
from .tables import Dialect, Target, Unpriced
from .values import Duration, KeyPath, ModelName, Name, Remark, objection, quoted

__all__ = ["Alternate", "Pool", "Portion", "Timeouts", "targets_of"]

_NOTHING: Final = frozenset[str]()
_SHARE: Final = re.compile(r"[01](?:\.[0-9]{1,6})?")


def _shares(value: object) -> object:
    """Validates a table of orders by share. Accepts a bare 0.8, which TOML parses as key 8 of table 0."""
    if not isinstance(value, dict):
        if isinstance(value, Mapping):  # from code, not from a file
            return cast("Mapping[float, Order]", value)
        raise objection(Remark("must be a table", 'write { "0.8" = "cheapest" }'))
    flat: dict[str, object] = {}
    for key, item in cast("dict[object, object]", value).items():
        if isinstance(item, dict):
            inner = cast("dict[object, object]", item)
            flat |= {f"{key}.{rest}": order for rest, order in inner.items()}
        else:
            flat[str(key)] = item
    shares: dict[float, object] = {}
    remarks: list[Remark] = []
    for written, order in flat.items():
        share = float(written) if _SHARE.fullmatch(written) else 0.0
        if not 0 < share <= 1:
            remarks.append(Remark(f"{quoted(written)} is not a share", 'write { "0.8" = "cheapest" }'))
        elif order not in get_args(Order):
            remarks.append(Remark(f"must be one of {', '.join(map(quoted, get_args(Order)))}"))
        shares[share] = order
    if remarks:
        raise objection(*remarks)
    return MappingProxyType(dict(sorted(shares.items())))


AtBudget: TypeAlias = Annotated[Mapping[float, Order], PlainValidator(_shares), PlainSerializer(dict)]


class Timeouts(Table):
    """The timeouts of one attempt, in seconds. Failover's `deadline` limits all attempts together."""

    connect: Duration = 3.0
    """Until the connection is established, including TLS."""
    first_token: Duration = 15.0
    """Until the first content of a streamed answer."""
    answer: Duration = 60.0
    """Until an answer that is not streamed begins. Defaults to `first_token` if that is given."""
    stall: Duration = 30.0
    """The longest time without progress after the answer has begun."""
    total: Duration = 240.0
    """Until the end of the answer."""

    @model_validator(mode="after")
    def _answer_follows_first_token(self) -> Self:
        given = self.model_fields_set
        if "first_token" in given and "answer" not in given:
            object.__setattr__(self, "answer", self.first_token)
        return self


class Alternate(Table):
    """A fallback target of a pool, used for the given causes only."""

    target: Annotated[Target, named("targets")]
    causes: Annotated[frozenset[Cause], Field(min_length=1, validation_alias="for")]

    def __hash__(self) -> int:
        return hash((self.target, self.causes))


def _own_names(data: dict[str, Any]) -> tuple[str, ...]:
    return (data["name"],)


class Portion(Table):
    """A target that receives a share of a pool's callers."""

    target: Annotated[Target, named("targets")]
    share: Share
    """The share of the callers. The selection is stable: the same caller is always in it or never."""

    def __hash__(self) -> int:
        return hash((self.target, self.share))


class Pool(Table):
    """The targets for one workload, and the rules for routing between them."""

    name: Name
    serves: Annotated[tuple[ModelName, ...], Field(min_length=1)] = Field(default_factory=_own_names)
    """The names that applications send as `model`."""
    prefer: Annotated[tuple[Annotated[Target, named("targets")], ...], Field(min_length=1)]
    """The preferred targets. The load is distributed over them according to `balance`."""
    balance: Balance = "priority"
    """How the load is distributed. `priority` uses the order of `prefer`."""
    sticky: Sticky | None = None
    """The attribute of a request by which it stays at one preferred target while that is healthy."""
    alternates: tuple[Alternate, ...] = ()
    """Fallback targets, tried in this order, each for its causes only."""
    requires: frozenset[Capability] = frozenset()
    """The capabilities that every target of the pool must have."""
    min_quality: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Targets with a lower `quality` are not used, or only as a last resort, depending on
    `when_exhausted`."""
    max_price_ratio: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Targets at which a request costs more than this many times its cost at the first preferred are not
    used."""
    when_exhausted: WhenExhausted = "refuse"
    """Whether targets below `min_quality` are used when all others are unavailable or have failed: `refuse`
    never uses them, `degrade` does."""
    slow: Slow | None = None
    """The latency from which a target is degraded. It is then tried after the others, and after the
    alternates for the cause "slow"."""
    degrade_on: DegradeOn | None = None
    """The share of bad answers from which a target is degraded, with the same effect as `slow`."""
    canary: Portion | None = None
    """A new target that is tried first for a share of the callers."""
    hedge: Hedge | None = None
    on_break: OnBreak = "terminate"
    reasoning_state: ReasoningState = "keep"
    strict: bool = False
    """Whether a request is only translated for a target of another dialect if nothing of it is left out."""
    timeouts: Timeouts = Timeouts()
    max_output: Annotated[int, Field(gt=0)] | None = None
    """The most output tokens of one request. Sent to the provider if the caller sets no limit."""
    limits: Limits = Limits()
    budget: tuple[BudgetWindow, ...] = ()
    at_budget: AtBudget = Field(default_factory=lambda: MappingProxyType[float, Order]({}))
    """The order of the targets by budget use: each order applies from its share of the most used budget
    on."""
    unpriced: Unpriced = "refuse"

    def __hash__(self) -> int:
        return hash(self.name)

    @cached_property
    def dialects(self) -> tuple[Dialect, ...]:
        """The dialects of its targets, that of the first one first. Callers may use any of them."""
        return tuple(dict.fromkeys(target.provider.dialect for target in targets_of(self)))

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        places: list[tuple[KeyPath, Target]]
        places = [(("prefer", i), target) for i, target in enumerate(self.prefer)]
        places += [(("alternates", i, "target"), other.target) for i, other in enumerate(self.alternates)]
        if self.canary is not None:
            places.append((("canary", "target"), self.canary.target))
        remarks = [
            *self._named_once(places),
            *self._fit(places),
        ]
        if remarks:
            raise objection(*remarks)
        return self

    def _named_once(self, places: Sequence[tuple[KeyPath, Target]]) -> Iterator[Remark]:
        names: set[str] = set()
        for at, target in places:
            if target.name in names:
                message = f"target {quoted(target.name)} is in this pool already"
                yield Remark(message, "name each target once", at)
            names.add(target.name)
        for i, name in enumerate(self.serves):
            if name in self.serves[:i]:
                yield Remark(f"{quoted(name)} is served by this pool already", at=("serves", i))

    def _fit(self, places: Sequence[tuple[KeyPath, Target]]) -> Iterator[Remark]:
        """Returns the pool's requirements that its targets do not meet."""
        for at, target in places:
            lacking = [
                need
                for need in sorted(self.requires - (self.requires if target.can is None else target.can))
                if CARRIED.get(need, _NOTHING).isdisjoint(target.operations)
            ]
            if lacking:
                message = f"target {quoted(target.name)} cannot do {', '.join(lacking)}"
                yield Remark(message, "the pool requires it", at)
            if self.min_quality is not None and target.quality is None:
                message = f"target {quoted(target.name)} has no quality, and the pool has min_quality"
                yield Remark(message, f"give [targets.{target.name}] a quality", at)
            if self.max_price_ratio is not None and target.price is None:
                message = f"target {quoted(target.name)} has no price, and the pool has max_price_ratio"
                yield Remark(message, f"give [targets.{target.name}] a price", at)


def targets_of(pool: Pool) -> tuple[Target, ...]:
    """Returns all targets of a pool: the preferred ones, the alternates, and the canary."""
    canary = () if pool.canary is None else (pool.canary.target,)
    return (*pool.prefer, *(alternate.target for alternate in pool.alternates), *canary)
