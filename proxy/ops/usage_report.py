"""The command `standby usage`: sums of the ledger as a table, CSV or JSON."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import aclosing
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import orjson

from ..config import Routes, dollars
from ..stores.address import open_store
from ..stores.store import Store, StoreDown
from .columns import columns
from .ledger_totals import By, LedgerTotals, Totals

__all__ = ["FORMATS", "Format", "moment", "recorded", "shown", "usage"]

Format: TypeAlias = Literal["table", "csv", "json"]

FORMATS: Final[tuple[Format, ...]] = ("table", "csv", "json")

_COUNTS: Final = (
    *("requests", "attempts", "failed", "estimated", "unpriced"),
    *("input", "cached", "cache_write", "output", "reasoning"),
)
_MONEY: Final = ("cost", "failed_cost", "charged")
_SHOWN: Final = ("requests", "attempts", "failed", "input", "output", "cost", "failed_cost", "charged")
"""The columns of the table, which must fit the width of a terminal."""
_FORMULA: Final = re.compile(r" *[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""The start of a formula in a spreadsheet.

Spreadsheets trim spaces, and some treat the full-width forms of these characters as equal."""
_AGO: Final = re.compile(r"([0-9]{1,6})(m|h|d|w)")
_UNITS: Final = MappingProxyType({"m": "minutes", "h": "hours", "d": "days", "w": "weeks"})


def moment(text: str, now: float, zone: tzinfo) -> float:
    """Returns the Unix time of `text`.

    `text` is a span before now, such as "30m", "24h", "7d" or "4w", or an ISO date or time. Dates and times
    without an offset are in `zone`. Raises ValueError for anything else.
    """
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])}).total_seconds()
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'{text!r} is no time: write "24h", "7d" or "2026-11-01"') from None
    return (parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=zone)).timestamp()


async def recorded(
    routes: Routes, by: tuple[By, ...], zone: tzinfo, since: str, until: str | None
) -> LedgerTotals:
    """Returns the totals of the ledger in the store of these routes.

    Raises ValueError for an invalid time, and StoreDown if the store cannot be read.
    """
    if routes.store == "memory:":
        raise StoreDown('"memory:" keeps its ledger in each gateway; nothing can be read from outside')
    async with aclosing(open_store(routes.store, Path(routes.file).parent)) as store:
        now = store.now()
        end = None if until is None else moment(until, now, zone)
        return await usage(store, by, zone, since=moment(since, now, zone), until=end)


async def usage(
    store: Store, by: tuple[By, ...], zone: tzinfo, *, since: float = 0.0, until: float | None = None
) -> LedgerTotals:
    """Returns the totals of the entries from `since` on and before `until`, in Unix time."""
    ledger_totals = LedgerTotals(by, zone)
    async for entry in store.entries(since):
        if until is None or entry.at < until:
            ledger_totals.add(entry)
    return ledger_totals


def shown(ledger_totals: LedgerTotals, style: Format) -> str:
    """Returns the totals as text that ends with a newline. Money is in exact dollars."""
    if style == "json":
        rows = [
            dict(zip(ledger_totals.by, group, strict=True)) | _figures(totals)
            for group, totals in ledger_totals.rows
        ]
        document = {"by": ledger_totals.by, "rows": rows, "total": _figures(ledger_totals.total)}
        return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
    if style == "csv":
        return _csv(ledger_totals)
    return "\n".join([*_table(ledger_totals), ""])


def _figures(totals: Totals) -> dict[str, Any]:
    counts = {name: getattr(totals, name) for name in _COUNTS}
    return counts | {name: dollars(getattr(totals, name)) for name in _MONEY}


def _csv(ledger_totals: LedgerTotals) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*ledger_totals.by, *_COUNTS, *_MONEY])
    for group, totals in ledger_totals.rows:
        writer.writerow([*map(_csv_safe, group), *_figures(totals).values()])
    return out.getvalue()


def _csv_safe(name: str) -> str:
    """Returns a name that is safe in CSV: no spreadsheet reads it as a formula, and it ends no line.

    Names of models come from providers, and are not trusted.
    """
    name = _printable(name)
    return f"'{name}" if _FORMULA.match(name) else name


def _table(ledger_totals: LedgerTotals) -> Iterator[str]:
    rows = [
        [*(_printable(name) or "-" for name in group), *_cells(totals)]
        for group, totals in ledger_totals.rows
    ]
    last = ["total", *[""] * (len(ledger_totals.by) - 1), *_cells(ledger_totals.total)]
    head = [*ledger_totals.by, *(name.replace("_", " ") for name in _SHOWN)]
    yield from columns([head, *rows, last], left=len(ledger_totals.by))
    for count, what in (
        (ledger_totals.total.estimated, "estimated: the provider did not say what it used"),
        (ledger_totals.total.unpriced, "unpriced: its cost is what was held for it, or unknown"),
    ):
        if count:
            yield f"{count} of {ledger_totals.total.attempts} attempts {what}"


def _cells(totals: Totals) -> list[str]:
    return [
        f"${dollars(getattr(totals, name))}" if name in _MONEY else f"{getattr(totals, name):,}"
        for name in _SHOWN
    ]


def _printable(name: str) -> str:
    """Returns a name without control characters, which a terminal might interpret."""
    return "".join(character if character.isprintable() else "?" for character in name)
