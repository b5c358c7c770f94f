"""The rules for holding, settling and expiring, for all stores that implement Tables. No I/O of its own.

For each bucket of a sum only one number is kept: the total of spent and held amounts. So nothing is booked
when a hold expires, and a settlement adds the difference. The scripts in `lua/` implement the same rules for
Redis, and the same tests check both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from .records import Denied, Held, LedgerEntry, Line
from .tables import OpenHold, Slot, Tables

__all__ = ["MOST", "check", "expired", "hold", "settle", "sweep", "used"]

MOST: Final = 10**18
"""The largest amount or limit: a billion dollars in nano-dollars."""
_SLACK: Final = 1e-6
"""The tolerance for rates. An excess smaller than this is a rounding error."""


def check(lines: Sequence[Line]) -> None:
    """Raises ValueError if an amount or limit is outside 0 to MOST."""
    for line in lines:
        if not 0 <= line.amount <= MOST or (line.limit is not None and not 0 <= line.limit <= MOST):
            raise ValueError(f"an amount or limit of {line.account!r} is not within 0 to 10^18")


def expired(entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Returns these entries as they are written to the ledger when their hold expires."""
    return [entry._replace(source="expired", outcome="expired") for entry in entries]


def hold(
    tables: Tables,
    hold_id: str,
    lines: Sequence[Line],
    lease: float,
    entries: Sequence[LedgerEntry],
    enforce: bool,
) -> Held | Denied:
    """Takes a hold; see `Store.hold`."""
    if tables.ended(hold_id):
        return Denied(-1, 0)
    now = tables.monotonic()
    taken: list[int] = []
    exceeded: list[int] = []
    earlier: dict[tuple[str, str], tuple[Line, ...]] = {}  # by account and kind
    for position, line in enumerate(lines):
        before, account = _used(tables, line, now), line[:2]
        if account in earlier:
            # Earlier lines of this call are not in the tables yet, so they are added here.
            before += sum(
                [
                    other.amount
                    for other in earlier[account]
                    if line.kind != "sum" or _counts(other.bucket, line)
                ]
            )
            earlier[account] += (line,)
        else:
            earlier[account] = (line,)
        after = before + line.amount
        if line.limit is not None and after > line.limit + (_SLACK if line.kind == "rate" else 0):
            if enforce:
                return Denied(position, _whole(before), _ready_in(line, after))
            exceeded.append(position)
        taken.append(after if isinstance(after, int) else _whole(after))
    existing = tables.open_hold(hold_id)
    if existing is None:
        existing = OpenHold(now + lease, {}, tuple(entries))
    else:
        existing.expires = max(existing.expires, now + lease)
        existing.entries = tuple(entries) or existing.entries
    amounts = existing.amounts
    for line in lines:
        slot = _slot(line.kind, line.account, line.bucket if line.kind == "sum" else 0, line.per_second)
        amounts[slot] = amounts[slot] + line.amount if slot in amounts else line.amount
        _change(tables, slot, line.amount, line.keep, now)
    tables.write(hold_id, existing)
    return Held(tuple(taken), tuple(exceeded))


def settle(tables: Tables, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> bool:
    """Settles a hold; see `Store.settle`."""
    if tables.ended(hold_id):
        return False
    existing, now = tables.open_hold(hold_id), tables.monotonic()
    changes: dict[Slot, int] = {}
    keeps: dict[str, int] = {}
    if existing is not None:
        changes = {slot: -amount for slot, amount in existing.amounts.items()}
    for line in lines:
        if line.kind != "lease":  # a lease is only released
            slot = _slot(line.kind, line.account, line.bucket if line.kind == "sum" else 0, line.per_second)
            changes[slot] = changes[slot] + line.amount if slot in changes else line.amount
            keeps[line.account] = line.keep
    for slot, change in changes.items():
        if change:
            _change(tables, slot, change, keeps.get(slot.account, 0), now)
    tables.end(hold_id)
    tables.book(entries)
    return True


def sweep(tables: Tables) -> int:
    """Ends expired holds; see `Store.sweep`. The held amounts of sums and rates stay booked as spent."""
    overdue = tables.overdue()
    for hold_id, existing in overdue:
        for slot, amount in existing.amounts.items():
            if slot.kind == "lease":
                tables.lease(slot.account, -amount)
        tables.end(hold_id)
        tables.book(expired(existing.entries))
    tables.forget()
    return len(overdue)


def used(tables: Tables, lines: Sequence[Line]) -> tuple[int, ...]:
    """Returns the used amounts; see `Store.used`."""
    now = tables.monotonic()
    return tuple([_whole(_used(tables, line, now)) for line in lines])


def _used(tables: Tables, line: Line, now: float) -> int | float:
    if line.kind == "sum":
        if line.rolling:
            return tables.taken_since(line.account, line.since)
        return tables.taken(line.account, line.bucket)
    if line.kind == "lease":
        return tables.leased(line.account)
    return _consumed(tables, line.account, line.per_second, now)


def _counts(bucket: int, line: Line) -> bool:
    """Whether an amount in `bucket` counts against the limit of `line`, a sum."""
    return bucket >= line.since if line.rolling else bucket == line.bucket


def _consumed(tables: Tables, account: str, per_second: float, now: float) -> float:
    """Returns how much of a rate's token bucket is consumed now, after the refill.

    If the recorded time is in the future, the machine has rebooted since, and the result is 0.
    """
    consumed, at = tables.rate(account)
    left = consumed - (now - at) * per_second
    return left if now >= at and left > 0.0 else 0.0


_slot: Final = lru_cache(maxsize=4096)(Slot)
"""Slots by their members: the same few are used by request after request."""


def _change(tables: Tables, slot: Slot, amount: int, keep: int, now: float) -> None:
    if slot.kind == "sum":
        tables.take(slot.account, slot.bucket, amount, keep)
    elif slot.kind == "lease":
        tables.lease(slot.account, amount)
    else:
        consumed = _consumed(tables, slot.account, slot.per_second, now) + amount
        tables.set_rate(slot.account, max(0.0, consumed), now)


def _ready_in(line: Line, after: float) -> float | None:
    """Returns the seconds until a rate has refilled enough for `line`, or None if it never will.

    `after` is the amount consumed including the line. Returns None for lines that are not rates.
    """
    if line.kind != "rate" or line.limit is None or not line.per_second or line.amount > line.limit:
        return None
    return (after - line.limit) / line.per_second


def _whole(amount: float) -> int:
    """Rounds up to an integer, ignoring an excess of less than _SLACK."""
    return amount if isinstance(amount, int) else math.ceil(amount - _SLACK)
