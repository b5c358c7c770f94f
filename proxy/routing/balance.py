"""Spreading healthy traffic over the targets that a pool prefers: every way gives a full order. No I/O.

    weighted    in turn, in proportion to the weights
    fastest     the better of two drawn at random, by latency and requests under way
    cheapest    by what this request would cost
    least_busy  by requests under way
    priority    as written
    sticky      the same caller at the same target (whatever the way is called that applies to the others)

The first of an order is who is asked, the rest is where the request goes if that fails. Who may be asked at
all was decided before.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from math import inf, log1p
from typing import NamedTuple

from ..config import Balance
from .rendezvous import ranked
from .round_robin import RoundRobin

__all__ = ["Balancer", "Entrant", "Placed"]


class Entrant(NamedTuple):
    """A target that may be asked, with what the ways look at.

    `weight` is its share of the traffic, relative to the others', already lowered for one that starts slowly;
    `busy` its requests under way; `latency` an estimate in seconds, None if it is not known; `cost` what this
    request would cost there in nano-dollars, None without a price. `ramp` is what a slow start leaves of its
    traffic, for the ways that look at no weight.
    """

    name: str
    weight: float = 1
    busy: int = 0
    latency: float | None = None
    cost: int | None = None
    ramp: float = 1.0


class Placed(NamedTuple):
    """A target in its place. The lower the score, the better; what it counts depends on the way."""

    name: str
    score: float


class Balancer:
    """Puts entrants in order. One for a process: turns go on over a reload, by names of pools and targets.

    `chance` gives numbers from 0 up to but not including 1.
    """

    __slots__ = ("_chance", "_turns")

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._turns: dict[str, RoundRobin] = {}

    def order(
        self,
        pool: str,
        balance: Balance,
        entrants: Sequence[Entrant],
        *,
        key: str | None = None,
        dry: bool = False,
    ) -> list[Placed]:
        """All `entrants`, best first. Where the pool is sticky, `key` names the caller, and decides alone.

        `dry` takes no turn, for one who only wants to know. Chance is drawn all the same.
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
        """Who starts slowly keeps its place only so often, and is behind the others else."""
        behind = {entrant.name for entrant in entrants if entrant.ramp < 1 and self._chance() >= entrant.ramp}
        if not behind or len(behind) == len(placed):
            return placed
        return sorted(placed, key=lambda each: each.name in behind)

    def weighted(self, pool: str, entrants: Sequence[Entrant], *, dry: bool = False) -> list[Placed]:
        """In turn. The score is minus the credit, of which a turn costs the sum of all weights."""
        turns = self._turns.get(pool)
        if turns is None:
            turns = self._turns[pool] = RoundRobin()
        weights = [(entrant.name, entrant.weight) for entrant in entrants]
        return [Placed(name, -credit) for name, credit in (turns.look if dry else turns.take)(weights)]

    def fastest(self, entrants: Sequence[Entrant]) -> list[Placed]:
        """The better of two that chance draws, then the rest by score.

        The score is the time, in seconds, until a request more would be served: the latency, times those
        under way and this one, by weight. Who is not known counts as the fastest of those who are, so it is
        tried; what it has under way keeps that in bounds. Were the best always first, every process would
        run there at once (Mitzenmacher: two choices are nearly as good as all, and do not herd).
        """
        latencies = [entrant.latency for entrant in entrants if entrant.latency is not None]
        unknown = min(latencies) if latencies else 1.0
        placed = [
            Placed(
                name,
                (unknown if latency is None else latency) * (busy + 1) / weight if weight > 0 else inf,
            )
            for name, weight, busy, latency, _, _ in entrants
        ]
        placed.sort(key=_score)
        eligible = sum([entrant.weight > 0 for entrant in entrants])
        if eligible > 1:
            one = int(self._chance() * eligible)
            other = int(self._chance() * (eligible - 1))
            other += other >= one
            better = one if placed[one].score <= placed[other].score else other
            placed.insert(0, placed.pop(better))
        return placed

    def cheapest(self, entrants: Sequence[Entrant]) -> list[Placed]:
        """By cost in nano-dollars, who has no price last. Of equals the least busy, then as chance has it."""
        lot = self._lot
        ranked = [
            (inf if cost is None else cost, busy / weight if weight > 0 else inf, lot(weight), name)
            for name, weight, busy, _, cost, _ in entrants
        ]
        ranked.sort()
        return [Placed(name, cost) for cost, _, _, name in ranked]

    def least_busy(self, entrants: Sequence[Entrant]) -> list[Placed]:
        """By requests under way, by weight. Of equals as chance has it: most are idle most of the time."""
        lot = self._lot
        ranked = [
            (busy / weight if weight > 0 else inf, lot(weight), name)
            for name, weight, busy, _, _, _ in entrants
        ]
        ranked.sort()
        return [Placed(name, busy) for busy, _, name in ranked]

    @staticmethod
    def priority(entrants: Sequence[Entrant]) -> list[Placed]:
        """As written. The score is the place."""
        return [Placed(entrant.name, place) for place, entrant in enumerate(entrants)]

    @staticmethod
    def sticky(key: str, entrants: Sequence[Entrant]) -> list[Placed]:
        """By rendezvous hashing of `key`, by weight. The score is what was drawn, and says no more."""
        drawn = ranked(key, [(entrant.name, entrant.weight) for entrant in entrants])
        return [Placed(name, number) for name, number in drawn]

    def _lot(self, weight: float) -> float:
        """What decides between equals: the lowest lot is each one's in proportion to its weight."""
        return -log1p(-self._chance()) / weight if weight > 0 else inf


def _score(placed: Placed) -> float:
    return placed.score
