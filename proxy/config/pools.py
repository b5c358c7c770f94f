"""The tables of `routes.toml` that say which targets are fit for a workload, and when each is asked.

Pool --prefer, alternates, canary--> Target
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Final, Self, TypeAlias, cast, get_args

from pydantic import Field, PlainSerializer, PlainValidator, model_validator

from .limits import BudgetWindow, Limits
from .references import named
from .routing import (
    Balance,
    Capability,
    Cause,
    DegradeOn,
    Hedge,
    OnBreak,
    Order,
    Share,
    Slow,
    Sticky,
    WhenExhausted,
)
from .table import Table
from .tables import Dialect, Target, Unpriced
from .values import Duration, KeyPath, ModelName, Name, Remark, objection, quoted

__all__ = ["Alternate", "Pool", "Portion", "Timeouts", "targets_of"]

_SHARE: Final = re.compile(r"[01](?:\.[0-9]{1,6})?")


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


class Alternate(Table):
    """A target that a pool moves to for the named causes only."""

    target: Annotated[Target, named("targets")]
    causes: Annotated[frozenset[Cause], Field(min_length=1, validation_alias="for")]

    def __hash__(self) -> int:
        return hash((self.target, self.causes))


def _own_names(data: dict[str, Any]) -> tuple[str, ...]:
    return (data["name"],)


class Portion(Table):
    """A target that takes part in some of a pool's requests."""

    target: Annotated[Target, named("targets")]
    share: Share
    """Of the callers: whoever is among them stays among them."""

    def __hash__(self) -> int:
        return hash((self.target, self.share))


class Pool(Table):
    """The targets fit for one workload."""

    name: Name
    serves: Annotated[tuple[ModelName, ...], Field(min_length=1)] = Field(default_factory=_own_names)
    """The names applications send as `model`."""
    prefer: Annotated[tuple[Annotated[Target, named("targets")], ...], Field(min_length=1)]
    """The load is spread over these, as `balance` says."""
    balance: Balance = "priority"
    """`priority`: in the order of `prefer`."""
    sticky: Sticky | None = None
    """What keeps a caller at one preferred target, as long as it is healthy."""
    alternates: tuple[Alternate, ...] = ()
    """For the named causes only, in this order."""
    requires: frozenset[Capability] = frozenset()
    """What every target of the pool must be able to do."""
    min_quality: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Targets of less `quality` are not asked, unless `when_exhausted` lets them be the last."""
    max_price_ratio: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Targets are not asked where the request costs more than so many times the first preferred's cost."""
    when_exhausted: WhenExhausted = "refuse"
    """Of targets below `min_quality`: none is asked, or they are when all others cannot be, or failed."""
    slow: Slow | None = None
    """From when on a target is degraded: asked after the others, and alternates for "slow" before it."""
    degrade_on: DegradeOn | None = None
    """The same, by what is in its answers."""
    canary: Portion | None = None
    """A new target that is asked first for a share of the callers."""
    hedge: Hedge | None = None
    on_break: OnBreak = "terminate"
    timeouts: Timeouts = Timeouts()
    max_output: Annotated[int, Field(gt=0)] | None = None
    """The most tokens of output for one request; said to the provider when the caller sets no limit."""
    limits: Limits = Limits()
    budget: tuple[BudgetWindow, ...] = ()
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
        if self.canary is not None:
            places.append((("canary", "target"), self.canary.target))
        remarks = [
            *self._of_one_dialect(places),
            *self._named_once(places),
            *self._fit(places),
        ]
        if remarks:
            raise objection(*remarks)
        return self

    def _of_one_dialect(self, places: Sequence[tuple[KeyPath, Target]]) -> Iterator[Remark]:
        spoken = Counter(target.provider.dialect for _, target in places)
        common = max(spoken, key=lambda dialect: spoken[dialect])  # the first of the pool wins a draw
        for at, target in places:
            dialect = target.provider.dialect
            if dialect != common:
                message = f"target {quoted(target.name)} speaks {dialect}, the rest of the pool {common}"
                yield Remark(message, "a pool speaks one dialect: make another pool", at)

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
        """What the pool asks of each of its targets."""
        for at, target in places:
            lacking = self.requires - (self.requires if target.can is None else target.can)
            if lacking:
                message = f"target {quoted(target.name)} cannot do {', '.join(sorted(lacking))}"
                yield Remark(message, "the pool requires it", at)
            if self.min_quality is not None and target.quality is None:
                message = f"target {quoted(target.name)} has no quality, and the pool has min_quality"
                yield Remark(message, f"give [targets.{target.name}] a quality", at)
            if self.max_price_ratio is not None and target.price is None:
                message = f"target {quoted(target.name)} has no price, and the pool has max_price_ratio"
                yield Remark(message, f"give [targets.{target.name}] a price", at)


def targets_of(pool: Pool) -> tuple[Target, ...]:
    """All targets that may answer requests to a pool, preferred ones first."""
    canary = () if pool.canary is None else (pool.canary.target,)
    return (*pool.prefer, *(alternate.target for alternate in pool.alternates), *canary)
