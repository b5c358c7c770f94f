"""Every balancing algorithm returns a full order, and spreads the load as documented."""

from __future__ import annotations

import random
from collections import Counter
from math import inf
from typing import Any, Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.config import Balance
from standby.proxy.routing.balance import Balancer, Entrant, Placed

__all__: list[str] = []

WAYS: Final[tuple[Balance, ...]] = get_args(Balance)
ENTRANTS = st.lists(
    st.builds(
        Entrant,
        name=st.text(min_size=1, max_size=8),
        weight=st.one_of(st.integers(0, 5), st.floats(0, 5)),
        busy=st.integers(0, 100),
        latency=st.none() | st.floats(0.001, 600),
        cost=st.none() | st.integers(0, 10**12),
        ramp=st.just(1.0),
    ),
    max_size=12,
    unique_by=lambda entrant: entrant.name,
)


def balancer(seed: int = 1) -> Balancer:
    return Balancer(random.Random(seed).random)


def firsts(count: int, balance: Balance, *entrants: Entrant, seed: int = 1) -> Counter[str]:
    spread = balancer(seed)
    return Counter(spread.order("pool", balance, entrants)[0].name for _ in range(count))


@given(st.sampled_from(WAYS), ENTRANTS, st.none() | st.text(), st.booleans(), st.integers())
def test_every_way_gives_everyone_once(
    balance: Balance, entrants: list[Entrant], key: str | None, dry: bool, seed: int
) -> None:
    """For any state of the targets, the order holds each exactly once, with a score that is a number."""
    order = balancer(seed).order("pool", balance, entrants, key=key, dry=dry)
    assert sorted(placed.name for placed in order) == sorted(entrant.name for entrant in entrants)
    assert all(placed.score == placed.score for placed in order)


@given(st.sampled_from(WAYS), ENTRANTS, st.integers())
def test_the_rest_is_in_order_of_its_score(balance: Balance, entrants: list[Entrant], seed: int) -> None:
    """After the first, lower scores come earlier. Targets without weight come last."""
    rest = [placed.score for placed in balancer(seed).order("pool", balance, entrants)[1:]]
    if balance == "weighted":
        rest = rest[: sum(entrant.weight > 0 for entrant in entrants) - 1]
    assert rest == sorted(rest)


@given(ENTRANTS.filter(lambda entrants: any(entrant.weight > 0 for entrant in entrants)), st.integers())
def test_who_has_no_weight_is_never_first(entrants: list[Entrant], seed: int) -> None:
    """A weight of 0 takes a target out of the rotation, and keeps it in the order."""
    idle = {entrant.name for entrant in entrants if not entrant.weight}
    for balance in ("weighted", "fastest", "least_busy"):
        assert balancer(seed).order("pool", balance, entrants)[0].name not in idle
    assert balancer(seed).order("pool", "priority", entrants, key="user")[0].name not in idle


def test_weighted_goes_by_turns() -> None:
    """Shares are exact, each pool has its own rotation, and a dry call does not advance it."""
    entrants = [Entrant("a", 3), Entrant("b", 1)]
    spread = balancer()
    seen: Counter[tuple[str, str]] = Counter()
    for _ in range(8):
        for pool in ("one", "two"):
            looked = spread.order(pool, "weighted", entrants, dry=True)
            assert spread.order(pool, "weighted", entrants) == looked
            seen[pool, looked[0].name] += 1
    assert seen == {("one", "a"): 6, ("one", "b"): 2, ("two", "a"): 6, ("two", "b"): 2}


def test_fastest_is_the_better_of_two() -> None:
    """Of three, the slowest is never first, and the others are first in the expected proportion."""
    counts = firsts(9_000, "fastest", *(Entrant(name, latency=float(at)) for at, name in enumerate("abc", 1)))
    assert counts["c"] == 0
    assert abs(counts["a"] - 6_000) < 250
    assert abs(counts["b"] - 3_000) < 250


def test_fastest_counts_who_waits_already() -> None:
    """A target that is twice as fast gets a queue twice as long."""
    quick, slow = Entrant("quick", latency=1.0, busy=2), Entrant("slow", latency=2.0, busy=1)
    assert firsts(50, "fastest", quick, slow) == {"quick": 50}
    assert firsts(50, "fastest", quick._replace(busy=4), slow) == {"slow": 50}


def test_fastest_tries_who_is_unknown() -> None:
    """A target without a latency counts as the fastest known one, until it is as busy."""
    known, unknown = Entrant("known", latency=1.0, busy=3), Entrant("unknown")
    assert firsts(50, "fastest", known, unknown) == {"unknown": 50}
    assert firsts(50, "fastest", known, unknown._replace(busy=4)) == {"known": 50}


def test_fastest_lets_chance_decide_between_equals() -> None:
    """Two idle targets of unknown latency are each first half of the time."""
    assert abs(firsts(4_000, "fastest", Entrant("a"), Entrant("b"))["a"] - 2_000) < 200


def test_fastest_holds_back_who_starts_slowly() -> None:
    """With a tenth of its weight a target must be ten times as fast to be first."""
    new, old = Entrant("new", 0.1, latency=1.0), Entrant("old", 1, busy=8, latency=1.0)
    assert firsts(50, "fastest", new, old) == {"old": 50}
    assert firsts(50, "fastest", new, old._replace(busy=10)) == {"new": 50}


def test_fastest_spreads_by_capacity() -> None:
    """In a simulation with requests of 1 s at one target and 3 s at the other, both targets are used."""
    spread, chance = balancer(), random.Random(2)
    ends: dict[str, list[float]] = {"a": [], "b": []}
    served: Counter[str] = Counter()
    now = 0.0
    for _ in range(4_000):
        now += chance.expovariate(4.0)
        for under_way in ends.values():
            under_way[:] = [end for end in under_way if end > now]
        entrants = [
            Entrant("a", busy=len(ends["a"]), latency=1.0),
            Entrant("b", busy=len(ends["b"]), latency=3.0),
        ]
        first = spread.order("pool", "fastest", entrants)[0].name
        ends[first].append(now + (1.0 if first == "a" else 3.0))
        served[first] += 1
    assert 0.05 < served["b"] / served["a"] < 0.6


def test_cheapest_is_by_the_estimate() -> None:
    """The lowest cost is first, and a target without a price is last, even if it is idle."""
    order = balancer().order(
        "pool", "cheapest", [Entrant("unpriced"), Entrant("dear", cost=9), Entrant("cheap", busy=9, cost=1)]
    )
    assert order == [Placed("cheap", 1), Placed("dear", 9), Placed("unpriced", inf)]


def test_cheapest_spreads_over_equals() -> None:
    """Of two targets with the same price the less busy is first. If both are idle, each is equally often."""
    a, b = Entrant("a", cost=5), Entrant("b", cost=5)
    assert abs(firsts(4_000, "cheapest", a, b)["a"] - 2_000) < 200
    assert firsts(50, "cheapest", a._replace(busy=1), b) == {"b": 50}


def test_least_busy_is_by_requests_under_way() -> None:
    """The fewest requests by weight are first: 3 at a double weight are fewer than 2 at a single one."""
    assert firsts(50, "least_busy", Entrant("a", 2, busy=3), Entrant("b", 1, busy=2)) == {"a": 50}
    order = balancer().order("pool", "least_busy", [Entrant("a", busy=2), Entrant("b"), Entrant("c", busy=1)])
    assert order == [Placed("b", 0), Placed("c", 1), Placed("a", 2)]


def test_least_busy_spreads_over_the_idle_by_weight() -> None:
    """At low load all targets are idle. Then each is first in proportion to its weight."""
    counts = firsts(8_000, "least_busy", Entrant("a", 3), Entrant("b", 1))
    assert abs(counts["a"] - 6_000) < 200


def test_priority_is_as_written() -> None:
    """Only the order of the configuration counts."""
    order = balancer().order("pool", "priority", [Entrant("b", busy=99), Entrant("a")])
    assert order == [Placed("b", 0), Placed("a", 1)]


@pytest.mark.parametrize("balance", WAYS)
def test_a_key_decides_alone(balance: Balance) -> None:
    """In a sticky pool a caller's order is always the same, whatever the latency, cost and load."""
    entrants = [Entrant(name) for name in "abcd"]
    spread = balancer()
    order = [placed.name for placed in spread.order("pool", balance, entrants, key="user 1")]
    for busy in range(20):
        changed: list[Any] = [entrant._replace(busy=busy, latency=1.0, cost=busy) for entrant in entrants]
        assert [p.name for p in spread.order("pool", balance, changed, key="user 1")] == order


@pytest.mark.parametrize("balance", ["priority", "cheapest"])
def test_a_slow_start_keeps_its_place_so_often(balance: Balance) -> None:
    """In algorithms without weights, a target in a slow start is first in its share of the requests."""
    first = firsts(1000, balance, Entrant("a", cost=1, ramp=0.25), Entrant("b", cost=2))
    assert 200 < first["a"] < 300


def test_a_slow_start_of_all_is_none() -> None:
    """Without another target it keeps its place."""
    assert firsts(50, "priority", Entrant("a", ramp=0.1)) == {"a": 50}
