"""Shares of a budget that are told when they are passed."""

from __future__ import annotations

from standby.proxy.budget.accounts import Account, Accounts
from standby.proxy.budget.thresholds import Thresholds, share
from standby.proxy.config import BudgetWindow, Grants

__all__: list[str] = []


def account(now: float = 0.0, *, rolling: bool = False) -> Account:
    """A budget of 100 an hour, with alerts at a half, at 80 % and at all of it."""
    window = BudgetWindow(
        limit=100, window="hour", unit="requests", rolling=rolling, alert_at=(0.5, 0.8, 1.0)
    )
    return Accounts().of("key", Grants(name="k", budget=(window,)), now)[0]


def test_each_share_is_told_once() -> None:
    """When several are passed at once the highest is told, and none of them again."""
    thresholds = Thresholds()
    assert [thresholds.passed(account(), used) for used in (49, 50, 51, 100, 70, 90)] == [
        *(None, 0.5, None, 1.0, None, None),
    ]


def test_the_next_window_is_another_one() -> None:
    """In the next window it is told again."""
    thresholds = Thresholds()
    told = [thresholds.passed(account(now), 50) for now in (0.0, 3599.0, 3600.0)]
    assert told == [0.5, None, 0.5]


def test_a_rolling_window_is_told_once_in_its_length() -> None:
    """Not once for each of its parts."""
    thresholds = Thresholds()
    told = [thresholds.passed(account(now, rolling=True), 50) for now in range(0, 7200, 60)]
    assert told.count(0.5) == 2


def test_share() -> None:
    """How much is used, of all there is; nothing, of what has no limit."""
    assert share(account(), 25) == 0.25
    unlimited = account()._replace(line=account().line._replace(limit=None))
    assert share(unlimited, 25) == 0.0
