"""Sums of ledger entries."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.ops.ledger_totals import BY, By, LedgerTotals, grouping
from standby.proxy.stores.records import LedgerEntry, Outcome, Source

__all__: list[str] = []

MIDNIGHT = 1_793_491_200.0
"""2026-11-01 00:00 UTC."""


def entry(
    request: str = "req_1",
    attempt: int = 1,
    *,
    at: float = MIDNIGHT,
    key: str | None = "checkout",
    target: str = "main",
    cost: int | None = 75_000_000,
    outcome: Outcome = "served",
    source: Source = "provider",
) -> LedgerEntry:
    """The entry of an attempt with 100 input and 10 output tokens."""
    return LedgerEntry(
        at=at,
        request_id=request,
        attempt=attempt,
        key=key,
        target=target,
        model=f"model-of-{target}",
        input=100,
        output=10,
        cached=40,
        reasoning=3,
        cost=cost,
        charged=0 if outcome == "failed" else cost,
        outcome=outcome,
        source=source,
    )


def test_a_failed_over_request_is_one_request_of_two_attempts() -> None:
    """Both attempts cost. The cost of the failed one and the charged amount are summed separately."""
    sums = LedgerTotals(("key",))
    sums.extend([entry(outcome="failed", target="main"), entry(attempt=2, target="spare")])

    [(group, totals)] = sums.rows
    assert group == ("checkout",)
    assert (totals.requests, totals.attempts, totals.failed) == (1, 2, 1)
    assert (totals.cost, totals.failed_cost, totals.charged) == (150_000_000, 75_000_000, 75_000_000)
    assert (totals.input, totals.cached, totals.output, totals.reasoning) == (200, 80, 20, 6)


def test_each_target_has_its_own_attempts() -> None:
    """Grouped by target, a request that failed over counts once per target and once in the total."""
    sums = LedgerTotals(("target",))
    sums.extend([entry(outcome="failed", target="main"), entry(attempt=2, target="spare")])

    assert {group: totals.requests for group, totals in sums.rows} == {("main",): 1, ("spare",): 1}
    assert sums.total.requests == 1


def test_a_hang_up_is_no_failure_of_the_target() -> None:
    """Attempts whose caller left do not count as failed. Truncated and expired ones do."""
    sums = LedgerTotals()
    outcomes: tuple[Outcome, ...] = ("served", "client_gone", "failed", "truncated", "expired")
    sums.extend(entry(f"req_{number}", outcome=outcome) for number, outcome in enumerate(outcomes))
    assert sums.total.failed == 3


def test_what_has_no_price_is_never_nothing() -> None:
    """An attempt without a cost adds nothing to the sums, and counts as unpriced."""
    sums = LedgerTotals()
    sums.extend([entry(cost=None), entry("req_2", source="unpriced")])
    assert (sums.total.unpriced, sums.total.cost) == (2, 75_000_000)


def test_estimates_are_counted() -> None:
    """Estimated attempts, and expired holds that were never settled, are counted separately."""
    sums = LedgerTotals()
    sums.extend([entry(source="estimated"), entry("req_2", source="expired"), entry("req_3")])
    assert sums.total.estimated == 2


def test_days_are_those_of_a_zone() -> None:
    """An hour before midnight in London is the next day in Paris."""
    days = {
        zone: [group for group, _ in _by_day(zone).rows] for zone in ("UTC", "Europe/Paris", "Asia/Tokyo")
    }
    assert days == {
        "UTC": [("2026-10-31",), ("2026-11-01",)],
        "Europe/Paris": [("2026-11-01",)],
        "Asia/Tokyo": [("2026-11-01",)],
    }


def _by_day(zone: str) -> LedgerTotals:
    sums = LedgerTotals(("day",), ZoneInfo(zone))
    sums.extend([entry(at=MIDNIGHT - 1800), entry("req_2", at=MIDNIGHT)])
    return sums


def test_the_dearest_comes_first() -> None:
    """Rows are ordered by cost, and by name where that is equal."""
    sums = LedgerTotals(("key",))
    sums.extend([entry(key="b", cost=1), entry("req_2", key="a", cost=1), entry("req_3", key="c", cost=2)])
    assert [group for group, _ in sums.rows] == [("c",), ("a",), ("b",)]


def test_several_properties_at_once() -> None:
    """Groups of two properties differ by both, and days are sorted."""
    sums = LedgerTotals(("day", "key"))
    sums.extend([entry(cost=9, at=MIDNIGHT + 86_400), entry("req_2", key="a", cost=1)])
    assert [group for group, _ in sums.rows] == [("2026-11-01", "a"), ("2026-11-02", "checkout")]


def test_who_has_no_name_stands_under_none() -> None:
    """Entries without the property form one group."""
    sums = LedgerTotals(("key",))
    sums.extend([entry(key=None)])
    assert [group for group, _ in sums.rows] == [("",)]


@pytest.mark.parametrize("by", BY)
def test_every_property_can_be_told_apart(by: By) -> None:
    """For any grouping, the groups add up to the total."""
    sums = LedgerTotals((by,))
    sums.extend([entry(), entry("req_2", key="other", target="spare")])
    assert sum(totals.cost for totals in sums.groups.values()) == sums.total.cost == 150_000_000


@given(costs=st.lists(st.integers(0, 10**18), max_size=20))
def test_sums_are_exact(costs: list[int]) -> None:
    """Sums are exact to the nano-dollar for any amounts."""
    sums = LedgerTotals(("target",))
    sums.extend(entry(f"req_{number}", cost=cost) for number, cost in enumerate(costs))
    assert sums.total.cost == sum(costs)


@pytest.mark.parametrize("text", ["", "keys", "key,", "key,key", "key;drop"])
def test_an_unknown_grouping_is_refused(text: str) -> None:
    """An invalid grouping is refused, and the message lists the valid names."""
    with pytest.raises(ValueError, match="give one or several of: key, team"):
        grouping(text)


def test_a_grouping_names_properties() -> None:
    """Names are separated by commas."""
    assert grouping("key, day") == ("key", "day")
