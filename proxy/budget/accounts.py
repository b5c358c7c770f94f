"""What a request is measured against: the accounts of its scopes, its pool and its targets. No I/O.

A budget over a window of the calendar is booked in the bucket that begins where the window began; one over
a rolling window in parts of it, a sixtieth each, of which as many count as cover the window whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from cachetools import LRUCache

from ..config import BudgetUnit, BudgetWindow, Grants, Limits, Pool, Target, WindowName
from ..stores.records import Line

__all__ = ["PARTS", "SPARE", "Account", "Accounts", "Amounts", "Period", "Unit", "calendar", "rolling"]

PARTS: Final = 60
"""Buckets of a rolling window. One more counts, the oldest being only partly over."""

SPARE: Final = 86_400
"""Seconds for which figures are kept after their window: a request that began in it may end after it."""

_KEPT: Final = 10_000
"""Scopes, pools and targets whose accounts are remembered."""

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
    """A stretch of time, from `start` up to and without `end`, in seconds since 1970."""

    start: int
    end: int


class Amounts(NamedTuple):
    """What a request takes, or may take. `cost` is in nano-dollars, `input` and `output` are tokens."""

    requests: int = 0
    input: int = 0
    output: int = 0
    cost: int = 0

    def of(self, unit: Unit) -> int:
        """How much of `unit` that is."""
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
    """One limit of one scope, pool or target, now.

    `scope` and `what` name it to people: "key/checkout", "cost per month". `line` has no amount yet. `resets`
    is when all of it is free again, for a window of the calendar; `alert_at` are shares of the limit.
    """

    scope: str
    what: str
    unit: Unit
    line: Line
    resets: int | None = None
    alert_at: tuple[float, ...] = ()

    @property
    def label(self) -> str:
        """Its name in answers and logs."""
        return f"{self.scope} {self.what}"


class _Cached(NamedTuple):
    owner: Grants | Pool | Target
    accounts: tuple[Account, ...]
    valid: tuple[float, float]


class Accounts:
    """The accounts of scopes, pools and targets, remembered until a window of theirs ends."""

    __slots__ = ("_cached",)

    def __init__(self) -> None:
        self._cached: LRUCache[int, _Cached] = LRUCache(_KEPT)

    def of(self, kind: str, owner: Grants | Pool | Target, now: float) -> tuple[Account, ...]:
        """The accounts of `owner`, a scope, pool or target of this `kind`, at `now` by the store's clock."""
        cached = self._cached.get(id(owner))  # the entry keeps its owner, so that nobody else gets its id
        if cached is not None and cached.owner is owner and cached.valid[0] <= now < cached.valid[1]:
            return cached.accounts
        accounts, valid = _accounts(f"{kind}/{owner.name}", owner.limits, owner.budget, now)
        self._cached[id(owner)] = _Cached(owner, accounts, valid)
        return accounts


def _accounts(
    scope: str, limits: Limits, budget: Sequence[BudgetWindow], now: float
) -> tuple[tuple[Account, ...], tuple[float, float]]:
    """The accounts, and the time for which they stay the same."""
    accounts: dict[str, Account] = {}
    valid = (-math.inf, math.inf)
    for window in budget:
        account, period = _budget(scope, window, now)
        valid = (max(valid[0], period.start), min(valid[1], period.end))
        cached = accounts.get(account.line.account)
        # Of two limits on one figure the lower one decides; the figure must not be counted twice.
        if cached is None or (account.line.limit or 0) < (cached.line.limit or 0):
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
        what, resets = f"{_words(unit)} per rolling {window.window}", None
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
        what, resets = f"{_words(unit)} per {window.window}", period.end
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
            keep=math.ceil(size / per_second) + 60,  # full again by then: as if it had never been used
            per_second=per_second,
        )
        accounts.append(Account(scope, name, unit, line))
    if limits.concurrent is not None:
        line = Line(account=f"{scope}/concurrent", kind="lease", amount=0, limit=limits.concurrent)
        accounts.append(Account(scope, "concurrent", "concurrent", line))
    return accounts


def _words(unit: BudgetUnit) -> str:
    return unit.replace("_", " ")


# -- time -------------------------------------------------------------------------------------


def rolling(window: WindowName, now: float) -> Period:
    """The part of a rolling window that is booked at `now`."""
    length = _LENGTHS[window] // PARTS
    start = math.floor(now / length) * length
    return Period(start, start + length)


def calendar(window: WindowName, timezone: str, now: float) -> Period:
    """The window of the calendar of `timezone` that `now` is in. Weeks begin on Monday.

    Where clocks are set back, the hour that comes twice is two windows. A day has 23 or 25 hours then.
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
    """When clocks in `zone` show `wall`, the first or the second time; or when they jump over it."""
    first = int(wall.replace(tzinfo=zone, fold=0).timestamp())
    second = int(wall.replace(tzinfo=zone, fold=1).timestamp())
    if first <= second:
        return second if fold else first
    # They never show it: it is as much before the jump by the new offset as it is after it by the old one.
    before, after = second, first
    offset = datetime.fromtimestamp(before, zone).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
