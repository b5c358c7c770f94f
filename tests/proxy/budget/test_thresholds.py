"""Tests of alert thresholds."""

from __future__ import annotations

from standby.proxy.budget.accounts import Account, Accounts
from standby.proxy.budget.thresholds import Thresholds, share
from standby.proxy.config import BudgetWindow, Grants

__all__: list[str] = []


def account(now: float = 0.0, *, rolling: bool = False) -> Account:
    """A budget of 100 requests per hour with alerts at 50 %, 80 % and 100 %."""
    window = BudgetWindow(
        limit=100, window="hour", unit="requests", rolling=rolling, alert_at=(0.5, 0.8, 1.0)
    )
    return Accounts().of("key", Grants(name="k", budget=(window,)), now)[0]


def test_each_share_is_told_once() -> None:
    """If several thresholds are reached at once, only the highest is reported, and none of them again."""
    thresholds = Thresholds()
    assert [thresholds.passed(account(), used) for used in (49, 50, 51, 100, 70, 90)] == [
        *(None, 0.5, None, 1.0, None, None),
    ]


def test_the_next_window_is_another_one() -> None:
    """A threshold is reported again in the next window."""
    thresholds = Thresholds()
    reported = [thresholds.passed(account(now), 50) for now in (0.0, 3599.0, 3600.0)]
    assert reported == [0.5, None, 0.5]


def test_a_rolling_window_is_told_once_in_its_length() -> None:
    """In a rolling window a threshold is reported once per window length, not once per bucket."""
    thresholds = Thresholds()
    reported = [thresholds.passed(account(now, rolling=True), 50) for now in range(0, 7200, 60)]
    assert reported.count(0.5) == 2


def test_share() -> None:
    """The share is the used fraction of the limit, and 0 without a limit."""
    assert share(account(), 25) == 0.25
    unlimited = account()._replace(line=account().line._replace(limit=None))
    assert share(unlimited, 25) == 0.0
