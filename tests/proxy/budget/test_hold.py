"""Tests of Hold: the amounts of a request, the additions for attempts, and the settlement."""

from __future__ import annotations

from typing import Final

from standby.proxy.budget.accounts import Account, Accounts, Amounts
from standby.proxy.budget.hold import Demand, Hold
from standby.proxy.config import BudgetWindow, Grants, Limits

__all__: list[str] = []

CHEAP: Final = Amounts(1, 10, 20, 300)
DEAR: Final = Amounts(1, 10, 50, 900)
SCOPE: Final = Grants(
    name="k",
    budget=(
        BudgetWindow(limit=10**6, window="month"),
        BudgetWindow(limit=10**6, window="day", unit="requests"),
    ),
    limits=Limits(requests_per_minute=60, tokens_per_minute=10_000, concurrent=4),
)
TARGET: Final = Grants(name="t", limits=Limits(requests_per_second=5, concurrent=2))


def accounts(owner: Grants = SCOPE, kind: str = "key") -> tuple[Account, ...]:
    """The accounts of a scope or target."""
    return Accounts().of(kind, owner, 0.0)


def amounts_of(demand: Demand) -> dict[str, int]:
    """The amounts of a demand by account."""
    lines = zip(demand.accounts, demand.lines, strict=True)
    return {account.what: line.amount for account, line in lines}


def test_entry() -> None:
    """The demand has, for each account, the amount in the account's unit."""
    assert amounts_of(Hold(accounts()).entry(CHEAP)) == {
        "cost per month": 300,
        "requests per day": 1,
        "requests_per_minute": 1,
        "tokens_per_minute": 30,
        "concurrent": 1,
    }


def test_an_attempt_that_costs_what_is_held_needs_nothing() -> None:
    """An attempt at the cheapest target needs no further hold."""
    hold = Hold(accounts())
    hold.add(hold.entry(CHEAP))
    assert hold.attempt("t", (), Amounts(1), CHEAP) == ((), (), 0)


def test_a_dearer_attempt_needs_the_difference() -> None:
    """Only the missing amounts are demanded, and only on the accounts where something is missing."""
    hold = Hold(accounts())
    hold.add(hold.entry(CHEAP))
    demand = hold.attempt("t", (), Amounts(1), DEAR)
    assert (amounts_of(demand), demand.cost) == ({"cost per month": 600, "tokens_per_minute": 30}, 600)
    hold.add(demand)
    assert hold.cost == 900


def test_what_was_spent_before_is_not_there_any_more() -> None:
    """What an earlier attempt spent is added to the estimate of the next one."""
    hold = Hold(accounts())
    hold.add(hold.entry(CHEAP))
    demand = hold.attempt("t", (), Amounts(1, 10, 0, 100), CHEAP)
    assert amounts_of(demand) == {"cost per month": 100, "tokens_per_minute": 10}


def test_a_target_has_accounts_of_its_own() -> None:
    """The target's own accounts are held for each attempt, whatever is already held."""
    hold = Hold(accounts())
    hold.add(hold.entry(CHEAP))
    demand = hold.attempt("t", accounts(TARGET, "target"), Amounts(1), CHEAP)
    assert amounts_of(demand) == {"requests_per_second": 1, "concurrent": 1}
    assert [account.scope for account in demand.accounts] == ["target/t"] * 2


def test_money_is_known_where_nothing_counts_it() -> None:
    """The cost is included even without a budget, because the outage allowance needs it."""
    hold = Hold(())
    assert hold.entry(CHEAP) == ((), (), 300)


def test_settlement_lines() -> None:
    """The total is booked on the caller's accounts, and each target's usage on its own accounts."""
    hold = Hold(accounts())
    for name in ("a", "b"):
        hold.attempt(name, accounts(Grants(name=name, limits=TARGET.limits), "target"), Amounts(1), CHEAP)
    lines = hold.settlement_lines({"a": Amounts(1, 10, 0, 100), "b": Amounts(1, 10, 5, 200)})
    assert {line.account: line.amount for line in lines} == {
        "key/k/cost/month": 300,
        "key/k/requests/day": 1,
        "key/k/requests_per_minute": 1,
        "key/k/tokens_per_minute": 25,
        "target/a/requests_per_second": 1,
        "target/b/requests_per_second": 1,
    }


def test_a_request_that_asked_nobody() -> None:
    """It counts against the caller's rate of requests and nothing else."""
    hold = Hold(accounts())
    hold.attempt("a", accounts(TARGET, "target"), Amounts(1), CHEAP)
    lines = hold.settlement_lines({})
    assert [(line.account, line.amount) for line in lines] == [("key/k/requests_per_minute", 1)]


def test_amounts_that_no_store_takes() -> None:
    """Amounts are capped at the maximum that stores accept."""
    huge = Hold(accounts()).entry(Amounts(1, 0, 0, 10**30))
    assert amounts_of(huge)["cost per month"] == 10**18
