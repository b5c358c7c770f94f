"""The retry budget: a fifth of the requests, and at least three."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.health.retry_budget import FLOOR, SHARE, RetryBudget

__all__: list[str] = []


@pytest.mark.parametrize(("requests", "retries"), [(0, 3), (1, 3), (15, 3), (19, 3), (20, 4), (100, 20)])
def test_a_fifth_of_the_requests_may_be_sent_again(requests: int, retries: int) -> None:
    """With few requests three retries are allowed, with many one in five."""
    budget = RetryBudget()
    for _ in range(requests):
        budget.request(50.0)
    assert sum(budget.take(50.0) for _ in range(requests + 10)) == retries


@given(st.lists(st.tuples(st.floats(0, 3, allow_subnormal=False), st.booleans()), max_size=200))
def test_load_is_never_raised_by_more_than_the_share(steps: list[tuple[float, bool]]) -> None:
    """An allowed retry and those before it within the span are at most a fifth of the requests, or three."""
    budget, now, request_times, retry_times = RetryBudget(), 0.0, list[float](), list[float]()
    for wait, fails in steps:
        now += wait
        budget.request(now)
        request_times.append(now)
        if fails and budget.take(now):
            retry_times.append(now)
            retries = sum(at // 1 > now // 1 - 10 for at in retry_times)
            assert retries <= max(FLOOR, SHARE * sum(at // 1 > now // 1 - 10 for at in request_times))


def test_to_ask_takes_nothing() -> None:
    """`allows` may be called any number of times and consumes nothing."""
    budget = RetryBudget(floor=1)
    assert all(budget.allows(1.0) for _ in range(10))
    assert budget.take(1.0)
    assert not budget.allows(1.0)
    assert not budget.take(1.0)


def test_room_comes_back_with_time() -> None:
    """Used retries are available again after the span."""
    budget = RetryBudget(floor=1, span=10.0)
    assert budget.take(5.0)
    assert not budget.take(13.0)
    assert budget.take(15.0)


def test_a_budget_of_nothing_allows_nothing() -> None:
    """With a share and a floor of 0 there are no retries."""
    budget = RetryBudget(share=0.0, floor=0)
    budget.request(1.0)
    assert not budget.take(1.0)
