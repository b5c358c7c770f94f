"""Prices from the package genai-prices, for targets that have no price card in routes.toml.

The package (extra `prices`) ships its data; nothing here uses the network. A provider is identified by the
base URL of its API, never by a model's name: a self-hosted model called "gpt-4.1" does not cost what OpenAI
charges for gpt-4.1.

Price components that a card cannot express are left out, or the model stays unpriced; see `price_of`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...config import NANO, Card, Price, Rates, Tier

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

__all__ = ["card_of", "card_on", "dearest", "price_of"]

_LONGEST: Final = 256
"""The maximum length of a model's name in characters, the same as in routes.toml."""

_KINDS: Final = (
    ("input", "input_mtok"),
    ("output", "output_mtok"),
    ("cached_input", "cache_read_mtok"),
    ("cache_write", "cache_write_mtok"),
    ("cache_write_1h", "cache_write_1h_mtok"),
    ("reasoning", "output_reasoning_mtok"),
)
"""Pairs of rate names: the field of Rates, and the attribute of a genai-prices ModelPrice."""

_UNCOUNTED: Final = frozenset(
    {
        "audio_hours",
        "input_annotated_document_kpages",
        "input_audio_hours",
        "input_document_kpages",
        "input_mchars",
        "input_text_messages_kcount",
        "output_audio_mtok",
        "output_image_mtok",
        "output_video_mtok",
    }
)
"""Units that usage reports do not contain but that may dominate a request's cost. A model with such a price
gets no card."""


def card_of(base_url: str, model: str) -> Card | None:
    """Returns today's price card for `model` at the provider with this API base URL, or None if unknown."""
    return card_on(base_url, model, datetime.now(UTC).date()) if len(model) <= _LONGEST else None


# The cache is bounded because providers choose the names of the models that answer.
@lru_cache(maxsize=1024)
def card_on(base_url: str, model: str, today: date) -> Card | None:
    """Returns the price card for `model` on the day `today`, or None if unknown or not installed."""
    if (spec := find_spec("genai_prices")) is None or spec.origin is None:
        return None
    # The import takes a tenth of a second, and only a configuration with a missing price needs it.
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

    snapshot = get_snapshot()
    for provider in snapshot.providers:
        # Not `snapshot.find_provider_model`: it caches every requested name without a bound.
        if re.match(provider.api_pattern, base_url) is not None:
            info = provider.find_model(model, all_providers=snapshot.providers)
            price = None if info is None else price_of(dearest(info, today))
            if price is None:
                return None
            installed = datetime.fromtimestamp(Path(spec.origin).stat().st_mtime, UTC)
            return Card(price, f"genai-prices {metadata.version('genai-prices')}", f"{installed:%Y-%m-%d}")
    return None


def dearest(info: ModelInfo, today: date) -> ModelPrice:
    """Returns the model's price on the day `today`. If it varies by the hour, returns the highest one."""
    from genai_prices.types import TimeOfDateConstraint  # noqa: PLC0415

    noon = datetime(today.year, today.month, today.day, 12, tzinfo=UTC)
    prices = info.prices if isinstance(info.prices, list) else []
    hours = [price.prices for price in prices if isinstance(price.constraint, TimeOfDateConstraint)]
    return max((info.get_prices(noon), *hours), key=lambda price: _amounts(price.input_mtok)[0])


def price_of(model: ModelPrice) -> Price | None:
    """Returns the price for a card, or None if the model has no price per input token or needs other units.

    Web searches are not priced. Audio, images and video in the input are priced as text or not at all.
    """
    fields = {name: value for name, value in vars(model).items() if value is not None}
    if "input_mtok" not in fields or not _UNCOUNTED.isdisjoint(fields):
        return None
    steps = sorted({start for _, name in _KINDS for start in _starts(fields.get(name))})
    per_request = Decimal(fields.get("requests_kcount", 0)) / 1000
    return Price(
        **_rates(fields, 0).model_dump(),
        per_request=_nano(per_request),
        above=tuple(Tier(tokens=start, **_rates(fields, start).model_dump()) for start in steps),
    )


def _rates(fields: dict[str, object], above: int) -> Rates:
    """Returns the rates for a prompt of more than `above` tokens."""
    rates: dict[str, int] = {}
    for kind, name in _KINDS:
        if (value := fields.get(name)) is not None:
            base, *tiers = _amounts(value)
            reached = [price for start, price in zip(_starts(value), tiers, strict=True) if start <= above]
            rates[kind] = _nano(reached[-1] if above and reached else base)
    return Rates(**rates)


def _starts(value: object) -> Iterable[int]:
    """Returns the token counts above which the tiers of a tiered price apply; empty for a flat price."""
    from genai_prices.types import TieredPrices  # noqa: PLC0415

    return [tier.start for tier in value.tiers] if isinstance(value, TieredPrices) else ()


def _amounts(value: object) -> list[Decimal]:
    """Returns the base price and the price of each tier, in dollars per million tokens."""
    from genai_prices.types import TieredPrices  # noqa: PLC0415

    if isinstance(value, TieredPrices):
        return [value.base, *(tier.price for tier in value.tiers)]
    return [value] if isinstance(value, Decimal) else [Decimal(0)]


def _nano(amount: Decimal) -> int:
    """Converts dollars to nano-dollars, rounded up."""
    return int((amount * NANO).to_integral_value(ROUND_CEILING))
