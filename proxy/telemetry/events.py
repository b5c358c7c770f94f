"""What requests met that somebody should be told, apart from the states of pools and targets. No I/O."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..exchange import Notice

__all__ = ["LASTS", "REMEMBERED", "Event", "Events"]

LASTS: Final = 30.0
"""Seconds after the last request that met a lasting trouble, until it counts as over."""
REMEMBERED: Final = 3600.0
"""Seconds for which something that has happened is told to whoever has not heard of it."""
_MOST: Final = 1000
"""Events that are kept. The oldest are dropped."""


class Event(NamedTuple):
    """A notice, and when it was met first and last, in seconds since 1970."""

    notice: Notice
    since: float
    last: float


class Events:
    """The events of one process."""

    __slots__ = ("_events",)

    def __init__(self) -> None:
        self._events: dict[tuple[str, str, str], Event] = {}

    def record(self, notice: Notice, now: float) -> None:
        """Record that a request met this. `now` is in seconds since 1970."""
        key = (notice.alert, notice.subject, notice.occasion)
        known = self._events.pop(key, None)
        if known is not None and notice.lasting and now - known.last > LASTS:
            known = None  # that one was over
        self._events[key] = Event(notice, now if known is None else known.since, now)
        if len(self._events) > _MOST:
            del self._events[next(iter(self._events))]

    def present(self, now: float) -> list[Event]:
        """Returns the events, without lasting ones that are over, and what happened long ago."""
        return [
            event
            for event in self._events.values()
            if now - event.last <= (LASTS if event.notice.lasting else REMEMBERED)
        ]
