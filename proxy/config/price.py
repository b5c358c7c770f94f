"""Price cards of targets, as in `price` of `[targets.NAME]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final, NamedTuple, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from .money import Money, UnitPrice
from .table import Table
from .values import Remark, objection

__all__ = ["ONE", "Card", "Price", "Rates", "ServiceTier", "Tier"]


_FACTOR: Final = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,4})?")


def _factor(value: object) -> object:
    """Validates a factor: text such as "1.1" becomes ten-thousandths."""
    if not isinstance(value, str) or _FACTOR.fullmatch(value) is None:
        raise objection(Remark("not a factor", 'write text, as "1.1" or "0.5"'))
    return int(Decimal(value) * ONE)


ONE: Final = 10_000
"""The factor 1: factors are ten-thousandths."""
Factor: TypeAlias = Annotated[int, BeforeValidator(_factor)]


class Rates(Table):
    """Prices per million tokens. A price that is not given defaults to that of the more general kind."""

    input: UnitPrice
    output: UnitPrice = 0
    cached_input: UnitPrice | None = None
    """Input read from the provider's cache. Defaults to `input`."""
    cache_write: UnitPrice | None = None
    """Input written to the provider's cache. Defaults to `input`."""
    cache_write_1h: UnitPrice | None = None
    """Input written to the provider's cache for one hour. Defaults to `cache_write`."""
    reasoning: UnitPrice | None = None
    """Reasoning output. Defaults to `output`."""


class Tier(Rates):
    """Prices for all tokens of a request with more than `tokens` input tokens."""

    tokens: Annotated[int, Field(ge=1, le=10**9)]


class ServiceTier(Table):
    """What a service tier costs: `factor` times the card, or prices of its own."""

    factor: Factor | None = None
    input: UnitPrice | None = None
    output: UnitPrice = 0
    cached_input: UnitPrice | None = None
    cache_write: UnitPrice | None = None
    cache_write_1h: UnitPrice | None = None
    reasoning: UnitPrice | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        given = self.model_fields_set - {"factor"}
        if (self.factor is None) == (self.input is None) or (self.factor is not None and given):
            raise objection(Remark("needs either a factor or prices", 'write { factor = "2.0" }'))
        return self


class Price(Rates):
    """The price card of a target."""

    per_request: Money = 0
    per_image: Money = 0
    """Per image in the request."""
    above: tuple[Tier, ...] = ()
    """Prices for long prompts, in any order."""
    tiers: Mapping[str, ServiceTier] | None = None
    """What other service tiers, speeds and places cost, by the provider's name for them. Where there is a
    table, even an empty one, a request for a tier that is not in it is refused."""

    def __hash__(self) -> int:
        return hash((self.input, self.output))


class Card(NamedTuple):
    """A looked-up price card, with its source and the date of the source."""

    price: Price
    source: str
    date: str
