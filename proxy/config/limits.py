"""Budgets over windows of time, and rate limits. Any scope, pool and target may have both."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from .money import nano
from .table import Table
from .values import Remark, objection

__all__ = ["BudgetUnit", "BudgetWindow", "Limits", "WindowName"]

BudgetUnit: TypeAlias = Literal["cost", "requests", "tokens", "input_tokens", "output_tokens"]
WindowName: TypeAlias = Literal["hour", "day", "week", "month", "quarter"]

Whole: TypeAlias = Annotated[int, Field(ge=1, le=10**15)]


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise objection(Remark("not a time zone", 'write its name, as "Europe/Paris" or "UTC"')) from None
    return value


TimeZone: TypeAlias = Annotated[str, AfterValidator(_zone)]
"""The name of a time zone in the IANA database."""


def _limit(value: object, info: ValidationInfo) -> object:
    return nano(value, info) if info.data.get("unit") == "cost" else value


class Limits(Table):
    """Rate limits and a limit of concurrent requests.

    A burst is the most that may be used at once after a pause.
    """

    requests_per_second: Whole | None = None
    requests_per_minute: Whole | None = None
    tokens_per_second: Whole | None = None
    tokens_per_minute: Whole | None = None
    request_burst: Whole | None = None
    """The burst of both request rates. By default, each rate's burst is its amount for one period."""
    token_burst: Whole | None = None
    concurrent: Whole | None = None

    @model_validator(mode="after")
    def _bursts_belong_to_rates(self) -> Self:
        remarks = [
            Remark(f"there is no rate of {what}s that this could be the burst of", at=(f"{what}_burst",))
            for what in ("request", "token")
            if getattr(self, f"{what}_burst") is not None
            and getattr(self, f"{what}s_per_second") is None
            and getattr(self, f"{what}s_per_minute") is None
        ]
        if remarks:
            raise objection(*remarks)
        return self


class BudgetWindow(Table):
    """A budget: the most that may be used within a window of time."""

    unit: BudgetUnit = "cost"
    limit: Annotated[int, BeforeValidator(_limit), Field(ge=1, le=10**18)]
    """Dollars as text for `unit = "cost"` (stored as integer nano-dollars), else a whole number."""
    window: WindowName
    rolling: bool = False
    """Whether the window is the last hour, day, ... instead of the current one of the calendar. A rolling
    month has 30 days, a rolling quarter 91."""
    timezone: TimeZone = "UTC"
    """The time zone of the calendar."""
    alert_at: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.8, 1.0)
    """Shares of the limit at which an alert is raised, once per window."""
