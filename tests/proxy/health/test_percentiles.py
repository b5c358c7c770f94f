"""Duration percentiles compared with an exact sort, the sliding window."""

from __future__ import annotations

import gc
import math
import random
import sys
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.health.percentiles import ERROR, LEAST, MOST, SLICE, SLICES, Percentiles, PercentileWindow

__all__: list[str] = []

NOW: Final = 1000.0
DISTRIBUTIONS: Final[dict[str, Callable[[random.Random], float]]] = {
    "lognormal": lambda chance: chance.lognormvariate(0.5, 0.8),
    "bimodal": lambda chance: chance.gauss(*((2.0, 0.2) if chance.random() < 0.9 else (30.0, 3.0))),
    "uniform": lambda chance: chance.uniform(0.05, 8.0),
    "exponential": lambda chance: chance.expovariate(1 / 1.5),
    "pareto": lambda chance: 0.3 * chance.paretovariate(1.2),
}


def exact(durations: list[float], percent: int) -> float:
    """The exact percentile by nearest rank, within the bounds of the histogram."""
    value = sorted(durations)[math.ceil(len(durations) * percent / 100) - 1]
    return min(max(value, LEAST), MOST)


def recorded(*durations: float, now: float = NOW) -> PercentileWindow:
    kept = PercentileWindow()
    for duration in durations:
        kept.record(duration, now)
    return kept


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("count", [100, 1_000, 20_000])
def test_percentiles_are_within_five_percent_of_a_sort(distribution: str, count: int) -> None:
    """p50, p95 and p99 differ from an exact sort by at most 5 %, for any distribution of durations."""
    chance = random.Random(f"{distribution}{count}")
    durations = [DISTRIBUTIONS[distribution](chance) for _ in range(count)]

    percentiles = recorded(*durations).percentiles(NOW)

    assert percentiles.samples == count
    for percent, value in ((50, percentiles.p50), (95, percentiles.p95), (99, percentiles.p99)):
        assert value == pytest.approx(exact(durations, percent), rel=0.05)


@given(st.lists(st.floats(LEAST, MOST), min_size=100, max_size=300))
def test_the_error_is_bounded_for_any_durations(durations: list[float]) -> None:
    """For any durations within the bounds, no percentile exceeds the declared error."""
    percentiles = recorded(*durations).percentiles(NOW)

    for percent, value in ((50, percentiles.p50), (95, percentiles.p95), (99, percentiles.p99)):
        assert value == pytest.approx(exact(durations, percent), rel=ERROR + 1e-9)


@given(
    st.lists(
        st.tuples(st.floats(0, 40, allow_subnormal=False), st.floats(LEAST, MOST)), min_size=1, max_size=120
    )
)
def test_the_window_holds_the_last_twelve_slices(steps: list[tuple[float, float]]) -> None:
    """At any time the percentiles are those of the samples of the current slice and the eleven before it."""
    kept, now, log = PercentileWindow(), 0.0, list[tuple[float, float]]()
    for wait, duration in steps:
        now += wait
        kept.record(duration, now)
        log.append((now, duration))
        lately = [seconds for at, seconds in log if at // SLICE > now // SLICE - SLICES]
        percentiles = kept.percentiles(now)
        assert percentiles.samples == len(lately)
        if percentiles.p50 is not None:
            assert percentiles.p50 == pytest.approx(exact(lately, 50), rel=ERROR + 1e-9)


def test_too_few_samples_tell_nothing() -> None:
    """p95 needs 20 samples, p99 needs 100, the median two."""
    kept = PercentileWindow()
    first: dict[str, int] = {}
    for count in range(101):
        percentiles = kept.percentiles(NOW)
        for name in ("p50", "p95", "p99"):
            if getattr(percentiles, name) is not None:
                first.setdefault(name, count)
        kept.record(1.0, NOW)
    assert first == {"p50": 2, "p95": 20, "p99": 100}


@pytest.mark.parametrize(
    ("seconds", "counted"),
    [
        (0.0, LEAST),
        (-1.0, LEAST),
        (math.nan, LEAST),
        (1e-9, LEAST),
        (MOST, MOST),
        (1e9, MOST),
        (math.inf, MOST),
    ],
)
def test_what_is_out_of_bounds_counts_as_the_bound(seconds: float, counted: float) -> None:
    """Neither a zero nor an infinite duration breaks the count."""
    assert recorded(seconds, seconds).percentiles(NOW).p50 == counted


def test_every_bucket_can_be_hit() -> None:
    """Increasing durations through the whole range stay within the buckets, in order."""
    values = [LEAST * 1.01**step for step in range(1400)]
    medians = [recorded(value, value).percentiles(NOW).p50 for value in values]
    assert medians == sorted(value for value in medians if value is not None)


def test_what_is_old_is_forgotten() -> None:
    """After a minute without samples there are no percentiles. A jump of the clock has the same effect."""
    kept = recorded(*[1.0] * 200)
    assert kept.percentiles(NOW + 54.9).samples == 200
    assert kept.percentiles(NOW + 60.0) == Percentiles(0, None, None, None)
    assert kept.expected(NOW + 1e9) is None


def test_a_moment_that_has_passed_counts_as_the_latest() -> None:
    """Samples that arrive out of order are counted in the current slice."""
    kept = recorded(1.0)
    kept.record(1.0, NOW - 100)
    assert kept.percentiles(NOW - 50).samples == 2


def test_asking_often_gives_the_same_answer() -> None:
    """Cached percentiles are discarded as soon as a sample is recorded."""
    kept = recorded(*[1.0] * 19)
    assert kept.expected(NOW) == kept.percentiles(NOW).p50
    kept.record(9.0, NOW)
    assert kept.percentiles(NOW).p95 == pytest.approx(1.0, rel=ERROR)
    kept.record(9.0, NOW)
    assert kept.percentiles(NOW).p95 == kept.expected(NOW) == pytest.approx(9.0, rel=ERROR)


def test_little_known_is_expected_to_take_its_median() -> None:
    """With fewer than 20 samples the median stands in for p95. With fewer than two there is no value."""
    kept = recorded(1.0)
    assert kept.expected(NOW) is None
    for _ in range(10):
        kept.record(1.0, NOW)
    kept.record(50.0, NOW)
    assert kept.expected(NOW) == pytest.approx(1.0, rel=ERROR)


@given(st.lists(st.floats(LEAST, MOST), min_size=20, max_size=200), st.floats(0.01, 100))
def test_a_limit_is_exceeded_when_p95_is_above_it(durations: list[float], limit: float) -> None:
    """For limits further away than the error, `exceeds` agrees with an exact sort."""
    p95 = exact(durations, 95)
    if not limit / 1.1 < p95 < limit * 1.1:
        assert recorded(*durations).exceeds(limit, NOW) == (p95 > limit)


def test_who_still_waits_counts_before_the_wait_is_over() -> None:
    """A jump from 2 s to 30 s is visible in the attempts in flight, long before the first of them ends."""
    kept = recorded(*[2.0] * 100)
    assert not kept.exceeds(4.0, NOW, overdue=5)
    assert kept.exceeds(4.0, NOW, overdue=6)
    assert not PercentileWindow().exceeds(4.0, NOW, overdue=19)
    assert PercentileWindow().exceeds(4.0, NOW, overdue=20)


@pytest.mark.parametrize(("limit", "exceeded"), [(0.0005, True), (LEAST, True), (MOST, False), (1e4, False)])
def test_a_limit_beyond_all_buckets_is_a_limit(limit: float, exceeded: bool) -> None:
    """The shortest and the longest limits that can be configured are compared correctly."""
    assert recorded(*[2.0] * 30).exceeds(limit, NOW) is exceeded


def test_memory_does_not_grow() -> None:
    """Both windows of one (target, operation) stay below 64 KiB, whatever is recorded."""
    chance = random.Random(1)
    kept = PercentileWindow()
    for now in range(900):
        for _ in range(300):
            kept.record(0.001 * 600_000 ** chance.random(), now)
        kept.percentiles(now)
    assert _size(kept) < 64 * 1024 / 2
    assert _size(kept) <= 13 * 1024  # what the docstring says


def _size(root: object) -> int:
    """The size in bytes of all objects reachable from one, without those that every object shares."""
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        item = waiting.pop()
        if id(item) not in seen and not isinstance(item, type):
            seen[id(item)] = item
            waiting += gc.get_referents(item)
    return sum(map(sys.getsizeof, seen.values()))
