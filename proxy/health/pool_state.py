"""Whether each pool is served as intended: healthy, degraded or exhausted. No I/O.

A pool is judged for each operation apart, since a provider can fail for embeddings and be well for chat; its
state is the worst of them. Two things are evidence. What is known of the targets: whether a preferred one may
be tried and is not slow, or at least an alternate. And what became of the last requests, since on a quiet
pool it takes long until enough of them have failed to open a breaker.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from ..bridge.bridges import operation_at_target
from ..config import Pool, Target
from ..dialects.registry import operation_named
from .target_health import Health

__all__ = ["BETTER", "CALM", "LEAST", "RECENT", "WORSE", "PoolState", "PoolStates", "State"]

State: TypeAlias = Literal["healthy", "degraded", "exhausted"]
"""Served by preferred targets; by alternates or by a slow target only; by none."""

RECENT: Final = 10
"""The last requests of a pool and operation that count."""
LEAST: Final = 3
"""The least of them that must be served badly before that alone changes a pool's state."""
WORSE: Final = 0.5
"""The share of them from which on a pool is degraded, or exhausted."""
BETTER: Final = 0.2
"""The share of them down to which it stays so: a single good answer among bad ones ends nothing."""
CALM: Final = 600.0
"""Seconds without a request after which the last ones say nothing more."""

_RANK: Final[tuple[State, ...]] = ("healthy", "degraded", "exhausted")
_ABOUT_THE_CALLER: Final = (
    "policy.",
    "guardrail.",
    "capability.",
    "budget.",
    "limit.",
    "state.",
    "deadline.",
)
"""Reasons that say something of one request or its caller, and nothing of the pool."""


@dataclass(frozen=True, slots=True)
class PoolState:
    """The state of a pool since a moment, in seconds since 1970.

    `cause` is the kind of the fault or the reason code, and `target` the preferred target that it is about;
    both are None for a healthy pool. `operation` is that for which the pool is in this state.
    """

    pool: str
    state: State
    since: float
    cause: str | None = None
    target: str | None = None
    operation: str | None = None


class _Track:
    """What is known of one pool and operation. `recent` has the rank of each of the last requests."""

    __slots__ = ("cause", "last", "recent", "state", "target")

    def __init__(self, state: PoolState) -> None:
        self.state = state
        self.recent: deque[int] = deque(maxlen=RECENT)
        self.cause: str | None = None
        self.target: str | None = None
        self.last = 0.0  # when the last request ended, by the clock

    def share(self, rank: int) -> float:
        """The share of the last requests that were served as badly as this, or worse."""
        bad = sum(1 for each in self.recent if each >= rank)
        return bad / len(self.recent) if bad >= LEAST else 0.0


class PoolStates:
    """The states of all pools of one process.

    `clock` is monotonic and `now` is in seconds since 1970.
    """

    def __init__(
        self,
        health: Health,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._health = health
        self._clock = clock
        self._now = now
        self._tracks: dict[tuple[str, str], _Track] = {}

    def ended(
        self,
        pool: Pool,
        operation: str,
        state: State,
        cause: str | None = None,
        target: str | None = None,
    ) -> PoolState | None:
        """Record how a request was served. Returns the state of the pool if that has changed by it.

        `cause` is why it was not served by a healthy preferred target, and `target` which one. A cause of the
        caller's own is no evidence of anything.
        """
        if cause is not None and cause.startswith(_ABOUT_THE_CALLER):
            return None
        key = (pool.name, operation)
        track = self._tracks.get(key)
        if track is None:
            if state == "healthy":
                self._tracks[key] = self._track(pool, operation)
                return None
            track = self._tracks[key] = self._track(pool, operation)
        track.last = self._clock()
        track.recent.append(_RANK.index(state))
        if state == "healthy":
            return None if track.state.state == "healthy" else self._judge(pool, operation, track)
        track.cause, track.target = cause, target
        return self._judge(pool, operation, track)

    def review(self, pools: Iterable[Pool]) -> list[PoolState]:
        """Judge these pools again, without a request. Returns the states that have changed."""
        by_name = {pool.name: pool for pool in pools}
        for key in [key for key in self._tracks if key[0] not in by_name]:
            del self._tracks[key]
        changed = (
            self._judge(by_name[name], operation, track)
            for (name, operation), track in list(self._tracks.items())
        )
        return [state for state in changed if state is not None]

    def of(self, pool: str) -> PoolState:
        """Returns the state of a pool: the worst of its operations, the oldest among equals."""
        states = [track.state for (name, _), track in self._tracks.items() if name == pool]
        return max(
            states,
            key=lambda state: (_RANK.index(state.state), -state.since),
            default=PoolState(pool, "healthy", self._now()),
        )

    def _track(self, pool: Pool, operation: str) -> _Track:
        return _Track(PoolState(pool.name, "healthy", self._now(), operation=operation))

    def _judge(self, pool: Pool, operation: str, track: _Track) -> PoolState | None:
        """Change the state if the evidence says so, and return the new one."""
        state, cause, target = self._known(pool, operation)
        before = track.state
        if self._clock() - track.last > CALM:
            track.recent.clear()
        by_requests = self._by_requests(track)
        if _RANK.index(by_requests) > _RANK.index(state):
            state = by_requests
            if cause is None:
                cause, target = track.cause, track.target
        elif state == "exhausted" and by_requests != "exhausted" and track.recent:
            state = "degraded"  # no target has proved itself, but most of the last requests were served
        if state == before.state:
            return None
        if state == "healthy":
            cause = target = None
        track.state = replace(before, state=state, since=self._now(), cause=cause, target=target)
        return track.state

    @staticmethod
    def _by_requests(track: _Track) -> State:
        """Returns the state by the last requests alone. It gets better later than it got worse."""
        for rank in (2, 1):
            limit = BETTER if _RANK.index(track.state.state) >= rank else WORSE
            share = track.share(rank)
            if share >= WORSE or share > limit:
                return _RANK[rank]
        return "healthy"

    def _known(self, pool: Pool, operation: str) -> tuple[State, str | None, str | None]:
        """Returns the state by the health of the targets alone, with its cause and the target it is about."""
        first: tuple[str, str] | None = None
        for target in pool.prefer:
            reason = self._reason(target, operation)
            if reason is None:
                asked = operation_at_target(target, operation_named(operation)).name
                degraded = self._health.degradation(pool, target.name, asked)
                if degraded is None:
                    return "healthy", None, None
                reason = degraded.reason
            first = first or (reason, target.name)
        cause, name = first or ("disabled", pool.prefer[0].name)
        serves = any(self._reason(alternate.target, operation) is None for alternate in pool.alternates)
        slow = any(self._reason(target, operation) is None for target in pool.prefer)
        return "degraded" if serves or slow else "exhausted", cause, name

    def _reason(self, target: Target, operation: str) -> str | None:
        """Returns why a target cannot be counted on, or None."""
        if target.disabled:
            return "disabled"
        asked = operation_at_target(target, operation_named(operation)).name
        if asked not in target.operations:
            return "capability.endpoint"
        return self._health.reason(target.name, target.provider.name, asked)
