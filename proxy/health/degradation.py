"""Degradation of a target that works, but breaks a pool's limits on latency, refusals or bad answers. No I/O.

    normal    the last minute is compared with the pool's rules (`slow`, `degrade_on`)
    degraded  the target is tried after all others. From time to time one request goes to it first, a trial

A trial is judged by the rule that was broken: after slow answers it must be fast, after refusals it must not
be a refusal. Three good trials in a row end the degradation. So do other requests that reach the target
because no other target is available, once there are enough of them (LEAST). The target then gets a slow
start, and the measurements of the broken rule are cleared.

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
"""Seconds until the first trial, and from one trial to the next. Doubled each time a trial fails."""
LONGEST_GAP: Final = 60.0
"""Maximum number of seconds between two trials."""
TRIALS: Final = 3
"""Consecutive good trials that end a degradation."""
LEAST: Final = 20
"""Minimum number of answers by which a target is judged."""
RELAPSE: Final = 60.0
"""Seconds. A target that is degraded again sooner than this waits twice as long for its first trial."""
FRESH: Final = 0.25
"""Seconds for which a verdict is cached, so that planning stays cheap."""

_SPAN: Final = 60.0
_MAX_SHARE_ABOVE_P95: Final = 0.05  # share of answers that may exceed a p95 limit

Breach: TypeAlias = Literal["first_token", "total", "refusals", "malformed"]
"""The rule that was broken."""
Reason: TypeAlias = Literal["latency.slo", "quality.refusals", "quality.malformed"]
"""The reason code of a degradation."""


class Degraded(NamedTuple):
    """Why a target is degraded, since when (`now` of that time), and whether a trial is due now."""

    reason: Reason
    since: float
    due: bool


class Degradation:
    """The degradation state of one target in one pool, for one operation. Normal while `breach` is None."""

    __slots__ = (
        "_cached_until",
        "_first_interval",
        "_good_trials",
        "_interval",
        "_limit",
        "_next_trial_at",
        "_recovered_at",
        "_trial",
        "_verdicts",
        "breach",
        "pool",
        "since",
    )

    def __init__(self, pool: str) -> None:
        self.pool = pool
        self.breach: Breach | None = None
        self.since = -inf
        self._limit = 0.0
        self._cached_until = -inf  # until when the verdict is cached
        self._recovered_at = -inf
        self._first_interval = self._interval = TRIAL
        self._next_trial_at = inf  # when the next trial may begin
        self._trial: InFlight | None = None
        self._good_trials = 0
        self._verdicts = RatioWindow(_SPAN)  # attempts since the degradation began; hits broke the rule

    def review(self, pool: Pool, measurements: Measurements, now: float) -> Degraded | None:
        """Returns the state by the pool's current rules, at most FRESH seconds old. None if not degraded."""
        if now >= self._cached_until:
            self._cached_until = now + FRESH
            self._apply_rules(pool, measurements, now)
        return None if self.breach is None else self.state(now)

    def state(self, now: float) -> Degraded | None:
        """Returns the state of the last review, or None if not degraded."""
        breach = self.breach
        if breach is None:
            return None
        return Degraded(_reason(breach), self.since, self._trial is None and now >= self._next_trial_at)

    def begin(self, attempt: InFlight, now: float) -> None:
        """Record that an attempt begins at the degraded target. It becomes the trial if one is due."""
        if self._trial is None and now >= self._next_trial_at:
            self._trial = attempt

    def answered(self, attempt: InFlight, now: float) -> None:
        """Record that the first content of an attempt has arrived.

        If the broken rule is the one on the first token, the attempt is judged now.
        """
        if self.breach == "first_token" and attempt.first_token is not None and attempt.started >= self.since:
            self._judge(attempt, now, good=attempt.first_token <= self._limit)

    def end(self, attempt: InFlight, now: float, fault: Fault | None, *, proved: bool, refused: bool) -> None:
        """Record the end of an attempt.

        `proved` is False if it shows nothing about the target, for example because its client left.
        """
        breach = self.breach
        if breach is None or attempt.started < self.since:
            return
        if breach == "first_token" and attempt.first_token is not None:
            return  # it was judged when its first token arrived
        inconclusive = RULES[fault.kind].health == "none" if fault is not None else not proved
        good = self._verdict(breach, attempt, now, fault, inconclusive=inconclusive, refused=refused)
        if good is not None:
            self._judge(attempt, now, good=good)
        elif attempt is self._trial:
            self._trial = None
            self._next_trial_at = now if inconclusive else now + self._interval

    def recovered(self, now: float) -> bool:
        """Whether enough trials in a row were good, or enough of all attempts since the degradation began."""
        beyond, total = self._verdicts.counted(now)
        if total < LEAST:
            return self._good_trials >= TRIALS
        if self.breach in {"first_token", "total"}:
            return beyond <= total * _MAX_SHARE_ABOVE_P95
        return beyond < total * self._limit

    def recover(self, now: float) -> None:
        """End the degradation."""
        self.breach = None
        self._recovered_at = now
        self._trial = None

    def _apply_rules(self, pool: Pool, measurements: Measurements, now: float) -> None:
        if self.breach is None:
            for breach in _BREACHES:
                limit = _limit(pool, breach)
                if limit is not None and _is_broken(breach, limit, measurements, now):
                    self._enter(breach, limit, now)
                    return
        elif (limit := _limit(pool, self.breach)) is None:
            self.recover(now)  # the rule was removed from the configuration
        else:
            self._limit = limit

    def _enter(self, breach: Breach, limit: float, now: float) -> None:
        relapsed = now - self._recovered_at < RELAPSE
        self.breach = breach
        self.since = now
        self._limit = limit
        self._first_interval = self._interval = (
            min(self._first_interval * 2, LONGEST_GAP) if relapsed else TRIAL
        )
        self._next_trial_at = now + self._interval
        self._good_trials = 0
        self._verdicts.clear()

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
        """Whether the attempt kept the broken rule. None if it does not show that."""
        late = breach in {"first_token", "total"} and now - attempt.started > self._limit
        if inconclusive:
            # An attempt that ended before the limit shows nothing. One that ended after it was late.
            return False if late and (breach == "total" or attempt.waiting) else None
        if fault is not None:
            if RULES[fault.kind].health == "failure":
                return False
            return False if breach == "refusals" and fault.kind == "content_refused" else None
        if breach == "first_token":
            # Not late: complete before its first token would have been late, or not streamed.
            return None if late else True
        if breach == "refusals":
            return not refused
        return not late

    def _judge(self, attempt: InFlight, now: float, *, good: bool) -> None:
        """Count a verdict. If the attempt is the trial, schedule the next one."""
        self._verdicts.record(now, hit=not good)
        if attempt is not self._trial:
            return
        self._trial = None
        if good:
            self._good_trials += 1
            self._interval = self._first_interval
        else:
            self._good_trials = 0
            self._interval = min(self._interval * 2, LONGEST_GAP)
        self._next_trial_at = now + self._interval


_BREACHES: Final[tuple[Breach, ...]] = ("first_token", "total", "refusals", "malformed")


def _reason(breach: Breach) -> Reason:
    if breach == "refusals":
        return "quality.refusals"
    return "quality.malformed" if breach == "malformed" else "latency.slo"


def _limit(pool: Pool, breach: Breach) -> float | None:
    """Returns the pool's limit in seconds or as a share, or None if the pool has no such rule."""
    if breach == "first_token":
        return None if pool.slow is None else pool.slow.p95_first_token
    if breach == "total":
        return None if pool.slow is None else pool.slow.p95_total
    if pool.degrade_on is None:
        return None
    return pool.degrade_on.refusals if breach == "refusals" else pool.degrade_on.malformed


def _is_broken(breach: Breach, limit: float, measurements: Measurements, now: float) -> bool:
    if breach == "first_token":
        overdue = measurements.overdue(limit, now, first_token=True)
        return measurements.latency.first_token.exceeds(limit, now, overdue)
    if breach == "total":
        overdue = measurements.overdue(limit, now, first_token=False)
        return measurements.latency.total.exceeds(limit, now, overdue)
    window = measurements.refusals if breach == "refusals" else measurements.malformed
    return window.reaches(limit, LEAST, now)
