"""The cost of tokens under a price card, in integer nano-dollars, and the choice of the card. No I/O.

A request is priced by the model that answered, which may differ from the requested one. Pricing by the
requested model could book too little without anyone noticing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final, NamedTuple

from ...config import Card, Price, Rates, Target
from ...dialects.usage import Usage
from .known_prices import card_of

__all__ = ["Quote", "cost", "estimate", "lookup", "quote", "served"]

_MILLION: Final = 1_000_000

_NO_CARDS: Final[Mapping[str, Card]] = MappingProxyType({})

_DATED: Final = re.compile(
    r"(?:-(?:latest"
    r"|\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"  # gpt-4.1-2025-04-14
    r"|20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"  # claude-sonnet-4-5-20250929
    r"|(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"  # gpt-4-0613
    r"|\d{3})"  # gemini-2.0-flash-001
    r"|@(?:latest|20\d{6}))"  # claude-sonnet-4-5@20250929
)
"""The suffixes that turn a model's name into the name of one of its snapshots."""


class Quote(NamedTuple):
    """A price and a human-readable description of its source."""

    price: Price
    source: str


def quote(target: Target, cards: Mapping[str, Card] = _NO_CARDS) -> Quote | None:
    """Returns the price of a target, or None if it has none.

    `cards` maps target names to the cards that were looked up in genai-prices (`Routes.cards`).
    """
    card = cards.get(target.name)
    if card is not None:
        return Quote(card.price, f"{card.source} ({card.date})")
    return None if target.price is None else Quote(target.price, "routes.toml")


def lookup(target: Target) -> Card | None:
    """Returns the card from genai-prices for a target, or None if it is not installed or has no price."""
    return card_of(target.provider.base_url, target.model)


def served(target: Target, model: str | None) -> Price | None:
    """Returns the price of `model`, the name in the answer of `target`, or None if it has no price.

    The target's own price applies if the answer names no model, the target's model, a dated snapshot of it,
    or one of `served_as`. Otherwise genai-prices is searched for that model at the target's provider.
    """
    if model is None or is_same(target, model):
        return target.price
    card = card_of(target.provider.base_url, model)
    return None if card is None else card.price


def is_same(target: Target, model: str) -> bool:
    """Whether `model` names the target's model, a snapshot of it, or one that matches `served_as`."""
    own = target.model
    if model == own or any(fnmatchcase(model, pattern) for pattern in target.served_as):
        return True
    own, served_name = own.lower(), model.lower()
    if ("/" in own) != ("/" in served_name):  # only one of them has a vendor prefix, as in "openai/gpt-4.1"
        own, served_name = own.rpartition("/")[2], served_name.rpartition("/")[2]
    own = own.removesuffix("-latest").removesuffix("@latest")
    return served_name == own or (
        served_name.startswith(own) and _DATED.fullmatch(served_name, len(own)) is not None
    )


def cost(usage: Usage, price: Price, images: int = 0) -> int:
    """Returns the cost of an attempt in nano-dollars; the sum over all tokens is rounded up.

    `images` is the number of images that were sent.
    """
    rates = _rates(price, usage.input)
    write = _or(rates.cache_write, rates.input)
    hour = min(usage.cache_write_1h, usage.cache_write)
    total = (
        max(0, usage.input - usage.cached - usage.cache_write) * rates.input
        + usage.cached * _or(rates.cached_input, rates.input)
        + (usage.cache_write - hour) * write
        + hour * _or(rates.cache_write_1h, write)
        + max(0, usage.output - usage.reasoning) * rates.output
        + usage.reasoning * _or(rates.reasoning, rates.output)
    )
    return -(-total // _MILLION) + price.per_request + price.per_image * images


def estimate(price: Price, input: int, output: int, images: int = 0) -> int:
    """Returns the maximum cost of this many tokens in nano-dollars, whatever kinds of tokens they are.

    `images` is the number of images in the request.
    """
    total = 0
    for rates in (price, *(tier for tier in price.above if input > tier.tokens)):
        dearest_input = max(
            rates.input, rates.cached_input or 0, rates.cache_write or 0, rates.cache_write_1h or 0
        )
        dearest_output = max(rates.output, rates.reasoning or 0)
        total = max(total, input * dearest_input + output * dearest_output)
    return -(-total // _MILLION) + price.per_request + price.per_image * images


def _rates(price: Price, input: int) -> Rates:
    """Returns the rates for a prompt of `input` tokens."""
    reached = [tier for tier in price.above if input > tier.tokens]
    return max(reached, key=lambda tier: tier.tokens) if reached else price


def _or(rate: int | None, default: int) -> int:
    return default if rate is None else rate
