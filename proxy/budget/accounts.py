"""The accounts that a request counts against: those of its scopes, its pool and its targets. No I/O.

A calendar budget uses one bucket per window; the bucket's id is the start of the window. A rolling budget
uses buckets of one sixtieth of the window (see PARTS); the buckets that cover the whole window are added up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from ..config import BudgetUnit, BudgetWindow, Grants, Limits, Pool, Target, WindowName
from ..stores.records import Line

__all__ = ["PARTS", "SPARE", "Account", "Accounts", "Amounts", "Period", "Unit", "calendar", "rolling"]

PARTS: Final = 60
"""The number of buckets in a rolling window. One more bucket is counted, because the oldest is only partly
outside the window."""

SPARE: Final = 86_400
"""Seconds that a bucket is kept after its window. A request that starts in a window may end after it."""

_KEPT: Final = 10_000
"""The maximum number of scopes, pools and targets whose accounts are cached. Then the cache begins anew."""

Unit: TypeAlias = BudgetUnit | Literal["concurrent"]

_LENGTHS: Final = MappingProxyType[WindowName, int](
    {"hour": 3600, "day": 86_400, "week": 7 * 86_400, "month": 30 * 86_400, "quarter": 91 * 86_400}
)
_RATES: Final[tuple[tuple[str, str, Unit, int], ...]] = (
    ("requests_per_second", "request_burst", "requests", 1),
    ("requests_per_minute", "request_burst", "requests", 60),
    ("tokens_per_second", "token_burst", "tokens", 1),
    ("tokens_per_minute", "token_burst", "tokens", 60),
)


class Period(NamedTuple):
    """A period of time in seconds since 1970. `start` is inclusive, `end` is exclusive."""

    start: int
    end: int


class Amounts(NamedTuple):
    """The actual or estimated usage of one or more requests.

    `requests` is their number, `input` and `output` are tokens, `cost` is in nano-dollars.
    """

    requests: int = 0
    input: int = 0
    output: int = 0
    cost: int = 0

    def of(self, unit: Unit) -> int:
        """Returns the amount in this unit. It is always 1 for "concurrent"."""
        match unit:
            case "cost":
                return self.cost
            case "tokens":
                return self.input + self.output
            case "input_tokens":
                return self.input
            case "output_tokens":
                return self.output
            case "requests":
                return self.requests
            case "concurrent":
                return 1


class Account(NamedTuple):
    """One limit of one scope, pool or target, for the current window.

    `scope` and `what` are for display, such as "key/checkout" and "cost per month". `line` is the store's
    line for this limit, with an amount of 0. `resets` is the end of a calendar window, in seconds since 1970;
    it is None for other limits. `alert_at` holds fractions of the limit at which an alert is logged.
    """

    scope: str
    what: str
    unit: Unit
    line: Line
    resets: int | None = None
    alert_at: tuple[float, ...] = ()

    @property
    def label(self) -> str:
        """The account's name in responses and logs."""
        return f"{self.scope} {self.what}"


class _Cached(NamedTuple):
    owner: Grants | Pool | Target
    accounts: tuple[Account, ...]
    valid: tuple[float, float]


class Accounts:
    """A cache of the accounts of scopes, pools and targets. An entry expires when one of its windows ends."""

    __slots__ = ("_cached",)

    def __init__(self) -> None:
        self._cached: dict[int, _Cached] = {}

    def of(self, kind: str, owner: Grants | Pool | Target, now: float) -> tuple[Account, ...]:
        """Returns the accounts of `owner`, a scope, pool or target.

        `kind` is the first part of the account names, such as "key" or "pool". `now` is the store's time in
        seconds since 1970.
        """
        cached = self._cached.get(id(owner))  # the entry references its owner, so the id cannot be reused
        if cached is not None and cached.owner is owner and cached.valid[0] <= now < cached.valid[1]:
            return cached.accounts
        accounts, valid = _accounts(f"{kind}/{owner.name}", owner.limits, owner.budget, now)
        if len(self._cached) >= _KEPT:
            self._cached.clear()
        self._cached[id(owner)] = _Cached(owner, accounts, valid)
        return accounts


def _accounts(
    scope: str, limits: Limits, budget: Sequence[BudgetWindow], now: float
) -> tuple[tuple[Account, ...], tuple[float, float]]:
    """Returns the accounts and the period (start, end) in which they are valid, in seconds since 1970."""
    accounts: dict[str, Account] = {}
    valid = (-math.inf, math.inf)
    for window in budget:
        account, period = _budget(scope, window, now)
        valid = (max(valid[0], period.start), min(valid[1], period.end))
        existing = accounts.get(account.line.account)
        # Two limits on the same account: only the lower one is kept, so that no amount is counted twice.
        if existing is None or (account.line.limit or 0) < (existing.line.limit or 0):
            accounts[account.line.account] = account
    return (*accounts.values(), *_limits(scope, limits)), valid


def _budget(scope: str, window: BudgetWindow, now: float) -> tuple[Account, Period]:
    unit = window.unit
    if window.rolling:
        length = _LENGTHS[window.window]
        period = rolling(window.window, now)
        line = Line(
            account=f"{scope}/{unit}/rolling-{window.window}",
            kind="sum",
            amount=0,
            limit=window.limit,
            bucket=period.start,
            since=period.start - length,
            rolling=True,
            keep=length + period.end - period.start + SPARE,
        )
        what, resets = f"{_unit_label(unit)} per rolling {window.window}", None
    else:
        zone = "" if window.timezone == "UTC" else f"@{window.timezone}"
        period = calendar(window.window, window.timezone, now)
        line = Line(
            account=f"{scope}/{unit}/{window.window}{zone}",
            kind="sum",
            amount=0,
            limit=window.limit,
            bucket=period.start,
            since=period.start,
            keep=period.end - period.start + SPARE,
        )
        what, resets = f"{_unit_label(unit)} per {window.window}", period.end
    return Account(scope, what, unit, line, resets, window.alert_at), period


def _limits(scope: str, limits: Limits) -> list[Account]:
    accounts: list[Account] = []
    for name, burst, unit, period in _RATES:
        rate: int | None = getattr(limits, name)
        if rate is None:
            continue
        size: int = getattr(limits, burst) or rate
        per_second = rate / period
        line = Line(
            account=f"{scope}/{name}",
            kind="rate",
            amount=0,
            limit=size,
            keep=math.ceil(size / per_second) + 60,  # by then it has refilled, as if it had never been used
            per_second=per_second,
        )
        accounts.append(Account(scope, name, unit, line))
    if limits.concurrent is not None:
        line = Line(account=f"{scope}/concurrent", kind="lease", amount=0, limit=limits.concurrent)
        accounts.append(Account(scope, "concurrent", "concurrent", line))
    return accounts


def _unit_label(unit: BudgetUnit) -> str:
    return unit.replace("_", " ")


# -- time -------------------------------------------------------------------------------------


def rolling(window: WindowName, now: float) -> Period:
    """Returns the bucket of a rolling window that contains `now`."""
    length = _LENGTHS[window] // PARTS
    start = math.floor(now / length) * length
    return Period(start, start + length)


def calendar(window: WindowName, timezone: str, now: float) -> Period:
    """Returns the calendar window in `timezone` that contains `now`. Weeks start on Monday.

    When clocks are set back, the repeated hour is two separate windows. A day on which the clocks change has
    23 or 25 hours.
    """
    zone = ZoneInfo(timezone)
    local = datetime.fromtimestamp(now, zone)
    hourly = window == "hour"
    wall = local.replace(tzinfo=None, minute=0, second=0, microsecond=0, fold=0)
    if not hourly:
        wall = _first_day(window, wall.replace(hour=0))
    following = _following(window, wall)
    start = _instant(wall, zone, fold=local.fold if hourly else 0)
    ends = [_instant(following, zone, fold=fold) for fold in (0, 1)]
    if hourly:
        ends.append(_instant(wall, zone, fold=1))
    return Period(start, min(end for end in ends if end > now))


def _first_day(window: WindowName, day: datetime) -> datetime:
    match window:
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case "hour" | "day":
            return day


def _following(window: WindowName, wall: datetime) -> datetime:
    match window:
        case "hour":
            return wall + timedelta(hours=1)
        case "day":
            return wall + timedelta(days=1)
        case "week":
            return wall + timedelta(days=7)
        case "month" | "quarter":
            months = wall.month - 1 + (1 if window == "month" else 3)
            return wall.replace(year=wall.year + months // 12, month=months % 12 + 1)


def _instant(wall: datetime, zone: ZoneInfo, *, fold: int) -> int:
    """Returns the time in seconds since 1970 at which clocks in `zone` show `wall`.

    `fold` selects the first (0) or second (1) occurrence of a repeated time. For a time that is skipped when
    clocks are set forward, returns the moment of the change.
    """
    first = int(wall.replace(tzinfo=zone, fold=0).timestamp())
    second = int(wall.replace(tzinfo=zone, fold=1).timestamp())
    if first <= second:
        return second if fold else first
    # `wall` is skipped. Converted with the new offset it is before the change, with the old offset after it,
    # so a binary search between the two finds the moment of the change.
    before, after = second, first
    offset = datetime.fromtimestamp(before, zone).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
