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
    """Walks a plan once, from the first candidate to the last, with at most `limit` attempts.

    An alternate is available after one of the causes it names. A cause comes from a fault, from a rejected
    candidate (in cooldown, unsuitable or too expensive), and from a degraded preferred candidate anywhere in
    the plan. Two faults restrict the remaining candidates: after a context overflow only larger context
    windows are tried, and after a content refusal only alternates that name the cause `refused`.
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
        self._taken: list[Candidate] = []  # returned by `besides`, ahead of their position
        for candidate in plan:
            if candidate.degraded is not None and candidate.role == "prefer":
                self._causes.add("slow")

    def next(self) -> Candidate | None:
        """Returns the next candidate to try, or None if the plan or the limit of attempts is used up."""
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
            self._causes |= _causes_of(candidate)
        return None

    def besides(self) -> Candidate | None:
        """Returns a candidate to try in parallel with a slow attempt, or None.

        The candidates that are skipped for it keep their position.
        """
        if self._tried >= self._limit:
            return None
        causes = self._causes | _SLOW
        for candidate in self._remaining():
            if self._fits(candidate, causes, self._window, refused=self._refused):
                if candidate.rejected is None:
                    self._taken.append(candidate)
                    self._tried += 1
                    return candidate
                causes |= _causes_of(candidate)
        return None

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

    def opens(self, candidate: Candidate, fault: Fault) -> bool:
        """Whether another candidate could be tried if `candidate` failed with `fault` now."""
        rule = RULES[fault.kind]
        if rule.moves == "no" or self._tried >= self._limit:
            return False
        causes = self._causes.union(rule.opens)
        window = _window_of(candidate) if rule.moves == "larger" else self._window
        refused = self._refused or rule.moves == "opt_in"
        for other in self._remaining():
            if self._fits(other, causes, window, refused=refused):
                if other.rejected is None:
                    return True
                causes |= _causes_of(other)
        return False

    def _remaining(self) -> Sequence[Candidate]:
        remaining = self._plan[self._position :]
        return [each for each in remaining if each not in self._taken] if self._taken else remaining

    @staticmethod
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
