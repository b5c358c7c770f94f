"""Price cards of targets, as in `price` of `[targets.NAME]`."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from .money import Money, UnitPrice
from .table import Table

__all__ = ["Card", "Price", "Rates", "Tier"]


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


class Price(Rates):
    """The price card of a target."""

    per_request: Money = 0
    per_image: Money = 0
    """Per image in the request."""
    above: tuple[Tier, ...] = ()
    """Prices for long prompts, in any order."""


class Card(NamedTuple):
    """A looked-up price card, with its source and the date of the source."""

    price: Price
    source: str
    date: str
