"""The hold of one request: what it holds, what an attempt lacks, what it owes."""

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


def told(demand: Demand) -> dict[str, int]:
    """What is demanded, by what it is demanded of."""
    lines = zip(demand.accounts, demand.lines, strict=True)
    return {account.what: line.amount for account, line in lines}


def test_entry() -> None:
    """A request needs of each account what it takes of its unit."""
    assert told(Hold(accounts()).entry(CHEAP)) == {
        "cost per month": 300,
        "requests per day": 1,
        "requests_per_minute": 1,
        "tokens_per_minute": 30,
        "concurrent": 1,
    }


def test_an_attempt_that_costs_what_is_held_needs_nothing() -> None:
    """The store is not asked again for the cheapest target."""
    hold = Hold(accounts())
    hold.took(hold.entry(CHEAP))
    assert hold.attempt("t", (), Amounts(1), CHEAP) == ((), (), 0)


def test_a_dearer_attempt_needs_the_difference() -> None:
    """Only what is lacking, and only where something is."""
    hold = Hold(accounts())
    hold.took(hold.entry(CHEAP))
    demand = hold.attempt("t", (), Amounts(1), DEAR)
    assert (told(demand), demand.cost) == ({"cost per month": 600, "tokens_per_minute": 30}, 600)
    hold.took(demand)
    assert hold.cost == 900


def test_what_was_spent_before_is_not_there_any_more() -> None:
    """After an attempt that cost something the next one needs its own estimate besides."""
    hold = Hold(accounts())
    hold.took(hold.entry(CHEAP))
    demand = hold.attempt("t", (), Amounts(1, 10, 0, 100), CHEAP)
    assert told(demand) == {"cost per month": 100, "tokens_per_minute": 10}


def test_a_target_has_accounts_of_its_own() -> None:
    """They are held for each attempt, whatever is held of the caller's."""
    hold = Hold(accounts())
    hold.took(hold.entry(CHEAP))
    demand = hold.attempt("t", accounts(TARGET, "target"), Amounts(1), CHEAP)
    assert told(demand) == {"requests_per_second": 1, "concurrent": 1}
    assert [account.scope for account in demand.accounts] == ["target/t"] * 2


def test_money_is_known_where_nothing_counts_it() -> None:
    """An allowance has to know what a request may cost, also for a key without budgets."""
    hold = Hold(())
    assert hold.entry(CHEAP) == ((), (), 300)


def test_dues() -> None:
    """What was taken is booked: the sum on the caller's accounts, each target's own on its own."""
    hold = Hold(accounts())
    for name in ("a", "b"):
        hold.attempt(name, accounts(Grants(name=name, limits=TARGET.limits), "target"), Amounts(1), CHEAP)
    lines = hold.dues({"a": Amounts(1, 10, 0, 100), "b": Amounts(1, 10, 5, 200)})
    assert {line.account: line.amount for line in lines} == {
        "key/k/cost/month": 300,
        "key/k/requests/day": 1,
        "key/k/requests_per_minute": 1,
        "key/k/tokens_per_minute": 25,
        "target/a/requests_per_second": 1,
        "target/b/requests_per_second": 1,
    }


def test_a_request_that_asked_nobody() -> None:
    """It counts for the caller's rate, which it has used, and for nothing else."""
    hold = Hold(accounts())
    hold.attempt("a", accounts(TARGET, "target"), Amounts(1), CHEAP)
    assert [(line.account, line.amount) for line in hold.dues({})] == [("key/k/requests_per_minute", 1)]


def test_amounts_that_no_store_takes() -> None:
    """The most that is asked for is what stores take."""
    huge = Hold(accounts()).entry(Amounts(1, 0, 0, 10**30))
    assert told(huge)["cost per month"] == 10**18
