"""Load balancing over the preferred targets of a pool: every algorithm returns all of them in order. No I/O.

    weighted    weighted round robin
    fastest     the better of two random choices, by latency and requests in flight
    cheapest    by the cost of this request
    least_busy  by requests in flight
    priority    as written
    sticky      the same target for the same caller (it overrides the pool's algorithm for callers with a key)

The first target in the order is tried first, and the others are the order of failover. The eligible targets
are determined before, elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from math import inf, log1p
from typing import Final, NamedTuple

from ..config import Balance
from .rendezvous import ranked
from .round_robin import RoundRobin

__all__ = ["Balancer", "Entrant", "Placed"]


_LEAST: Final = 1e-9
"""The least weight that is not 0: by a smaller one a division may overflow."""


class Entrant(NamedTuple):
    """An eligible target, with the inputs of the algorithms.

    `weight` is its share of the traffic, relative to the others, already lowered during a slow start. `busy`
    is the number of its requests in flight. `latency` is an estimate in seconds, None if unknown. `cost` is
    the cost of this request there in nano-dollars, None without a price. `ramp` is the part of its traffic
    during a slow start, from 0 to 1, for the algorithms that do not use weights.
    """

    name: str
    weight: float = 1
    busy: int = 0
    latency: float | None = None
    cost: int | None = None
    ramp: float = 1.0


class Placed(NamedTuple):
    """A target with its score. A lower score is better. The unit depends on the algorithm."""

    name: str
    score: float


class Balancer:
    """Orders entrants.

    There is one per process: the round robin state, by pool and target name, survives a reload.

    `chance` returns random numbers from 0 up to but not including 1.
    """

    __slots__ = ("_chance", "_round_robins")

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._round_robins: dict[str, RoundRobin] = {}

    def order(
        self,
        pool: str,
        balance: Balance,
        entrants: Sequence[Entrant],
        *,
        key: str | None = None,
        dry: bool = False,
    ) -> list[Placed]:
        """Returns all `entrants`, best first.

        `key` identifies the caller in a sticky pool. If it is given, it alone determines the order. With
        `dry`, the round robin state is not advanced, for callers that only ask. Random numbers are drawn
        anyway.
        """
        if key is not None:
            return self.sticky(key, entrants)
        match balance:
            case "weighted":
                return self.weighted(pool, entrants, dry=dry)
            case "fastest":
                return self.fastest(entrants)
            case "cheapest":
                return self._ramped(self.cheapest(entrants), entrants)
            case "least_busy":
                return self.least_busy(entrants)
            case "priority":
                return self._ramped(self.priority(entrants), entrants)

    def _ramped(self, placed: list[Placed], entrants: Sequence[Entrant]) -> list[Placed]:
        """Move targets in a slow start to the end, each with a probability of 1 - `ramp`."""
        behind = {entrant.name for entrant in entrants if entrant.ramp < 1 and self._chance() >= entrant.ramp}
        if not behind or len(behind) == len(placed):
            return placed
        return sorted(placed, key=lambda candidate: candidate.name in behind)

    def weighted(self, pool: str, entrants: Sequence[Entrant], *, dry: bool = False) -> list[Placed]:
        """Order by smooth weighted round robin. The score is the negative credit, see `RoundRobin`."""
        round_robin = self._round_robins.get(pool)
        if round_robin is None:
            round_robin = self._round_robins[pool] = RoundRobin()
        weights = [(entrant.name, entrant.weight) for entrant in entrants]
        return [
            Placed(name, -credit) for name, credit in (round_robin.look if dry else round_robin.take)(weights)
        ]

    def fastest(self, entrants: Sequence[Entrant]) -> list[Placed]:
        """Order by score, except that the first is the better of two random choices.

        The score estimates the seconds until one more request would be served: the latency, times the
        requests in flight plus one, divided by the weight. A target of unknown latency counts as fast as the
        fastest known one, so that it is tried; its requests in flight limit that. If the best were always
        first, all processes would send their requests there at once (Mitzenmacher: two choices are nearly as
        good as all, and avoid herding).
        """
        latencies = [entrant.latency for entrant in entrants if entrant.latency is not None]
        unknown = min(latencies) if latencies else 1.0
        placed = [
            Placed(
                name,
                (unknown if latency is None else latency) * (busy + 1) / max(weight, _LEAST)
                if weight
                else inf,
            )
            for name, weight, busy, latency, _, _ in entrants
        ]
        placed.sort(key=_score)
        eligible = sum([entrant.weight > 0 for entrant in entrants])
        if eligible > 1:
            first = int(self._chance() * eligible)
            second = int(self._chance() * (eligible - 1))
            second += second >= first
            better = first if placed[first].score <= placed[second].score else second
            placed.insert(0, placed.pop(better))
        return placed

    def cheapest(self, entrants: Sequence[Entrant]) -> list[Placed]:
        """Order by cost in nano-dollars, without a price last. Ties go to the least busy, then at random."""
        tie_breaker = self._tie_breaker
        ranked = [
            (
                inf if cost is None else cost,
                busy / max(weight, _LEAST) if weight else inf,
                tie_breaker(weight),
                name,
            )
            for name, weight, busy, _, cost, _ in entrants
        ]
        ranked.sort()
        return [Placed(name, cost) for cost, _, _, name in ranked]

    def least_busy(self, entrants: Sequence[Entrant]) -> list[Placed]:
        """Order by requests in flight divided by weight. Ties, which are frequent, are broken at random."""
        tie_breaker = self._tie_breaker
        ranked = [
            (busy / max(weight, _LEAST) if weight else inf, tie_breaker(weight), name)
            for name, weight, busy, _, _, _ in entrants
        ]
        ranked.sort()
        return [Placed(name, busy) for busy, _, name in ranked]

    @staticmethod
    def priority(entrants: Sequence[Entrant]) -> list[Placed]:
        """Keep the order of the configuration. The score is the position, from 0."""
        return [Placed(entrant.name, position) for position, entrant in enumerate(entrants)]

    @staticmethod
    def sticky(key: str, entrants: Sequence[Entrant]) -> list[Placed]:
        """Order by weighted rendezvous hashing of `key`.

        The score is the drawn number and has no other meaning.
        """
        drawn = ranked(key, [(entrant.name, entrant.weight) for entrant in entrants])
        return [Placed(name, number) for name, number in drawn]

    def _tie_breaker(self, weight: float) -> float:
        """Returns a random tie breaker: each target has the lowest in proportion to its weight."""
        return -log1p(-self._chance()) / max(weight, _LEAST) if weight else inf


def _score(placed: Placed) -> float:
    return placed.score
