"""Rendezvous hashing: the same caller at the same target."""

from __future__ import annotations

from collections import Counter
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.routing.rendezvous import ranked

__all__: list[str] = []

NAMES = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=10, unique=True)
WEIGHTS = st.floats(0.05, 20)


def names(key: str, weights: list[tuple[str, float]]) -> list[str]:
    return [name for name, _ in ranked(key, weights)]


def test_the_order_is_the_same_in_every_process() -> None:
    """Replicas agree without communication: these orders are fixed, now and after any restart."""
    weights = [("a", 1.0), ("b", 1.0), ("c", 2.0)]
    assert ["".join(names(f"user-{number}", weights)) for number in range(6)] == [
        "bac",
        "cba",
        "cba",
        "acb",
        "bca",
        "cba",
    ]


@given(st.text(), NAMES, st.randoms())
def test_how_targets_are_written_does_not_matter(key: str, targets: list[str], chance: object) -> None:
    """The order depends on names and weights, not on the order of the input."""
    weights = [(name, 1.0 + len(name)) for name in targets]
    assert ranked(key, weights) == ranked(key, list(reversed(weights)))


@given(st.text(), st.lists(st.tuples(st.text(min_size=1), WEIGHTS), min_size=2, max_size=8), st.data())
def test_only_those_move_whose_target_left(
    key: str, weights: list[tuple[str, float]], data: st.DataObject
) -> None:
    """Without one target, the order of the others stays the same."""
    weights = list(dict(weights).items())
    gone = data.draw(st.sampled_from(weights))
    left = [entry for entry in weights if entry != gone]
    assert names(key, left) == [name for name in names(key, weights) if name != gone[0]]


@given(st.text(), NAMES, st.data(), st.floats(1.01, 10))
def test_more_weight_only_attracts(key: str, targets: list[str], data: st.DataObject, factor: float) -> None:
    """When a weight grows, callers move to that target or stay where they are."""
    heavy = data.draw(st.sampled_from(targets))
    before = names(key, [(name, 1.0) for name in targets])
    after = names(key, [(name, factor if name == heavy else 1.0) for name in targets])
    assert after.index(heavy) <= before.index(heavy)
    assert [name for name in after if name != heavy] == [name for name in before if name != heavy]


@pytest.mark.parametrize("weights", [[1, 1, 1, 1], [1, 2, 5], [0.1, 1], [3, 3, 3, 3, 3, 3, 3, 3, 3, 3]])
def test_callers_are_spread_by_weight(weights: list[float]) -> None:
    """Over 20,000 callers each target has its share within 4.5 standard deviations."""
    entries = [(f"target-{index}", weight) for index, weight in enumerate(weights)]
    total = 20_000
    counted = Counter(names(f"caller {number}", entries)[0] for number in range(total))
    for name, weight in entries:
        share = weight / sum(weights)
        assert abs(counted[name] - total * share) < 4.5 * (total * share * (1 - share)) ** 0.5


def test_those_who_move_are_spread_too() -> None:
    """The callers of a removed target are spread over all others, and do not go to a single one."""
    entries = [(name, 1.0) for name in "abcde"]
    orders = [names(f"caller {number}", entries) for number in range(20_000)]
    seconds = Counter(order[1] for order in orders if order[0] == "a")
    total = seconds.total()
    for name in "bcde":
        assert abs(seconds[name] - total / 4) < 4.5 * (total * 3 / 16) ** 0.5


def test_who_has_no_weight_comes_last() -> None:
    """A target without weight is last, and stays in the order."""
    order = ranked("user", [("a", 0.0), ("b", 1.0), ("c", -1.0)])
    assert [name for name, _ in order] == ["b", "a", "c"]
    assert [number for _, number in order[1:]] == [inf, inf]


def test_key_and_name_do_not_run_together() -> None:
    """`ab` at `c` and `a` at `bc` get different numbers, and a key that cannot be encoded works too."""
    assert ranked("ab", [("c", 1.0)])[0][1] != ranked("a", [("bc", 1.0)])[0][1]
    assert len(ranked("\ud800", [("c", 1.0)])) == 1
