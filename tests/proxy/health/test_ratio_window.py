"""Ratios over a sliding window, compared with a list of all events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.health.ratio_window import BUCKETS, Counted, RatioWindow

__all__: list[str] = []

STEPS = st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=200)


def ratio(hits: int, others: int, now: float = 100.0) -> RatioWindow:
    window = RatioWindow(30.0)
    for hit in (*[True] * hits, *[False] * others):
        window.record(now, hit=hit)
    return window


@given(STEPS)
def test_counts_are_exact(steps: list[tuple[int, bool]]) -> None:
    """At any time the counts are exactly those of the current bucket and the nine before it."""
    window, now, log = RatioWindow(30.0), 0, list[tuple[int, bool]]()
    for wait, hit in steps:
        now += wait
        window.record(now, hit=hit)
        log.append((now, hit))
        lately = [was for at, was in log if at // 3 > now // 3 - BUCKETS]
        assert window.counted(now) == (sum(lately), len(lately))
    assert window.counted(now + 30) == (0, 0)


@given(STEPS)
def test_a_window_is_never_longer_than_its_span(steps: list[tuple[int, bool]]) -> None:
    """Nothing older than the span counts, and everything younger than nine tenths of it does."""
    window, now, log = RatioWindow(30.0), 0, list[int]()
    for wait, hit in steps:
        now += wait
        window.record(now, hit=hit)
        log.append(now)
        total = window.counted(now).total
        assert sum(at > now - 27 for at in log) <= total <= sum(at > now - 30 for at in log)


@pytest.mark.parametrize(
    ("hits", "others", "reached"),
    [(5, 5, True), (4, 6, False), (9, 0, False), (10, 0, True), (0, 0, False), (50, 51, False)],
)
def test_a_breaker_trips_at_half_of_ten(hits: int, others: int, reached: bool) -> None:
    """A share of one half with a minimum of ten is reached exactly there, and not with one less of either."""
    assert ratio(hits, others).reaches(0.5, 10, 100.0) is reached


@pytest.mark.parametrize("tenths", range(1, 11))
def test_a_share_that_is_met_exactly_is_reached(tenths: int) -> None:
    """3 of 30 reach a share of 0.1, although 0.1 has no exact binary representation."""
    assert ratio(3 * tenths, 30 - 3 * tenths).reaches(tenths / 10, 30, 100.0)


def test_a_burst_of_successes_does_not_hide_an_outage() -> None:
    """After a hundred successes and then only failures, the share is 1 once the successes have expired."""
    window = ratio(0, 100, now=0.0)
    for now in range(5, 35, 3):
        window.record(now, hit=True)
    assert window.share(34.0) == 1.0


def test_too_few_have_no_share() -> None:
    """Below the minimum there is no share, and with no events there is never one."""
    assert ratio(1, 1).share(100.0, least=3) is None
    assert ratio(1, 2).share(100.0, least=3) == pytest.approx(1 / 3)
    assert RatioWindow(30.0).share(0.0, least=0) is None


def test_a_moment_that_has_passed_counts_as_the_latest() -> None:
    """An earlier time than the latest one counts as the latest."""
    window = ratio(1, 0)
    window.record(1.0, hit=False)
    assert window.counted(50.0) == Counted(1, 2)


def test_clearing_forgets_all() -> None:
    """After `clear` only later events count, and nothing is subtracted twice afterwards."""
    window = ratio(5, 5)
    window.clear()
    assert window.counted(100.0) == (0, 0)
    window.record(101.0, hit=True)
    assert window.counted(131.0) == (0, 0)


@given(st.floats(0.05, 5_000), STEPS)
def test_any_span_counts(span: float, steps: list[tuple[int, bool]]) -> None:
    """For any bucket width no count is negative, and all counts are 0 after the span."""
    window, now = RatioWindow(span), 0.0
    for wait, hit in steps:
        now += wait * span / 37
        window.record(now, hit=hit)
        hits, total = window.counted(now)
        assert 0 <= hits <= total
        assert total >= 1
    assert window.counted(now + 1.01 * span) == (0, 0)
