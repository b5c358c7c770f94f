"""Tests that every target has a price where a budget counts money."""

from __future__ import annotations

from typing import Final

import pytest
from standby.proxy.config import Card, Price, Target, parse_routes
from standby.proxy.errors import ConfigError

from .documents import ENVIRON, ROUTES

__all__: list[str] = []

BUDGET: Final = 'budget = [{ limit = "50.00", window = "month" }]'
PRICE: Final = 'price = { input = "2.00", output = "8.00" }'
WRITING: Final = "[pools.writing]\nprefer = ['claude']"
ALLOWED: Final = 'unpriced = "allow"'
KEY: Final = f'[keys.checkout]\nhash = "sha256:{"a" * 64}"\npools = ["support"]\n'


def problems(text: str) -> list[str]:
    """The keys of the problems, with a complete stack."""
    try:
        parse_routes(f'stack = ["auth", "budget", "failover"]\n{text}', environ=dict(ENVIRON))
    except ConfigError as error:
        return [f"{problem.key}: {problem.message}" for problem in error.problems]
    return []


def small(more: str) -> str:
    """The file with these lines for the target "small", where the other target has a price."""
    return ROUTES.replace('model = "gpt-4.1"\n', f'model = "gpt-4.1"\n{PRICE}\n').replace(
        'model = "gpt-4.1-mini"\n', f'model = "gpt-4.1-mini"\n{more}\n'
    )


@pytest.mark.parametrize(
    ("where", "who"),
    [
        (BUDGET, "the pool"),
        (f"{KEY}{BUDGET}", 'key "checkout"'),
        (f"{KEY}team = 'search'\n[teams.search]\n{BUDGET}", 'team "search"'),
        (f"[organisations.acme]\n{BUDGET}", 'organisation "acme"'),
        (f"[users.ann]\npools = ['*']\n{BUDGET}", 'user "ann"'),
    ],
)
def test_a_budget_of_money_needs_prices(where: str, who: str) -> None:
    """Budgets of the pool, and of every scope that may use it, require prices; also of alternates."""
    problems_in = f'targets.small: has no price, and {who} counts money in pool "support"'
    assert problems(f"{small('')}{where}\n") == [problems_in]
    assert problems(f"{small(PRICE)}{where}\n") == []
    assert problems(f"{small(ALLOWED)}{where}\n") == []


def test_the_pool_may_allow_it() -> None:
    """A budget of the pool requires prices for all of its targets."""
    assert problems(f'{small("")}{BUDGET}\nunpriced = "allow"\n') == []


def test_a_target_may_count_its_own_money() -> None:
    """A budget of the target counts its cost in every pool."""
    assert problems(small(BUDGET)) == [
        'targets.small: has no price, and target "small" counts money in pool "support"'
    ]


@pytest.mark.parametrize(
    "where",
    [
        'budget = [{ unit = "requests", limit = 5, window = "day" }]',
        f"[users.ann]\npools = ['writing']\n{BUDGET}\n{WRITING}",
        f"[users.ann]\norganisation = 'acme'\n{BUDGET}\n[organisations.acme]\npools = ['writing']\n{WRITING}",
    ],
)
def test_where_no_money_is_counted_nothing_needs_a_price(where: str) -> None:
    """Budgets in other units, and of scopes that may not use the pool, require no price."""
    text = f"{small('')}{where}\n".replace('model = "claude"', f'model = "claude"\n{PRICE}')
    assert problems(text) == []


def test_cards_that_are_missing_are_looked_up() -> None:
    """Looked-up prices apply before the checks, never replace prices in the file, and have a source."""
    asked: list[str] = []

    def prices(target: Target) -> Card | None:
        asked.append(target.name)
        return Card(Price(input=7), "list", "2026-01-01") if target.name == "small" else None

    text = f'stack = ["budget", "failover"]\n{small("")}{BUDGET}\n'
    routes = parse_routes(text, environ=dict(ENVIRON), prices=prices)
    assert asked == ["small", "claude"]
    assert routes.targets["small"].price == Price(input=7)
    assert routes.pools["support"].alternates[0].target is routes.targets["small"]
    assert list(routes.cards) == ["small"]
    assert routes.targets["claude"].price is None
