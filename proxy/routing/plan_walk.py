"""One request's way along its plan: which candidate is next, and what a fault opens or closes. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from ..classify.faults import RULES, Fault
from ..config import Cause
from ..exchange import Candidate

__all__ = ["PlanWalk"]


class PlanWalk:
    """Walks a plan once, front to back.

    Alternates open with the causes they name; that a preferred candidate is resting, or too dear, is a cause
    too. Two faults narrow what is left: after a context overflow only larger windows can do better, and a
    refusal of the content may be taken elsewhere only by an alternate that says so.
    """

    __slots__ = ("_causes", "_limit", "_plan", "_position", "_refused", "_tried", "_window")

    def __init__(self, plan: Sequence[Candidate], limit: int) -> None:
        self._plan = plan
        self._limit = limit
        self._tried = 0
        self._position = 0
        self._causes: set[Cause] = set()
        self._window: int | None = None
        self._refused = False

    def next(self) -> Candidate | None:
        """The next candidate to try, or None when the plan or the limit of attempts is used up."""
        if self._tried >= self._limit:
            return None
        while self._position < len(self._plan):
            candidate = self._plan[self._position]
            self._position += 1
            if not self._fits(candidate, self._causes, self._window, refused=self._refused):
                continue
            if candidate.rejected is None:
                self._tried += 1
                return candidate
            self._causes |= _rests_for(candidate)
        return None

    def not_tried(self, candidate: Candidate) -> None:
        """`candidate`, which `next` gave, turned out to be rejected after all: it counts as no attempt."""
        self._tried -= 1
        self._causes |= _rests_for(candidate) or {RULES["policy"].cause}

    def failed(self, candidate: Candidate, fault: Fault) -> None:
        """The attempt at `candidate` ended with `fault`."""
        self._causes.add(RULES[fault.kind].cause)
        moves = RULES[fault.kind].moves
        if moves == "larger":
            self._window = _window(candidate)
        elif moves == "opt_in":
            self._refused = True

    def opens(self, candidate: Candidate, fault: Fault) -> bool:
        """Whether `fault` of `candidate`, now, would leave somewhere to go."""
        rule = RULES[fault.kind]
        if rule.moves == "no" or self._tried >= self._limit:
            return False
        causes = self._causes.copy()
        causes.add(rule.cause)
        window = _window(candidate) if rule.moves == "larger" else self._window
        refused = self._refused or rule.moves == "opt_in"
        for other in self._plan[self._position :]:
            if self._fits(other, causes, window, refused=refused):
                if other.rejected is None:
                    return True
                causes |= _rests_for(other)
        return False

    @staticmethod
    def _fits(candidate: Candidate, causes: set[Cause], window: int | None, *, refused: bool) -> bool:
        if candidate.causes is not None and candidate.causes.isdisjoint(causes):
            return False
        if window is not None and _window(candidate) <= window:
            return False
        return not refused or (candidate.causes is not None and "refused" in candidate.causes)


def _rests_for(candidate: Candidate) -> set[Cause]:
    """The causes that a rejected candidate counts as: lack of money, or a rejection that passes by itself."""
    reason = candidate.rejected or ""
    if reason.startswith("budget."):
        return {"budget"}
    if reason.startswith("limit."):
        return {"rate_limited"}
    if candidate.ready_in is None:
        return set()
    return {"outage", "rate_limited"} if reason == "health.cooldown" else {"outage"}


def _window(candidate: Candidate) -> int:
    """Tokens the candidate takes in; 0 where nobody has said, so that nothing moves there for its size."""
    return (candidate.target.context or 0) if candidate.target is not None else 0
