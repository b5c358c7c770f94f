"""Tests of price cards from genai-prices."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo
from genai_prices.types import Usage as TheirUsage
from standby.proxy.budget.metering import known_prices
from standby.proxy.budget.metering.known_prices import card_of
from standby.proxy.budget.metering.price_card import cost
from standby.proxy.config import NANO
from standby.proxy.dialects.usage import Usage

__all__: list[str] = []


def _missing(name: str) -> None:
    """The result of `find_spec` for a package that is not installed: None."""


OPENAI: Final = "https://api.openai.com/v1"
ANTHROPIC: Final = "https://api.anthropic.com/v1"
GOOGLE: Final = "https://generativelanguage.googleapis.com/v1beta/openai"

USAGES: Final = (
    Usage(1_000, 500),
    Usage(1_000, 500, cached=300),
    Usage(150_000, 4_000, cached=100_000, cache_write=20_000),
    Usage(250_000, 4_000, cached=100_000, cache_write=20_000, cache_write_1h=15_000),
)


@pytest.mark.parametrize("usage", USAGES)
@pytest.mark.parametrize(
    ("url", "model"),
    [
        (OPENAI, "gpt-4.1"),
        (OPENAI, "gpt-4o-mini-2024-07-18"),
        (OPENAI, "o3-mini"),
        (ANTHROPIC, "claude-sonnet-4-5-20250929"),
        (ANTHROPIC, "claude-3-haiku-20240307"),
        (GOOGLE, "gemini-2.5-pro"),
    ],
)
def test_a_card_costs_what_its_source_says(url: str, model: str, usage: Usage) -> None:
    """The cost under a card equals the cost that genai-prices computes, rounded up to a nano-dollar."""
    card = card_of(url, model)
    assert card is not None
    provider, info = get_snapshot().find_provider_model(model, None, None, url)
    theirs = TheirUsage(
        input_tokens=usage.input,
        output_tokens=usage.output,
        cache_read_tokens=usage.cached,
        cache_write_tokens=usage.cache_write,
        cache_write_1h_tokens=usage.cache_write_1h,
    )
    if card.price.cache_write is None:
        theirs = TheirUsage(
            input_tokens=usage.input, output_tokens=usage.output, cache_read_tokens=usage.cached
        )
    exact = info.calc_price(theirs, provider, genai_request_timestamp=datetime.now(UTC)).total_price * NANO
    assert 0 <= cost(usage, card.price) - exact < 1


def test_every_model_has_a_card_or_none() -> None:
    """No model in the whole list raises an error, and most models get a card."""
    today = date(2026, 11, 23)
    prices = [
        known_prices.price_of(known_prices.dearest(info, today))
        for provider in get_snapshot().providers
        for info in provider.models
    ]
    known = [price for price in prices if price is not None]
    assert len(known) > len(prices) * 0.8
    assert all(price.input >= 0 for price in known)


@pytest.mark.parametrize(
    ("url", "model"),
    [
        ("http://127.0.0.1:9/v1", "gpt-4.1"),
        ("https://llm.example.com/v1", "gpt-4.1"),
        (OPENAI, "gpt-4.1-of-mine"),
        (OPENAI, "whisper-1"),
        (OPENAI, "x" * 300),
    ],
)
def test_what_is_not_known_has_no_card(url: str, model: str) -> None:
    """An unknown host, model or unit has no card, even for a well-known model name."""
    assert card_of(url, model) is None


def test_the_dearest_hour_counts() -> None:
    """A price that varies by the hour is the highest one."""
    infos: list[ModelInfo] = [
        info
        for provider in get_snapshot().providers
        for info in provider.models
        if isinstance(info.prices, list)
    ]
    for info in infos:
        highest = known_prices.dearest(info, date(2026, 11, 23)).input_mtok
        for hour in range(24):
            now = info.get_prices(datetime(2026, 11, 23, hour, 45, tzinfo=UTC)).input_mtok
            if isinstance(highest, Decimal) and isinstance(now, Decimal):
                assert highest >= now


def test_a_card_tells_where_it_comes_from() -> None:
    """The source is the package with its version; the date is that of its data."""
    card = card_of(OPENAI, "gpt-4.1")
    assert card is not None
    name, version = card.source.split()
    assert (name, version.count(".")) == ("genai-prices", 2)
    assert date.fromisoformat(card.date) > date(2025, 1, 1)


def test_without_the_extra_there_are_no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without genai-prices there are no cards and no errors."""
    monkeypatch.setattr(known_prices, "find_spec", _missing)
    assert card_of(OPENAI, "gpt-4.1-nano") is None
    known_prices.card_on.cache_clear()


def test_names_are_not_remembered_for_ever() -> None:
    """The cache of names is bounded."""
    for number in range(5_000):
        card_of("https://llm.example.com/v1", f"model-{number}")
    assert known_prices.card_on.cache_info().currsize <= 1024
    assert "genai_prices" in sys.modules
