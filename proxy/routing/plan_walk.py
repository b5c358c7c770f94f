"""Walks the plan of one request: selects the next candidate, and applies the effect of each fault. No I/O."""

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
        "state": frozenset(),  # no alternate can serve a request without its state
    }
)
"""The causes for which a rejected candidate opens alternates, by its reason or the reason's first part."""


class PlanWalk:
    """Walks the plan of one request with at most `limit` attempts. Each candidate is tried once.

    The next candidate is always the first one of the plan that is available. An alternate is available after
    one of the causes it names, whenever that occurs. A cause comes from a fault, from a rejected candidate
    (in cooldown, unsuitable or too expensive), from a degraded preferred candidate, and from one whose
    quality leaves it for the end. Two faults restrict the remaining candidates: after a context overflow only
    larger context windows are tried, and after a content refusal only alternates that name the cause
    `refused`. A bad request ends the walk, unless it may be a rule of this target alone: if another failed
    before or rests, or if the reasoning in the prompt is only presumed to be its own.
    """

    __slots__ = ("_causes", "_failed", "_left", "_limit", "_plan", "_refused", "_tried", "_window")

    def __init__(self, plan: Sequence[Candidate], limit: int) -> None:
        self._plan = plan
        self._left = list(plan)
        self._limit = limit
        self._failed = False
        self._tried = 0
        self._causes: set[Cause] = set()
        self._window: int | None = None
        self._refused = False
        for candidate in plan:
            if candidate.degraded is not None:
                if candidate.role == "prefer":
                    self._causes.add("slow")
                elif candidate.role == "last":
                    self._causes |= _OUTAGE

    def next(self) -> Candidate | None:
        """Returns the next candidate to try, or None if the plan or the limit of attempts is used up."""
        return self._take(self._first(self._left, self._causes, self._window, refused=self._refused))

    def besides(self) -> Candidate | None:
        """Returns a candidate to try in parallel with a slow attempt, or None.

        It is none that would answer with less than the slow one: of low quality, or without the reasoning.
        """
        left = [each for each in self._left if each.role != "last" and not each.strips]
        return self._take(self._first(left, self._causes | _SLOW, self._window, refused=self._refused))

    def again(self) -> bool:
        """Whether another attempt at a candidate that was tried already is allowed. If so, it is counted."""
        if self._tried >= self._limit:
            return False
        self._tried += 1
        return True

    def not_tried(self, candidate: Candidate) -> None:
        """Record that `candidate`, from `next`, was rejected after all. Its attempt is not counted."""
        self._tried -= 1
        self._causes |= _causes_of(candidate)

    def failed(self, candidate: Candidate, fault: Fault) -> None:
        """Record that the attempt at `candidate` ended with `fault`."""
        rule = RULES[fault.kind]
        self._causes.update(rule.opens)
        if rule.moves == "larger":
            self._window = _window_of(candidate)
        elif rule.moves == "opt_in":
            self._refused = True
        self._failed = self._failed or rule.moves in {"yes", "larger", "opt_in"}

    @property
    def passed_over(self) -> list[Candidate]:
        """The candidates that were rejected when it was their turn, in the order of the plan."""
        left = set(map(id, self._left))
        return [each for each in self._plan if each.rejected is not None and id(each) not in left]

    @property
    def _is_fallback(self) -> bool:
        """Whether the last candidate was tried because another one failed, now or before this request."""
        return self._failed or any((each.rejected or "").startswith("health.") for each in self.passed_over)

    def opens(self, candidate: Candidate, fault: Fault) -> bool:
        """Whether another candidate could be tried if `candidate` failed with `fault` now."""
        rule = RULES[fault.kind]
        if rule.moves == "no" or self._tried >= self._limit:
            return False
        if rule.moves == "if_failed" and not (candidate.presumed or self._is_fallback):
            return False
        window = _window_of(candidate) if rule.moves == "larger" else self._window
        refused = self._refused or rule.moves == "opt_in"
        causes = self._causes.union(rule.opens)
        return self._first(list(self._left), causes, window, refused=refused) is not None

    def _take(self, candidate: Candidate | None) -> Candidate | None:
        if candidate is None or self._tried >= self._limit:
            return None
        self._left.remove(candidate)
        self._tried += 1
        return candidate

    @staticmethod
    def _first(
        left: list[Candidate], causes: set[Cause], window: int | None, *, refused: bool
    ) -> Candidate | None:
        """The first candidate in `left` that is available.

        A rejected one that would be available is removed from `left`, and what it counts as is added to
        `causes`: that may make one available that stands before it.
        """
        at = 0
        while at < len(left):
            candidate = left[at]
            at += 1
            if _fits(candidate, causes, window, refused=refused):
                if candidate.rejected is None:
                    return candidate
                left.remove(candidate)
                causes |= _causes_of(candidate)
                at = 0
        return None


def _fits(candidate: Candidate, causes: set[Cause], window: int | None, *, refused: bool) -> bool:
    if candidate.causes is not None and candidate.causes.isdisjoint(causes):
        return False
    if window is not None and _window_of(candidate) <= window:
        return False
    return not refused or (candidate.causes is not None and "refused" in candidate.causes)


def _causes_of(candidate: Candidate) -> frozenset[Cause]:
    """Returns the causes that the rejection of a candidate counts as, by default an outage."""
    reason = candidate.rejected or ""
    causes = _CAUSES.get(reason)
    return _CAUSES.get(reason.partition(".")[0], _OUTAGE) if causes is None else causes


def _window_of(candidate: Candidate) -> int:
    """Returns the context window in tokens, or 0 if unknown, which never counts as a larger window."""
    return (candidate.target.context or 0) if candidate.target is not None else 0
