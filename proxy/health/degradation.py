"""A target that answers, but too slowly for a pool, or too often with what is no use to it. No I/O.

    normal    the last minute is judged by the pool's rules (`slow`, `degrade_on`)
    degraded  the target is asked after all others; now and then one request goes to it first, a trial

What broke a rule is what a trial is judged by: a target that was slow must be fast, one that refused must not
refuse. Three good trials in a row bring it back. So do the others that it is sent because nobody else is
there, once there are enough of them to tell. It then starts slowly, with nothing held against it.

`now` is in seconds of one monotonic clock.
"""

from __future__ import annotations

from math import inf
from typing import Final, Literal, NamedTuple, TypeAlias

from ..classify.faults import RULES, Fault
from ..config import Pool
from .measurements import InFlight, Measurements
from .ratio_window import RatioWindow

__all__ = [
    "FRESH",
    "LEAST",
    "LONGEST_GAP",
    "RELAPSE",
    "TRIAL",
    "TRIALS",
    "Breach",
    "Degradation",
    "Degraded",
    "Reason",
]

TRIAL: Final = 5.0
"""Seconds from one trial to the next, and to the first; doubled each time that one fails."""
LONGEST_GAP: Final = 60.0
"""Seconds between two trials at most."""
TRIALS: Final = 3
"""Good trials in a row that bring a target back."""
LEAST: Final = 20
"""Answers by which a target is judged, at least."""
RELAPSE: Final = 60.0
"""Seconds. Who is degraded again sooner than this waits twice as long for a trial as the time before."""
FRESH: Final = 0.25
"""Seconds for which a verdict stands, so that a plan costs next to nothing."""

_SPAN: Final = 60.0
_BEYOND: Final = 0.05  # of answers: the p95 is within its limit

Breach: TypeAlias = Literal["first_token", "total", "refusals", "malformed"]
"""Which rule was broken."""
Reason: TypeAlias = Literal["latency.slo", "quality.refusals", "quality.malformed"]
"""The code that says so."""


class Degraded(NamedTuple):
    """Why a target is asked after the others, since when, and whether a trial may go to it now."""

    reason: Reason
    since: float
    due: bool


class Degradation:
    """Where one target stands with one pool, for one operation. `breach` is None while all is well."""

    __slots__ = (
        "_base",
        "_ended",
        "_fresh",
        "_gap",
        "_good",
        "_judged",
        "_limit",
        "_next",
        "_trial",
        "breach",
        "pool",
        "since",
    )

    def __init__(self, pool: str) -> None:
        self.pool = pool
        self.breach: Breach | None = None
        self.since = -inf
        self._limit = 0.0
        self._fresh = -inf  # until when the verdict stands
        self._ended = -inf
        self._base = self._gap = TRIAL
        self._next = inf  # when the next trial may begin
        self._trial: InFlight | None = None
        self._good = 0
        self._judged = RatioWindow(
            _SPAN
        )  # what was sent to it since it is degraded; hits are those that broke the rule

    def look(self, pool: Pool, vitals: Measurements, now: float) -> Degraded | None:
        """The verdict by the pool's rules as they are now; None while all is well."""
        if now >= self._fresh:
            self._fresh = now + FRESH
            self._review(pool, vitals, now)
        return None if self.breach is None else self.state(now)

    def state(self, now: float) -> Degraded | None:
        """The last verdict."""
        breach = self.breach
        if breach is None:
            return None
        return Degraded(_reason(breach), self.since, self._trial is None and now >= self._next)

    def begin(self, attempt: InFlight, now: float) -> None:
        """An attempt goes to the degraded target: it is the trial if one is due."""
        if self._trial is None and now >= self._next:
            self._trial = attempt

    def answered(self, attempt: InFlight, now: float) -> None:
        """Its first content has come. Where only that was too slow, the rest need not be waited for."""
        if self.breach == "first_token" and attempt.first_token is not None and attempt.started >= self.since:
            self._judge(attempt, now, good=attempt.first_token <= self._limit)

    def end(self, attempt: InFlight, now: float, fault: Fault | None, *, proved: bool, refused: bool) -> None:
        """It has ended. `proved` is False for one whose client left, say."""
        breach = self.breach
        if breach is None or attempt.started < self.since:
            return
        if breach == "first_token" and attempt.first_token is not None:
            return  # it was judged when that came
        inconclusive = RULES[fault.kind].health == "none" if fault is not None else not proved
        good = self._verdict(breach, attempt, now, fault, inconclusive=inconclusive, refused=refused)
        if good is not None:
            self._judge(attempt, now, good=good)
        elif attempt is self._trial:
            self._trial = None
            self._next = now if inconclusive else now + self._gap

    def recovered(self, now: float) -> bool:
        """Whether trials, or enough of all that it was sent, say that it does again what it should."""
        beyond, total = self._judged.counted(now)
        if total < LEAST:
            return self._good >= TRIALS
        if self.breach in {"first_token", "total"}:
            return beyond <= total * _BEYOND
        return beyond < total * self._limit

    def leave(self, now: float) -> None:
        """All is well again."""
        self.breach = None
        self._ended = now
        self._trial = None

    def _review(self, pool: Pool, vitals: Measurements, now: float) -> None:
        if self.breach is None:
            for breach in _BREACHES:
                limit = _limit(pool, breach)
                if limit is not None and _breaks(breach, limit, vitals, now):
                    self._enter(breach, limit, now)
                    return
        elif (limit := _limit(pool, self.breach)) is None:
            self.leave(now)  # there is no such rule any more
        else:
            self._limit = limit

    def _enter(self, breach: Breach, limit: float, now: float) -> None:
        relapsed = now - self._ended < RELAPSE
        self.breach = breach
        self.since = now
        self._limit = limit
        self._base = self._gap = min(self._base * 2, LONGEST_GAP) if relapsed else TRIAL
        self._next = now + self._gap
        self._good = 0
        self._judged.clear()

    def _verdict(
        self,
        breach: Breach,
        attempt: InFlight,
        now: float,
        fault: Fault | None,
        *,
        inconclusive: bool,
        refused: bool,
    ) -> bool | None:
        """Whether the target did what it should; None where that cannot be told."""
        late = breach in {"first_token", "total"} and now - attempt.started > self._limit
        if inconclusive:
            # Who left before the limit proves nothing. Who had waited longer has seen enough.
            return False if late and (breach == "total" or attempt.waiting) else None
        if fault is not None:
            if RULES[fault.kind].health == "failure":
                return False
            return False if breach == "refusals" and fault.kind == "content_refused" else None
        if breach == "first_token":
            return None if late else True  # whole before its first token would have been due, or not streamed
        if breach == "refusals":
            return not refused
        return not late

    def _judge(self, attempt: InFlight, now: float, *, good: bool) -> None:
        self._judged.record(now, hit=not good)
        if attempt is not self._trial:
            return
        self._trial = None
        if good:
            self._good += 1
            self._gap = self._base
        else:
            self._good = 0
            self._gap = min(self._gap * 2, LONGEST_GAP)
        self._next = now + self._gap


_BREACHES: Final[tuple[Breach, ...]] = ("first_token", "total", "refusals", "malformed")


def _reason(breach: Breach) -> Reason:
    if breach == "refusals":
        return "quality.refusals"
    return "quality.malformed" if breach == "malformed" else "latency.slo"


def _limit(pool: Pool, breach: Breach) -> float | None:
    """Seconds, or a share; None where the pool has no such rule."""
    if breach == "first_token":
        return None if pool.slow is None else pool.slow.p95_first_token
    if breach == "total":
        return None if pool.slow is None else pool.slow.p95_total
    if pool.degrade_on is None:
        return None
    return pool.degrade_on.refusals if breach == "refusals" else pool.degrade_on.malformed


def _breaks(breach: Breach, limit: float, vitals: Measurements, now: float) -> bool:
    if breach == "first_token":
        overdue = vitals.overdue(limit, now, first_token=True)
        return vitals.latency.first_token.exceeds(limit, now, overdue)
    if breach == "total":
        overdue = vitals.overdue(limit, now, first_token=False)
        return vitals.latency.total.exceeds(limit, now, overdue)
    window = vitals.refusals if breach == "refusals" else vitals.malformed
    return window.reaches(limit, LEAST, now)
