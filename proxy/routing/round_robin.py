"""Smooth weighted round robin. No I/O.

In every turn, each target present earns its weight in credit. The target with the most credit is first and
pays the sum of all weights. With weights 5, 1 and 1 that gives a a b a c a a and not a a a a a b c (nginx,
since 1.3.1). While the targets and weights do not change, any run of as many turns as the sum of the weights
gives each target exactly its weight in turns.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["RoundRobin"]


class RoundRobin:
    """The credit of the targets of one pool, by name, so that it survives a configuration reload.

    An absent target keeps its credit unchanged: it neither accumulates credit for a burst, nor starts over.
    """

    __slots__ = ("_credit",)

    def __init__(self) -> None:
        self._credit: dict[str, float] = {}

    def take(self, weights: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
        """Take the next turn, among (name, weight) pairs. Returns (name, credit) pairs in order.

        The credit is that before the payment. The first has the turn, and the others follow by falling
        credit. Names without a weight above 0 have no turn and come last, in the order given, with a credit
        of 0. Integer weights are computed exactly.
        """
        order, total = self._order(weights)
        if total:
            credit = self._credit
            credit.update(order)
            credit[order[0][0]] -= total
        return order + [(name, 0.0) for name, weight in weights if not weight > 0]

    def look(self, weights: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
        """Returns what `take` would return, without taking the turn."""
        order, _ = self._order(weights)
        return order + [(name, 0.0) for name, weight in weights if not weight > 0]

    def _order(self, weights: Sequence[tuple[str, float]]) -> tuple[list[tuple[str, float]], float]:
        """Returns (name, credit) pairs of positive weight, by falling credit, and the sum of the weights."""
        credit = self._credit
        order: list[tuple[str, float]] = []
        total: float = 0
        for name, weight in weights:
            if weight > 0:
                total += weight
                order.append((name, credit.get(name, 0) + weight))
        order.sort(key=_credit_of, reverse=True)  # stable: ties go to the one written first
        return order, total


def _credit_of(entry: tuple[str, float]) -> float:
    return entry[1]
