"""Prices as the package genai-prices knows them, for targets that have no card of their own.

The package (extra `prices`) carries its data with it, and nothing here looks anything up outside of it. A
provider is told by the URL its API has, never by the name of a model: what somebody serves from a machine of
his own under the name "gpt-4.1" does not cost what OpenAI's costs.

What a card of ours cannot say is left out or stays unpriced, see `price_of`.
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
"""Characters of a model's name, as `routes.toml` allows."""

_KINDS: Final = (
    ("input", "input_mtok"),
    ("output", "output_mtok"),
    ("cached_input", "cache_read_mtok"),
    ("cache_write", "cache_write_mtok"),
    ("cache_write_1h", "cache_write_1h_mtok"),
    ("reasoning", "output_reasoning_mtok"),
)
"""What a rate is called here and there."""

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
"""Units that usage does not tell, of which a request may be mostly made: a model sold by them has no card."""


def card_of(base_url: str, model: str) -> Card | None:
    """What `model` costs today at the provider whose API is at `base_url`; None if that is not known."""
    return card_on(base_url, model, datetime.now(UTC).date()) if len(model) <= _LONGEST else None


# Providers name the models that served, and nobody knows what names they will find.
@lru_cache(maxsize=1024)
def card_on(base_url: str, model: str, today: date) -> Card | None:
    """What `model` costs on this day."""
    if (spec := find_spec("genai_prices")) is None or spec.origin is None:
        return None
    # It takes a tenth of a second to import, and only a configuration that lacks a price needs it.
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

    snapshot = get_snapshot()
    for provider in snapshot.providers:
        # Not `snapshot.find_provider_model`: it remembers every name that it was ever asked for.
        if re.match(provider.api_pattern, base_url) is not None:
            info = provider.find_model(model, all_providers=snapshot.providers)
            price = None if info is None else price_of(dearest(info, today))
            if price is None:
                return None
            installed = datetime.fromtimestamp(Path(spec.origin).stat().st_mtime, UTC)
            return Card(price, f"genai-prices {metadata.version('genai-prices')}", f"{installed:%Y-%m-%d}")
    return None


def dearest(info: ModelInfo, today: date) -> ModelPrice:
    """What the model costs today, at the hour at which it is dearest."""
    from genai_prices.types import TimeOfDateConstraint  # noqa: PLC0415

    noon = datetime(today.year, today.month, today.day, 12, tzinfo=UTC)
    prices = info.prices if isinstance(info.prices, list) else []
    hours = [each.prices for each in prices if isinstance(each.constraint, TimeOfDateConstraint)]
    return max((info.get_prices(noon), *hours), key=lambda price: _amounts(price.input_mtok)[0])


def price_of(model: ModelPrice) -> Price | None:
    """A card. Web searches, and audio, images and video among the input, are priced as text or not at all."""
    given = {name: value for name, value in vars(model).items() if value is not None}
    if "input_mtok" not in given or not _UNCOUNTED.isdisjoint(given):
        return None
    steps = sorted({start for _, name in _KINDS for start in _starts(given.get(name))})
    per_request = Decimal(given.get("requests_kcount", 0)) / 1000
    return Price(
        **_rates(given, 0).model_dump(),
        per_request=_nano(per_request),
        above=tuple(Tier(tokens=start, **_rates(given, start).model_dump()) for start in steps),
    )


def _rates(given: dict[str, object], above: int) -> Rates:
    """The rates of a prompt with more than `above` tokens."""
    rates: dict[str, int] = {}
    for kind, name in _KINDS:
        if (value := given.get(name)) is not None:
            base, *tiers = _amounts(value)
            reached = [price for start, price in zip(_starts(value), tiers, strict=True) if start <= above]
            rates[kind] = _nano(reached[-1] if above and reached else base)
    return Rates(**rates)


def _starts(value: object) -> Iterable[int]:
    from genai_prices.types import TieredPrices  # noqa: PLC0415

    return [tier.start for tier in value.tiers] if isinstance(value, TieredPrices) else ()


def _amounts(value: object) -> list[Decimal]:
    from genai_prices.types import TieredPrices  # noqa: PLC0415

    if isinstance(value, TieredPrices):
        return [value.base, *(tier.price for tier in value.tiers)]
    return [value] if isinstance(value, Decimal) else [Decimal(0)]


def _nano(amount: Decimal) -> int:
    return int((amount * NANO).to_integral_value(ROUND_CEILING))
