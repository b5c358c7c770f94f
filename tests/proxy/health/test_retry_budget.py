"""Retries at the same target: a fifth of the requests, and always three."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.health.retry_budget import FLOOR, SHARE, RetryBudget

__all__: list[str] = []


@pytest.mark.parametrize(("requests", "retries"), [(0, 3), (1, 3), (15, 3), (19, 3), (20, 4), (100, 20)])
def test_a_fifth_of_the_requests_may_be_sent_again(requests: int, retries: int) -> None:
    """Of few requests three retries are allowed, of many one in five."""
    budget = RetryBudget()
    for _ in range(requests):
        budget.request(50.0)
    assert sum(budget.take(50.0) for _ in range(requests + 10)) == retries


@given(st.lists(st.tuples(st.floats(0, 3, allow_subnormal=False), st.booleans()), max_size=200))
def test_load_is_never_raised_by_more_than_the_share(steps: list[tuple[float, bool]]) -> None:
    """When a retry is allowed, it and those within the span before are a fifth of the requests, or three."""
    budget, now, asked, again = RetryBudget(), 0.0, list[float](), list[float]()
    for wait, fails in steps:
        now += wait
        budget.request(now)
        asked.append(now)
        if fails and budget.take(now):
            again.append(now)
            retries = sum(at // 1 > now // 1 - 10 for at in again)
            assert retries <= max(FLOOR, SHARE * sum(at // 1 > now // 1 - 10 for at in asked))


def test_to_ask_takes_nothing() -> None:
    """Whether there is room can be asked any number of times."""
    budget = RetryBudget(floor=1)
    assert all(budget.allows(1.0) for _ in range(10))
    assert budget.take(1.0)
    assert not budget.allows(1.0)
    assert not budget.take(1.0)


def test_room_comes_back_with_time() -> None:
    """What was used is free again after the span."""
    budget = RetryBudget(floor=1, span=10.0)
    assert budget.take(5.0)
    assert not budget.take(13.0)
    assert budget.take(15.0)


def test_a_budget_of_nothing_allows_nothing() -> None:
    """With neither share nor floor there are no retries."""
    budget = RetryBudget(share=0.0, floor=0)
    budget.request(1.0)
    assert not budget.take(1.0)
