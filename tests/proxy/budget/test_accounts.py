"""Tests of accounts: the limits of a scope and the windows in which amounts are booked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.budget.accounts import PARTS, SPARE, Accounts, Amounts, Unit, calendar, rolling
from standby.proxy.config import BudgetWindow, Grants, Limits, WindowName

__all__: list[str] = []

WINDOWS: Final[tuple[WindowName, ...]] = get_args(WindowName)
ZONES: Final = (
    *("UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Kiritimati"),
    *("Australia/Lord_Howe", "America/St_Johns", "America/Havana", "Africa/Cairo", "Asia/Beirut"),
    *("Pacific/Chatham", "Atlantic/Azores", "America/Santiago", "Africa/Casablanca"),
)


def at(text: str, zone: str = "UTC", fold: int = 0) -> int:
    """Seconds since 1970 of a time on the clocks of a zone."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp())


def scope(**fields: Any) -> Grants:
    """A scope called "checkout"."""
    return Grants(name="checkout", **fields)


@pytest.mark.parametrize(
    ("window", "zone", "now", "start", "end"),
    [
        ("hour", "UTC", "2026-03-01T10:59:59", "2026-03-01T10:00", "2026-03-01T11:00"),
        ("day", "UTC", "2028-02-29T23:59:59", "2028-02-29T00:00", "2028-03-01T00:00"),
        ("week", "UTC", "2027-01-03T12:00", "2026-12-28T00:00", "2027-01-04T00:00"),
        ("month", "UTC", "2028-02-29T12:00", "2028-02-01T00:00", "2028-03-01T00:00"),
        ("month", "UTC", "2026-12-31T23:59:59", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("quarter", "UTC", "2026-03-31T23:59:59", "2026-01-01T00:00", "2026-04-01T00:00"),
        ("quarter", "UTC", "2026-10-01T00:00", "2026-10-01T00:00", "2027-01-01T00:00"),
        ("month", "Europe/Paris", "2026-07-31T23:30", "2026-07-01T00:00", "2026-08-01T00:00"),
    ],
)
def test_a_window_of_the_calendar(window: WindowName, zone: str, now: str, start: str, end: str) -> None:
    """The start and end follow the calendar of the time zone, including quarters and leap years."""
    assert calendar(window, zone, at(now, zone)) == (at(start, zone), at(end, zone))


def test_a_window_belongs_to_its_time_zone() -> None:
    """The same moment is in July in UTC and in August in Paris."""
    now = at("2026-07-31T22:30")
    assert calendar("month", "Europe/Paris", now).start == at("2026-08-01T00:00", "Europe/Paris")
    assert calendar("month", "UTC", now).start == at("2026-07-01T00:00")


def test_days_on_which_clocks_change() -> None:
    """A day has 23 hours when clocks are set forward, and 25 when they are set back."""
    spring = calendar("day", "Europe/Paris", at("2026-03-29T12:00", "Europe/Paris"))
    autumn = calendar("day", "Europe/Paris", at("2026-10-25T12:00", "Europe/Paris"))
    assert [day.end - day.start for day in (spring, autumn)] == [23 * 3600, 25 * 3600]


def test_the_hour_that_comes_twice() -> None:
    """The repeated hour is two windows; the second starts where the first ends."""
    first = calendar("hour", "Europe/Paris", at("2026-10-25T02:30", "Europe/Paris"))
    second = calendar("hour", "Europe/Paris", at("2026-10-25T02:30", "Europe/Paris", fold=1))
    assert first.end == second.start
    assert [hour.end - hour.start for hour in (first, second)] == [3600, 3600]


def test_midnight_that_never_comes() -> None:
    """If midnight is skipped by a clock change, the day starts at the change."""
    zone = "Africa/Cairo"  # 00:00 becomes 01:00 on the last Friday of April
    day = calendar("day", zone, at("2026-04-24T12:00", zone))
    assert day.start == at("2026-04-24T01:00", zone)
    assert day.end - day.start == 23 * 3600


@given(
    window=st.sampled_from(WINDOWS),
    zone=st.sampled_from(ZONES),
    now=st.integers(at("2020-01-01T00:00"), at("2037-01-01T00:00")),
)
def test_windows_cover_all_of_time(window: WindowName, zone: str, now: int) -> None:
    """Every moment is in exactly one window, from its first to its last second."""
    period = calendar(window, zone, now)
    assert period.start <= now < period.end
    assert calendar(window, zone, period.start) == period
    assert calendar(window, zone, period.end - 1) == period
    assert calendar(window, zone, period.end).start == period.end


@given(
    zone=st.sampled_from(ZONES),
    day=st.datetimes(datetime(2020, 1, 1), datetime(2036, 12, 31)),  # noqa: DTZ001 - the zone is drawn
)
def test_windows_around_changes_of_clocks(zone: str, day: datetime) -> None:
    """The same holds every 15 minutes around a clock change."""
    timezone = ZoneInfo(zone)
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=timezone)
    if midnight.utcoffset() == (midnight + timedelta(days=2)).utcoffset():
        return
    begin = int(midnight.astimezone(UTC).timestamp())
    for now in range(begin, begin + 2 * 86_400, 900):
        for window in ("hour", "day"):
            period = calendar(window, zone, now)
            assert period.start <= now < period.end
            assert calendar(window, zone, period.end).start == period.end


@given(window=st.sampled_from(WINDOWS), now=st.floats(0, 4e9))
def test_rolling_windows(window: WindowName, now: float) -> None:
    """The counted buckets cover the whole window, and at most one bucket more."""
    limit = BudgetWindow(limit=100, window=window, rolling=True)
    (account,) = Accounts().of("key", scope(budget=(limit,)), now)
    part = rolling(window, now)
    length = (part.end - part.start) * PARTS
    line = account.line
    assert (line.bucket, line.rolling) == (part.start, True)
    assert length <= now - line.since < length + (part.end - part.start)
    assert line.keep >= length + SPARE


def test_a_budget() -> None:
    """A label has the scope and a description. Budgets with different windows have different accounts."""
    windows = (
        BudgetWindow(limit=50, window="month"),
        BudgetWindow(limit=60, window="month", timezone="Europe/Paris"),
        BudgetWindow(limit=70, window="day", unit="input_tokens"),
        BudgetWindow(limit=80, window="day", rolling=True),
    )
    accounts = Accounts().of("key", scope(budget=windows), at("2026-07-31T22:30"))
    assert [account.label for account in accounts] == [
        "key/checkout cost per month",
        "key/checkout cost per month",
        "key/checkout input tokens per day",
        "key/checkout cost per rolling day",
    ]
    assert [account.line.limit for account in accounts] == [50, 60, 70, 80]
    assert len({account.line.account for account in accounts}) == 4
    assert [account.resets for account in accounts] == [
        at("2026-08-01T00:00"),
        at("2026-09-01T00:00", "Europe/Paris"),
        at("2026-08-01T00:00"),
        None,
    ]


def test_two_limits_on_one_figure() -> None:
    """Of two limits on the same account only the lower one is kept, so amounts are counted once."""
    windows = (
        BudgetWindow(limit=50, window="month"),
        BudgetWindow(limit=20, window="month", alert_at=(0.5,)),
    )
    (account,) = Accounts().of("key", scope(budget=windows), 0.0)
    assert (account.line.limit, account.alert_at) == (20, (0.5,))


def test_rates() -> None:
    """A rate is a token bucket. Its size is the burst, or the amount of one period by default."""
    limits = Limits(requests_per_minute=60, request_burst=5, tokens_per_second=100, concurrent=3)
    accounts = Accounts().of("team", scope(limits=limits), 0.0)
    lines = [account.line for account in accounts]
    assert [account.label for account in accounts] == [
        "team/checkout requests_per_minute",
        "team/checkout tokens_per_second",
        "team/checkout concurrent",
    ]
    assert [(line.kind, line.limit, line.per_second) for line in lines] == [
        ("rate", 5, 1.0),
        ("rate", 100, 100.0),
        ("lease", 3, 0.0),
    ]


def test_accounts_are_remembered_until_a_window_ends() -> None:
    """Accounts are cached within a window and computed again in another one, even an earlier one."""
    accounts, owner = Accounts(), scope(budget=(BudgetWindow(limit=5, window="hour"),))
    first = accounts.of("key", owner, 3600.0)
    assert accounts.of("key", owner, 7199.9) is first
    assert accounts.of("key", owner, 7200.0)[0].line.bucket == 7200
    assert accounts.of("key", owner, 3599.0)[0].line.bucket == 0


def test_amounts() -> None:
    """Each unit returns its own amount; a request counts 1 as requests and as concurrent."""
    amounts = Amounts(requests=1, input=10, output=20, cost=300)
    assert {unit: amounts.of(unit) for unit in ("cost", "tokens", "input_tokens", "output_tokens")} == {
        "cost": 300,
        "tokens": 30,
        "input_tokens": 10,
        "output_tokens": 20,
    }
    units: tuple[Unit, ...] = ("requests", "concurrent")
    assert [amounts.of(unit) for unit in units] == [1, 1]
