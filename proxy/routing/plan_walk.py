"""One request's way along its plan: which candidate is next, and what a fault opens or closes. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ..classify.faults import RULES, Fault
from ..config import Cause
from ..exchange import Candidate

__all__ = ["PlanWalk"]

_SLOW: Final[frozenset[Cause]] = frozenset({"slow"})
_OUTAGE: Final[frozenset[Cause]] = frozenset({"outage"})
_CAUSES: Final[Mapping[str, frozenset[Cause]]] = MappingProxyType(
    {
        "budget": frozenset({"budget"}),
        "capability.context_window": frozenset({"context"}),
        "deadline.too_short": _SLOW,
        "health.cooldown": frozenset({"outage", "rate_limited"}),
        "limit": frozenset({"rate_limited"}),
        "state": frozenset(),  # where its state is not, a request has no business
    }
)
"""By reason, or by the word that it begins with."""


class PlanWalk:
    """Walks a plan once, front to back.

    Alternates open with the causes they name; that a preferred candidate is resting, unfit, or too dear, is a
    cause too, and so is one that is degraded, wherever it stands. Two faults narrow what is left: after a
    context overflow only larger windows can do better, and a refusal of the content may be taken elsewhere
    only by an alternate that says so.
    """

    __slots__ = ("_causes", "_limit", "_plan", "_position", "_refused", "_taken", "_tried", "_window")

    def __init__(self, plan: Sequence[Candidate], limit: int) -> None:
        self._plan = plan
        self._limit = limit
        self._tried = 0
        self._position = 0
        self._causes: set[Cause] = set()
        self._window: int | None = None
        self._refused = False
        self._taken: list[Candidate] = []  # out of turn
        for candidate in plan:
            if candidate.degraded is not None and candidate.role == "prefer":
                self._causes.add("slow")

    def next(self) -> Candidate | None:
        """The next candidate to try, or None when the plan or the limit of attempts is used up."""
        if self._tried >= self._limit:
            return None
        while self._position < len(self._plan):
            candidate = self._plan[self._position]
            self._position += 1
            if candidate in self._taken or not self._fits(
                candidate, self._causes, self._window, refused=self._refused
            ):
                continue
            if candidate.rejected is None:
                self._tried += 1
                return candidate
            self._causes |= _rests_for(candidate)
        return None

    def besides(self) -> Candidate | None:
        """Who may be tried while another is, because that one is slow. Everybody else keeps their place."""
        if self._tried >= self._limit:
            return None
        causes = self._causes | _SLOW
        for candidate in self._left():
            if self._fits(candidate, causes, self._window, refused=self._refused):
                if candidate.rejected is None:
                    self._taken.append(candidate)
                    self._tried += 1
                    return candidate
                causes |= _rests_for(candidate)
        return None

    def again(self) -> bool:
        """Whether one more attempt is allowed, at a candidate that was tried. If so, it is counted."""
        if self._tried >= self._limit:
            return False
        self._tried += 1
        return True

    def not_tried(self, candidate: Candidate) -> None:
        """`candidate`, which `next` gave, turned out to be rejected after all: it counts as no attempt."""
        self._tried -= 1
        self._causes |= _rests_for(candidate)

    def failed(self, candidate: Candidate, fault: Fault) -> None:
        """The attempt at `candidate` ended with `fault`."""
        rule = RULES[fault.kind]
        self._causes.update(rule.opens)
        if rule.moves == "larger":
            self._window = _window(candidate)
        elif rule.moves == "opt_in":
            self._refused = True

    def opens(self, candidate: Candidate, fault: Fault) -> bool:
        """Whether `fault` of `candidate`, now, would leave somewhere to go."""
        rule = RULES[fault.kind]
        if rule.moves == "no" or self._tried >= self._limit:
            return False
        causes = self._causes.union(rule.opens)
        window = _window(candidate) if rule.moves == "larger" else self._window
        refused = self._refused or rule.moves == "opt_in"
        for other in self._left():
            if self._fits(other, causes, window, refused=refused):
                if other.rejected is None:
                    return True
                causes |= _rests_for(other)
        return False

    def _left(self) -> Sequence[Candidate]:
        left = self._plan[self._position :]
        return [each for each in left if each not in self._taken] if self._taken else left

    @staticmethod
    def _fits(candidate: Candidate, causes: set[Cause], window: int | None, *, refused: bool) -> bool:
        if candidate.causes is not None and candidate.causes.isdisjoint(causes):
            return False
        if window is not None and _window(candidate) <= window:
            return False
        return not refused or (candidate.causes is not None and "refused" in candidate.causes)


def _rests_for(candidate: Candidate) -> frozenset[Cause]:
    """The causes that a rejected candidate counts as: what it lacks, or an outage as good as its own."""
    reason = candidate.rejected or ""
    causes = _CAUSES.get(reason)
    return _CAUSES.get(reason.partition(".")[0], _OUTAGE) if causes is None else causes


def _window(candidate: Candidate) -> int:
    """Tokens the candidate takes in; 0 where nobody has said, so that nothing moves there for its size."""
    return (candidate.target.context or 0) if candidate.target is not None else 0
