"""What a target costs, as `[targets.NAME] price` says it."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from .money import Money, UnitPrice
from .table import Table

__all__ = ["Card", "Price", "Rates", "Tier"]


class Rates(Table):
    """What tokens cost, per million; what is not given costs what its kind costs."""

    input: UnitPrice
    output: UnitPrice = 0
    cached_input: UnitPrice | None = None
    """Input read from the provider's cache; else as `input`."""
    cache_write: UnitPrice | None = None
    """Input written to the provider's cache; else as `input`."""
    cache_write_1h: UnitPrice | None = None
    """Input written to the provider's cache for an hour; else as `cache_write`."""
    reasoning: UnitPrice | None = None
    """Output spent on reasoning; else as `output`."""


class Tier(Rates):
    """What all tokens of a request cost that has more than so many tokens of input."""

    tokens: Annotated[int, Field(ge=1, le=10**9)]


class Price(Rates):
    """A price card."""

    per_request: Money = 0
    per_image: Money = 0
    """For each image sent."""
    above: tuple[Tier, ...] = ()
    """Other prices for long prompts, in any order."""


class Card(NamedTuple):
    """A price card that was looked up, and where: `date` is that of its source."""

    price: Price
    source: str
    date: str
