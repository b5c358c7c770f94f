"""Tests of the cost under a price card, and of the choice of the card."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.budget.metering.price_card import (
    Quote,
    cost,
    estimate,
    is_same,
    lookup,
    quote,
    served,
    tiered,
)
from standby.proxy.config import Card, Price, Provider, Target, Tier
from standby.proxy.dialects.usage import Usage

__all__: list[str] = []

CARD: Final = Price(
    input=3_000_000_000,
    output=15_000_000_000,
    cached_input=300_000_000,
    cache_write=3_750_000_000,
    cache_write_1h=6_000_000_000,
    reasoning=20_000_000_000,
    per_request=1_000,
    per_image=2_000_000,
    above=(Tier(tokens=200_000, input=6_000_000_000, output=22_500_000_000),),
)
"""A card with a separate price for everything."""

AMOUNTS: Final = st.integers(0, 10**11)
PRICES: Final = st.builds(
    Price,
    input=AMOUNTS,
    output=AMOUNTS,
    cached_input=st.none() | AMOUNTS,
    cache_write=st.none() | AMOUNTS,
    cache_write_1h=st.none() | AMOUNTS,
    reasoning=st.none() | AMOUNTS,
    per_request=st.integers(0, 10**9),
    per_image=st.integers(0, 10**9),
)
TIERS: Final = st.lists(
    st.builds(Tier, tokens=st.integers(1, 10**6), input=AMOUNTS, output=AMOUNTS), max_size=3
)
TOKENS: Final = st.integers(0, 10**6)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Usage whose parts add up to its totals."""
    uncached, cached, write, hour, plain, reasoning = (draw(TOKENS) for _ in range(6))
    return Usage(uncached + cached + write + hour, plain + reasoning, cached, write + hour, reasoning, hour)


def target(**fields: object) -> Target:
    """A target at OpenAI."""
    provider = Provider(name="p", dialect="openai", base_url="https://api.openai.com/v1")
    return Target.model_validate({"name": "t", "provider": provider, "model": "gpt-4.1", **fields})


@pytest.mark.parametrize(
    ("usage", "images", "expected"),
    [
        (Usage(0, 0), 0, 1_000),
        (Usage(100_000, 0, cached=100_000), 0, 30_001_000),
        (Usage(100_000, 0), 0, 300_001_000),
        (Usage(100_000, 10_000), 0, 450_001_000),
        (Usage(100_000, 10_000, cached=50_000), 0, 315_001_000),
        (Usage(100_000, 10_000, cached=50_000, cache_write=50_000), 0, 352_501_000),
        (Usage(100_000, 0, cache_write=100_000, cache_write_1h=100_000), 0, 600_001_000),
        (Usage(100_000, 10_000, reasoning=4_000), 0, 470_001_000),
        (Usage(200_000, 0), 0, 600_001_000),
        (Usage(200_001, 0), 0, 1_200_007_000),
        (Usage(0, 0), 2, 4_001_000),
        (Usage(1, 0), 0, 4_000),
    ],
)
def test_each_kind_of_token_has_its_price(usage: Usage, images: int, expected: int) -> None:
    """Cached input, cache writes, images and long prompts each have their own price."""
    assert cost(usage, CARD, images) == expected


def test_what_is_not_given_costs_what_its_kind_costs() -> None:
    """A card with only input and output prices applies them to all kinds of tokens."""
    price = Price(input=1_000_000_000, output=2_000_000_000)
    assert cost(Usage(10, 5, cached=3, cache_write=2, reasoning=4, cache_write_1h=1), price) == 20_000


def test_a_part_of_a_nano_dollar_counts_as_one() -> None:
    """A cost is rounded up once: three tokens at a third of a nano-dollar cost one."""
    price = Price(input=333_333, output=333_333)
    assert [cost(Usage(n, 0), price) for n in (1, 2, 3, 4)] == [1, 1, 1, 2]
    assert cost(Usage(1, 1), price) == 1


@given(price=PRICES, usage=usages(), more=usages())
def test_cost_is_additive_and_monotone(price: Price, usage: Usage, more: Usage) -> None:
    """The cost of two attempts is the sum of their costs, except for rounding, and no less than either."""
    both = Usage(*map(sum, zip(usage, more, strict=True)))
    apart = cost(usage, price) + cost(more, price) - price.per_request
    assert 0 <= apart - cost(both, price) <= 1
    assert cost(both, price) >= cost(usage, price)


@given(price=PRICES, tiers=TIERS, usage=usages(), images=st.integers(0, 9), spare=st.tuples(TOKENS, TOKENS))
def test_an_estimate_is_an_upper_bound(
    price: Price, tiers: list[Tier], usage: Usage, images: int, spare: tuple[int, int]
) -> None:
    """No usage within an estimate's tokens costs more than the estimate, whatever kinds of tokens."""
    price = price.model_copy(update={"above": tuple(tiers)})
    assert cost(usage, price, images) <= estimate(
        price, usage.input + spare[0], usage.output + spare[1], images
    )


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("gpt-4.1", "gpt-4.1"),
        ("gpt-4.1", "gpt-4.1-2025-04-14"),
        ("gpt-4.1", "GPT-4.1-2025-04-14"),
        ("gpt-4", "gpt-4-0613"),
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
        ("claude-sonnet-4-5", "claude-sonnet-4-5@20250929"),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022"),
        ("gemini-2.0-flash", "gemini-2.0-flash-001"),
        ("openai/gpt-4.1", "gpt-4.1-2025-04-14"),
        ("gpt-4.1", "openai/gpt-4.1"),
        ("my-deployment", "gpt-4.1-2025-04-14"),
        ("gpt-4.1", None),
    ],
)
def test_the_targets_own_card(asked: str, answered: str | None) -> None:
    """A dated snapshot, a name that matches `served_as`, or no name at all uses the target's own card."""
    own = target(model=asked, price=CARD, served_as=["gpt-4.1-2025-*"] if asked == "my-deployment" else [])
    assert served(own, answered) is CARD


@pytest.mark.parametrize(
    "answered",
    ["gpt-4.1-mega", "gpt-4.10", "gpt-4.1-2025-14-44", "gpt-4.", "", "m" * 300, "evil/gpt-4.1-x"],
)
def test_a_model_that_nobody_knows(answered: str) -> None:
    """A name that is neither the target's model nor known at its provider has no price."""
    assert served(target(price=CARD), answered) is None


def test_another_model_of_the_provider() -> None:
    """Another model of the provider costs what genai-prices lists for it at this provider."""
    price = served(target(price=CARD), "gpt-4.1-mini-2025-04-14")
    assert price is not None
    assert (price.input, price.output) == (400_000_000, 1_600_000_000)


def test_a_vendor_is_not_another() -> None:
    """If both names have a vendor prefix, the prefixes must match."""
    assert served(target(model="openai/gpt-4.1", price=CARD), "other/gpt-4.1") is None


def test_a_quote_tells_its_source() -> None:
    """A card comes from routes.toml, or from a source with a name, version and date."""
    assert quote(target(price=CARD)) == Quote(CARD, "routes.toml")
    assert quote(target()) is None
    card = Card(CARD, "genai-prices 0.2.3", "2026-11-23")
    assert quote(target(price=CARD), {"t": card}) == Quote(CARD, "genai-prices 0.2.3 (2026-11-23)")


def test_a_missing_card_is_looked_up() -> None:
    """A target without a card gets the card of its model at its provider."""
    card = lookup(target())
    assert card is not None
    assert card.price.input == 2_000_000_000
    assert card.source.startswith("genai-prices ")


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [
        ("anthropic/claude-sonnet-4.6", "anthropic/claude-4.6-sonnet-20260217", True),
        ("claude-sonnet-4-6", "us.anthropic.claude-sonnet-4-6-20260217-v1:0", True),
        ("anthropic.claude-sonnet-4-6-20260217-v1:0", "claude-sonnet-4-6-20260217", True),
        ("anthropic.claude-3-haiku-20240307-v1:0", "claude-3-haiku-20240307", True),
        ("claude-sonnet-4-5", "claude-opus-4-5", False),
        ("claude-sonnet-4-6", "claude-sonnet-4-5-20250929", False),
        ("deepseek-v3", "deepseek-v4", False),
        ("amazon.titan-embed-text-v2:0", "amazon.titan-embed-text-v1:0", False),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-05-13", False),
        ("gpt-3.5-turbo-0125", "gpt-3.5-turbo-0613", False),
        ("gemini-1.5-pro-002", "gemini-1.5-pro-001", False),
        ("ernie-128", "ernie-256", False),
        ("gpt-4-32k", "gpt-32k-4", False),
        ("gpt-4.1", "gpt-1.4", False),
        ("o1", "o1-123", False),
    ],
)
def test_another_way_to_write_a_name(asked: str, answered: str, same: bool) -> None:
    """Vendors write a name in their own ways; another generation, date or version is another model."""
    assert is_same(target(model=asked, price=CARD), answered) is same


@pytest.mark.parametrize(
    ("tier", "rates"),
    [
        ("priority", (4, 16, 2)),
        ("flex", (1, 3, None)),
        ("priority+us", (5, 18, 3)),
        ("us+flex", (2, 4, None)),
        ("flex+own", None),
        ("fast", None),
        ("priority+fast", None),
    ],
)
def test_a_service_tier(tier: str, rates: tuple[int, int, int | None] | None) -> None:
    """A factor counts for the whole card, rounded up; prices replace it; several multiply."""
    card = Price.model_validate(
        {
            "input": "0.000000002",
            "output": "0.000000008",
            "cached_input": "0.000000001",
            "tiers": {
                "priority": {"factor": "2.0"},
                "us": {"factor": "1.1"},
                "own": {"input": "0.000000003"},
                "flex": {"input": "0.000000001", "output": "0.000000003"},
            },
        }
    )
    found = tiered(card, tier)
    assert (None if found is None else (found.input, found.output, found.cached_input)) == rates
