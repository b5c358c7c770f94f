"""Smooth weighted round robin."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.routing.round_robin import RoundRobin

__all__: list[str] = []

WEIGHTS = st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(any)


def entries(weights: list[int]) -> list[tuple[str, float]]:
    return [(f"t{index}", weight) for index, weight in enumerate(weights)]


def taken(turns: RoundRobin, weights: list[tuple[str, float]], count: int) -> list[str]:
    return [turns.take(weights)[0][0] for _ in range(count)]


def test_turns_are_spread_evenly() -> None:
    """The turns of the heavy target are spread: the sequence is nginx's."""
    assert "".join(taken(RoundRobin(), [("a", 5), ("b", 1), ("c", 1)], 14)) == "aabacaa" * 2


@given(WEIGHTS, st.integers(0, 80))
def test_any_window_of_the_sum_is_exact(weights: list[int], begin: int) -> None:
    """From any start, as many turns as the sum of the weights give each target its weight."""
    turns, total = RoundRobin(), sum(weights)
    taken(turns, entries(weights), begin)
    counted = Counter(taken(turns, entries(weights), total))
    assert counted == Counter({name: int(weight) for name, weight in entries(weights) if weight})


@given(st.lists(st.tuples(WEIGHTS, st.sets(st.integers(0, 7))), max_size=60))
def test_every_one_is_in_the_order_once(rounds: list[tuple[list[int], set[int]]]) -> None:
    """However targets come and go, the order holds all that are present, those without weight last."""
    turns = RoundRobin()
    for weights, absent in rounds:
        present = [entry for index, entry in enumerate(entries(weights)) if index not in absent]
        order = [name for name, _ in turns.take(present)]
        assert sorted(order) == sorted(name for name, _ in present)
        idle = [name for name, weight in present if not weight]
        assert order[len(order) - len(idle) :] == idle


@given(st.lists(st.integers(1, 5), min_size=2, max_size=6), st.lists(st.sets(st.integers(1, 5)), max_size=80))
def test_who_was_away_does_not_rush_back(weights: list[int], absences: list[set[int]]) -> None:
    """After any changes the shares are right again: over two sums of weights, within two turns."""
    turns, everyone = RoundRobin(), entries(weights)
    for absent in absences:
        turns.take([entry for index, entry in enumerate(everyone) if index not in absent])
    counted = Counter(taken(turns, everyone, 2 * sum(weights)))
    for name, weight in everyone:
        assert abs(counted[name] - 2 * weight) <= 2


def test_shares_hold_for_fractions() -> None:
    """Weights may be fractions: a target in a slow start has a tenth of its weight."""
    counted = Counter(taken(RoundRobin(), [("a", 1), ("b", 0.1)], 1100))
    assert counted == {"a": 1000, "b": 100}


def test_to_look_takes_no_turn() -> None:
    """`look` returns the next turn in full order, without taking it."""
    turns, weights = RoundRobin(), [("a", 2.0), ("b", 1.0), ("z", 0.0)]
    for _ in range(10):
        assert turns.look(weights) == turns.look(weights) == turns.take(weights)


def test_nobody_with_weight_leaves_the_order_as_it_is() -> None:
    """Without any weight there are no turns and no error."""
    assert RoundRobin().take([("a", 0), ("b", 0)]) == [("a", 0.0), ("b", 0.0)]
    assert RoundRobin().take([]) == []
