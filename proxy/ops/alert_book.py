"""Which alerts are on: when one fires, that it fires once, and when it is resolved. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from cachetools import LRUCache

from .conditions import Condition
from .status import moment

__all__ = ["Alert", "AlertBook"]

_KEPT: Final = 10_000
"""The most events that are remembered, so that each is told once."""


class Alert(NamedTuple):
    """One message about a condition: that it is there (`firing`), or over (`resolved`)."""

    status: str
    condition: Condition
    at: float
    """When, in seconds since 1970."""

    def as_json(self) -> dict[str, Any]:
        """Returns the alert as plain data."""
        condition = self.condition
        return {
            "status": self.status,
            "alert": condition.alert,
            "subject": condition.subject,
            "text": condition.text,
            "since": moment(condition.since),
            "at": moment(self.at),
            **condition.facts,
        }

    def as_slack(self) -> dict[str, Any]:
        """Returns the alert as a message for a Slack incoming webhook."""
        words = "Resolved" if self.status == "resolved" else "Alert"
        condition = self.condition
        return {"text": f"{words}: {condition.text} (since {moment(condition.since)})"}


class AlertBook:
    """The alerts of one gateway. `after` and `resolve_after` are those of `[alerts]`, in seconds."""

    def __init__(self, after: float, resolve_after: float) -> None:
        self.after = after
        self.resolve_after = resolve_after
        self._seen: dict[str, float] = {}  # conditions that are not alerts yet, and when they were first seen
        self._firing: dict[str, Condition] = {}
        self._over: dict[str, float] = {}  # alerts whose condition is gone, and since when
        self._told: LRUCache[str, bool] = LRUCache(_KEPT)

    @property
    def firing(self) -> list[Condition]:
        """The conditions whose alerts are on."""
        return list(self._firing.values())

    @property
    def told(self) -> list[str]:
        """The keys of the events that have been told."""
        return list(self._told)

    def resume(self, firing: Iterable[Condition], told: Iterable[str]) -> None:
        """Take over the alerts that another process has fired, and the events that it has told."""
        self._firing = {condition.key: condition for condition in firing}
        for key in told:
            self._told[key] = True

    def update(self, conditions: Iterable[Condition], now: float) -> list[Alert]:
        """Returns the alerts that fire or are resolved now. `now` is in seconds since 1970."""
        alerts: list[Alert] = []
        present: dict[str, Condition] = {}
        for condition in conditions:
            if condition.lasting:
                present.setdefault(condition.key, condition)
            elif condition.key not in self._told:
                self._told[condition.key] = True
                alerts.append(Alert("firing", condition, now))
        for key, condition in present.items():
            self._over.pop(key, None)
            if key in self._firing:
                continue
            since = min(self._seen.setdefault(key, now), condition.since)
            if now - since >= self.after:
                del self._seen[key]
                self._firing[key] = condition._replace(since=since)
                alerts.append(Alert("firing", self._firing[key], now))
        for key in [key for key in self._seen if key not in present]:
            del self._seen[key]
        for key in [key for key in self._firing if key not in present]:
            if now - self._over.setdefault(key, now) >= self.resolve_after:
                del self._over[key]
                alerts.append(Alert("resolved", self._firing.pop(key), now))
        return alerts
