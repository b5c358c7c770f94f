"""When an alert fires, that it fires once, and when it is resolved."""

from __future__ import annotations

from standby.proxy.ops.alert_book import AlertBook
from standby.proxy.ops.conditions import Condition

__all__: list[str] = []

OUTAGE = Condition(
    "pool_degraded", "support", "pool support is served by alternates", 100.0, {"pool": "support"}
)
SPENT = Condition("budget", "key/ann: 80 %", "budget of ann: 80 %", 100.0, {}, lasting=False)


def told(book: AlertBook, now: float, *conditions: Condition) -> list[tuple[str, str]]:
    """What the book says at a moment."""
    return [(alert.status, alert.condition.alert) for alert in book.update(conditions, now)]


def test_what_is_over_at_once_is_no_alert() -> None:
    """A condition must last for `after`; one that comes and goes never fires."""
    book = AlertBook(10, 60)
    assert told(book, 100, OUTAGE) == []
    assert told(book, 105) == []
    assert told(book, 106, OUTAGE._replace(since=106)) == []
    assert told(book, 115, OUTAGE._replace(since=106)) == []


def test_it_fires_once_and_is_resolved_once() -> None:
    """However long it lasts, and although it is gone for a moment."""
    book = AlertBook(10, 60)
    assert told(book, 105, OUTAGE) == []
    assert told(book, 110, OUTAGE) == [("firing", "pool_degraded")]
    assert told(book, 111, OUTAGE) == []
    assert told(book, 120) == []
    assert told(book, 170, OUTAGE) == []  # it came back before it was resolved
    assert told(book, 200) == []
    assert told(book, 259) == []
    assert told(book, 260) == [("resolved", "pool_degraded")]
    assert told(book, 400) == []


def test_what_has_happened_is_told_once() -> None:
    """An event fires at once and is never resolved."""
    book = AlertBook(10, 60)
    assert told(book, 100, SPENT) == [("firing", "budget")]
    assert told(book, 500, SPENT) == []
    assert told(book, 900) == []


def test_another_process_goes_on() -> None:
    """Who takes over does not fire what is on, and resolves it."""
    book = AlertBook(10, 60)
    told(book, 110, OUTAGE)
    next_book = AlertBook(10, 60)
    told(book, 111, SPENT)
    next_book.resume(book.firing, book.told)
    assert told(next_book, 115, OUTAGE, SPENT) == []
    assert told(next_book, 120, OUTAGE) == []
    assert told(next_book, 130) == []
    assert told(next_book, 190) == [("resolved", "pool_degraded")]


def test_what_is_sent() -> None:
    """The message has the facts of its condition, and times that people read; Slack gets a sentence."""
    [alert] = AlertBook(0, 60).update([OUTAGE], 160.0)
    assert alert.as_json() == {
        "status": "firing",
        "alert": "pool_degraded",
        "subject": "support",
        "text": "pool support is served by alternates",
        "since": "1970-01-01T00:01:40Z",
        "at": "1970-01-01T00:02:40Z",
        "pool": "support",
    }
    assert alert.as_slack() == {
        "text": "Alert: pool support is served by alternates (since 1970-01-01T00:01:40Z)"
    }
