"""`standby usage`: the ledger as a table, CSV or JSON."""

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
"""What fits beside each other in a terminal."""
_FORMULA: Final = re.compile(r" *[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""Spreadsheets trim spaces, and some take the wide forms of East Asia for the narrow ones."""
_AGO: Final = re.compile(r"([0-9]{1,6})(m|h|d|w)")
_UNITS: Final = MappingProxyType({"m": "minutes", "h": "hours", "d": "days", "w": "weeks"})


def moment(text: str, now: float, zone: tzinfo) -> float:
    """Seconds since 1970 from "24h", "30m", "7d", "4w" before now, a date or a time of `zone`.

    Raises ValueError for anything else.
    """
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])}).total_seconds()
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'{text!r} is no time: write "24h", "7d" or "2026-11-01"') from None
    return (given if given.tzinfo is not None else given.replace(tzinfo=zone)).timestamp()


async def recorded(
    routes: Routes, by: tuple[By, ...], zone: tzinfo, since: str, until: str | None
) -> LedgerTotals:
    """What the store of these routes has recorded.

    Raises ValueError for a time that is none, and StoreDown where nothing can be read.
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
    """Add up what a store's ledger holds from `since` on and before `until`."""
    totals_found = LedgerTotals(by, zone)
    async for entry in store.entries(since):
        if until is None or entry.at < until:
            totals_found.add(entry)
    return totals_found


def shown(totals_found: LedgerTotals, style: Format) -> str:
    """The sums as text that ends with a line end. Money is in dollars, exact."""
    if style == "json":
        rows = [
            dict(zip(totals_found.by, group, strict=True)) | _figures(totals)
            for group, totals in totals_found.rows
        ]
        document = {"by": totals_found.by, "rows": rows, "total": _figures(totals_found.total)}
        return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
    if style == "csv":
        return _csv(totals_found)
    return "\n".join([*_table(totals_found), ""])


def _figures(totals: Totals) -> dict[str, Any]:
    counts = {name: getattr(totals, name) for name in _COUNTS}
    return counts | {name: dollars(getattr(totals, name)) for name in _MONEY}


def _csv(totals_found: LedgerTotals) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*totals_found.by, *_COUNTS, *_MONEY])
    for group, totals in totals_found.rows:
        writer.writerow([*map(_inert, group), *_figures(totals).values()])
    return out.getvalue()


def _inert(name: str) -> str:
    """Names of models come from providers: none is taken for a formula by a spreadsheet, or ends a line."""
    name = _printable(name)
    return f"'{name}" if _FORMULA.match(name) else name


def _table(totals_found: LedgerTotals) -> Iterator[str]:
    rows = [
        [*(_printable(each) or "-" for each in group), *_cells(totals)] for group, totals in totals_found.rows
    ]
    last = ["total", *[""] * (len(totals_found.by) - 1), *_cells(totals_found.total)]
    head = [*totals_found.by, *(name.replace("_", " ") for name in _SHOWN)]
    widths = [max(map(len, column)) for column in zip(head, *rows, last, strict=True)]
    names = len(totals_found.by)
    for row in (head, *rows, last):
        cells = [
            cell.ljust(width) if place < names else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
    for count, what in (
        (totals_found.total.estimated, "estimated: the provider did not say what it used"),
        (totals_found.total.unpriced, "unpriced: its cost is what was held for it, or unknown"),
    ):
        if count:
            yield f"{count} of {totals_found.total.attempts} attempts {what}"


def _cells(totals: Totals) -> list[str]:
    return [
        f"${dollars(getattr(totals, name))}" if name in _MONEY else f"{getattr(totals, name):,}"
        for name in _SHOWN
    ]


def _printable(name: str) -> str:
    """A name that a terminal shows and does not obey."""
    return "".join(each if each.isprintable() else "?" for each in name)
