"""Smooth weighted round robin: who is next in turn. No I/O.

Every turn each of those present earns its weight in credit; who has most is first and pays the sum of all
weights. With weights 5, 1 and 1 that gives a a b a c a a and not a a a a a b c (nginx, since 1.3.1). While
nobody comes or goes and no weight changes, as many turns as the sum of the weights give each exactly its
weight, wherever one begins to count.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["RoundRobin"]


class RoundRobin:
    """The credit of the targets of one pool, by name, so that it outlives a reload.

    Who is absent keeps its credit as it is: it neither saves up for a rush when it is back, nor starts over.
    """

    __slots__ = ("_credit",)

    def __init__(self) -> None:
        self._credit: dict[str, float] = {}

    def take(self, weights: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
        """The next turn, among names with their weights: names in order, each with its credit before it paid.

        First who has the turn, then the others, those who are due soonest before the rest. Without weight
        nobody has a turn; they come last, as given. Weights that are whole numbers are reckoned with exactly.
        """
        order, total = self._order(weights)
        if total:
            credit = self._credit
            credit.update(order)
            credit[order[0][0]] -= total
        return order + [(name, 0.0) for name, weight in weights if not weight > 0]

    def look(self, weights: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
        """What `take` would give, while the turn stays where it is."""
        order, _ = self._order(weights)
        return order + [(name, 0.0) for name, weight in weights if not weight > 0]

    def _order(self, weights: Sequence[tuple[str, float]]) -> tuple[list[tuple[str, float]], float]:
        credit = self._credit
        order: list[tuple[str, float]] = []
        total: float = 0
        for name, weight in weights:
            if weight > 0:
                total += weight
                order.append((name, credit.get(name, 0) + weight))
        order.sort(key=_credit_of, reverse=True)  # stable: of equals the one written first
        return order, total


def _credit_of(entry: tuple[str, float]) -> float:
    return entry[1]
