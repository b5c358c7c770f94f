"""Ratios over a sliding span, against a list of all that came."""

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
    """At any time the counts are those of the bucket under way and the nine before it, to the last one."""
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
    """Nothing older than the span counts, and nothing younger than nine tenths of it is forgotten."""
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
    """At least half of at least ten: exactly there it trips, one less of either and it does not."""
    assert ratio(hits, others).reaches(0.5, 10, 100.0) is reached


@pytest.mark.parametrize("tenths", range(1, 11))
def test_a_share_that_is_met_exactly_is_reached(tenths: int) -> None:
    """3 of 30 are a tenth, though 0.1 is none to a computer."""
    assert ratio(3 * tenths, 30 - 3 * tenths).reaches(tenths / 10, 30, 100.0)


def test_a_burst_of_successes_does_not_hide_an_outage() -> None:
    """A hundred successes before, all failures since: once those have left, the outage is total."""
    window = ratio(0, 100, now=0.0)
    for now in range(5, 35, 3):
        window.record(now, hit=True)
    assert window.share(34.0) == 1.0


def test_too_few_have_no_share() -> None:
    """Below the least number there is no share, and of nothing there is none at all."""
    assert ratio(1, 1).share(100.0, least=3) is None
    assert ratio(1, 2).share(100.0, least=3) == pytest.approx(1 / 3)
    assert RatioWindow(30.0).share(0.0, least=0) is None


def test_a_moment_that_has_passed_counts_as_the_latest() -> None:
    """Time does not run backwards here."""
    window = ratio(1, 0)
    window.record(1.0, hit=False)
    assert window.counted(50.0) == Counted(1, 2)


def test_clearing_forgets_all() -> None:
    """What comes after is judged by itself, and nothing is taken off twice later."""
    window = ratio(5, 5)
    window.clear()
    assert window.counted(100.0) == (0, 0)
    window.record(101.0, hit=True)
    assert window.counted(131.0) == (0, 0)


@given(st.floats(0.05, 5_000), STEPS)
def test_any_span_counts(span: float, steps: list[tuple[int, bool]]) -> None:
    """With buckets of any width no count is below zero, and all is gone after the span."""
    window, now = RatioWindow(span), 0.0
    for wait, hit in steps:
        now += wait * span / 37
        window.record(now, hit=hit)
        hits, total = window.counted(now)
        assert 0 <= hits <= total
        assert total >= 1
    assert window.counted(now + 1.01 * span) == (0, 0)
