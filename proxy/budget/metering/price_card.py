"""The cost of tokens under a price card, in integer nano-dollars, and the choice of the card. No I/O.

A request is priced by the model that answered, which may differ from the requested one. Pricing by the
requested model could book too little without anyone noticing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from ...config import Card, Price, Rates, Target
from ...config.price import ONE
from ...dialects.usage import Usage
from .known_prices import card_of

__all__ = ["Quote", "cost", "estimate", "is_same", "lookup", "quote", "served", "tiered"]

_MILLION: Final = 1_000_000

_NO_CARDS: Final[Mapping[str, Card]] = MappingProxyType({})

_DATED: Final = re.compile(
    r"(?:-(?:latest"
    r"|\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"  # gpt-4.1-2025-04-14
    r"|20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"  # claude-sonnet-4-5-20250929
    r"|(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"  # gpt-4-0613
    r"|0\d\d)"  # gemini-2.0-flash-001
    r"|@(?:latest|20\d{6}))"  # claude-sonnet-4-5@20250929
)
"""The suffixes that turn a model's name into the name of one of its snapshots."""

_PROFILE: Final = re.compile(
    r"(?:(?:us|eu|apac|jp|au|ca|global)\.)?(?:anthropic|meta|amazon|mistral|cohere|deepseek|openai|qwen)\."
)
"""The region and vendor that a Bedrock inference profile begins with.
Source: docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html"""
# Bedrock's versions have a colon or follow a date: the "-v3" of "deepseek-v3" is a part of its name.
_SNAPSHOT: Final = re.compile(rf"(?P<date>{_DATED.pattern})?(?P<version>(?(date)-v\d+(?::\d+)?|-v\d+:\d+))?$")
_DECIMAL: Final = re.compile(r"(?<=\d)-(?=\d{1,2}(?:-|$))")


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


def served(target: Target, model: str | None, tier: str | None = None) -> Price | None:
    """Returns the price of `model`, the name in the answer of `target`, or None if it has no price.

    `tier` is the service tier that the answer names, if its price is not the usual one.

    The target's own price applies if the answer names no model, the target's model, a dated snapshot of it,
    or one of `served_as`. Otherwise genai-prices is searched for that model at the target's provider.
    """
    price = target.price
    if model is not None and not is_same(target, model):
        card = card_of(target.provider.base_url, model)
        price = None if card is None else card.price
    return price if price is None or tier is None else tiered(price, tier)


def tiered(price: Price, tier: str) -> Price | None:
    """Returns the price of a service tier, or of several joined by "+", or None if one is not on the card."""
    cards = [(price.tiers or {}).get(name) for name in tier.split("+")]
    own = [card for card in cards if card is not None and card.factor is None]
    if None in cards or len(own) > 1:
        return None
    for card in own:
        price = price.model_copy(update={rate: getattr(card, rate) for rate in Rates.model_fields})
        price = price.model_copy(update={"above": ()})
    for factor in (card.factor for card in cards if card is not None and card.factor is not None):
        steps = tuple(step.model_copy(update=_multiplied(step, factor)) for step in price.above)
        price = price.model_copy(update={**_multiplied(price, factor), "above": steps})
    return price


def _multiplied(rates: Rates, factor: int) -> dict[str, int]:
    """Returns the rates times a factor, rounded up."""
    given = {name: getattr(rates, name) for name in Rates.model_fields}
    if isinstance(rates, Price):
        given.update(per_request=rates.per_request, per_image=rates.per_image)
    return {name: -(-rate * factor // ONE) for name, rate in given.items() if rate is not None}


def is_same(target: Target, model: str) -> bool:
    """Whether `model` names the target's model, a snapshot of it, or one that matches `served_as`."""
    return model == target.model or _names(model, target.model, target.served_as)


@lru_cache(maxsize=4096)
def _names(model: str, own: str, served_as: tuple[str, ...]) -> bool:
    if any(fnmatchcase(model, pattern) for pattern in served_as):
        return True
    own, served_name = own.lower(), model.lower()
    vendor, _, own = own.rpartition("/")
    served_vendor, _, served_name = served_name.rpartition("/")
    if vendor and served_vendor and vendor != served_vendor:
        return False
    ours, theirs = _snapshot(own), _snapshot(served_name)
    return (
        ours.parts == theirs.parts
        and ours.date in {"", theirs.date}
        and (not ours.version or not theirs.version or ours.version == theirs.version)
    )


class _Snapshot(NamedTuple):
    """A model's name in parts, without region and vendor, and its date and version, each "" without one."""

    parts: list[str]
    date: str
    version: str


def _snapshot(model: str) -> _Snapshot:
    """Returns what a name tells.

    Bedrock writes "us.anthropic.claude-sonnet-4-6-20260217-v1:0" for "claude-sonnet-4-6". OpenRouter has the
    parts of Claude's names in another order: "claude-4.6-sonnet-20260217".
    """
    profile = _PROFILE.match(model)
    bare = model[profile.end() :] if profile else model
    date = version = ""
    if (suffix := _SNAPSHOT.search(bare)) is not None:
        date = (suffix["date"] or "").lstrip("-@").replace("-", "").replace("latest", "")
        version = suffix["version"] or ""
        bare = bare[: suffix.start()]
    parts = _DECIMAL.sub(".", bare).split("-")
    return _Snapshot(sorted(parts) if parts[0] == "claude" else parts, date, version)


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
    total = _dearest(price, input, output)
    for tier in price.above:
        if input > tier.tokens:
            total = max(total, _dearest(tier, input, output))
    return -(-total // _MILLION) + price.per_request + price.per_image * images


def _dearest(rates: Rates, input: int, output: int) -> int:
    """Returns what tokens of the dearest kinds cost, times a million."""
    input_rate, output_rate = rates.input, rates.output
    for rate in (rates.cached_input, rates.cache_write, rates.cache_write_1h):
        if rate is not None and rate > input_rate:
            input_rate = rate
    if rates.reasoning is not None and rates.reasoning > output_rate:
        output_rate = rates.reasoning
    return input * input_rate + output * output_rate


def _rates(price: Price, input: int) -> Rates:
    """Returns the rates for a prompt of `input` tokens."""
    if not price.above:
        return price
    reached = [tier for tier in price.above if input > tier.tokens]
    return max(reached, key=lambda tier: tier.tokens) if reached else price


def _or(rate: int | None, default: int) -> int:
    return default if rate is None else rate
