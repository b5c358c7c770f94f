"""Descriptions of the changes between two versions of a table, such as `first_token 8s -> 4s`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, cast

from .limits import BudgetWindow, Limits
from .money import dollars
from .pools import Timeouts
from .price import Price, Rates, Tier
from .routing import Hedge, Probe, Slow
from .secret import Secret
from .table import Table
from .values import quoted, spelled

__all__ = ["changed", "joined", "listed", "moved", "windows"]

_MAX_NAMES: Final = 10
"""The most names listed in one line."""
_SECONDS: Final = MappingProxyType[type[Table], Collection[str]](
    {
        Timeouts: Timeouts.model_fields,
        Slow: Slow.model_fields,
        Hedge: ("after",),
        Probe: ("every",),
    }
)
"""The fields that are durations, by table."""
_PLAIN: Final = (Timeouts, Limits)
"""Tables whose fields are described without the table's name in front."""


def changed(before: Table, after: Table, leave_out: Collection[str] = ()) -> Iterator[str]:
    """Returns one line for each field that differs, including the fields of nested tables.

    `leave_out` are the names of fields to skip.
    """
    for name in type(after).model_fields:
        old: Any = getattr(before, name)
        new: Any = getattr(after, name)
        if name in leave_out or name == "name" or old == new:
            continue
        values: tuple[Any, ...] = (old, new)
        if _is_added_or_removed(old, new):
            yield moved(name, *("none" if value is None else _table(value) for value in values))
        elif _is_nested(old):
            inner = changed(old, new)
            yield from inner if isinstance(new, _PLAIN) else (f"{name} {line}" for line in inner)
        elif name == "budget":
            yield from windows(old, new)
        elif isinstance(old, Secret) or isinstance(new, Secret):
            yield f"{name} {_change_of(old, new)}"
        elif name in {"headers", "metadata"}:
            yield from _entries(name, old, new)
        else:
            yield moved(name, _value(type(after), name, old), _value(type(after), name, new))


def moved(name: str, old: str, new: str) -> str:
    """Returns the line for a value that changes from `old` to `new`."""
    return f"{name} {old} -> {new}"


def listed(names: Iterable[str]) -> str:
    """Returns the names joined by commas; of a long list, the first ten and the number of the others."""
    every = list(names)
    more = f" and {len(every) - _MAX_NAMES} more" if len(every) > _MAX_NAMES else ""
    return ", ".join(every[:_MAX_NAMES]) + more


def joined(names: Iterable[str] | None) -> str:
    """Returns the names in a rule, "any" without a rule, or "none" for an empty rule."""
    return "any" if names is None else listed(names) or "none"


def windows(old: Sequence[BudgetWindow], new: Sequence[BudgetWindow]) -> Iterator[str]:
    """Returns the lines for changed budgets. Windows match by unit, window, and time zone or rolling."""
    before = {_measure(window): window for window in old}
    after = {_measure(window): window for window in new}
    for measure in dict.fromkeys((*before, *after)):
        was, now = before.get(measure), after.get(measure)
        if was is not None and now is not None:
            if was.limit != now.limit:
                yield moved("budget", _amount(was), f"{_amount(now)} {measure}")
            if was.alert_at != now.alert_at:
                yield moved(f"budget {measure} alert_at", _plain(was.alert_at), _plain(now.alert_at))
        elif now is not None:
            yield f"budget of {_amount(now)} {measure} added"
        elif was is not None:
            yield f"budget of {_amount(was)} {measure} removed"


def _measure(window: BudgetWindow) -> str:
    """Returns the identity of a budget window in words.

    If two windows have the same identity, only the last one is compared.
    """
    when = "rolling" if window.rolling else window.timezone
    unit = "" if window.unit == "cost" else f"{window.unit.replace('_', ' ')} "
    return f"{unit}per {window.window} ({when})"


def _amount(window: BudgetWindow) -> str:
    return dollars(window.limit) if window.unit == "cost" else str(window.limit)


def _is_nested(value: object) -> bool:
    """Whether a value is compared field by field: a nested table without a name of its own."""
    return isinstance(value, Table) and "name" not in type(value).model_fields


def _change_of(old: object, new: object) -> str:
    return "removed" if new is None else "added" if old is None else "changed"


def _is_added_or_removed(old: object, new: object) -> bool:
    """Whether a nested table is only in the old or only in the new version."""
    return (old is None and _is_nested(new)) or (new is None and _is_nested(old))


def _entries(name: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    """Returns the lines for changed entries of a mapping. Without values, which may be confidential."""
    for entry in dict.fromkeys((*old, *new)):
        if old.get(entry) != new.get(entry):
            yield f"{name} {entry} {_change_of(old.get(entry), new.get(entry))}"


def _table(table: Table) -> str:
    given = ((name, getattr(table, name)) for name in type(table).model_fields)
    parts = [f"{name} {_value(type(table), name, value)}" for name, value in given if value not in (None, ())]
    return ", ".join(parts)


def _value(table: type[Table], name: str, value: object) -> str:
    if isinstance(value, float) and name in _SECONDS.get(table, ()):
        return spelled(value)
    if isinstance(value, int) and not isinstance(value, bool) and table in {Price, Rates, Tier}:
        return str(value) if name == "tokens" else dollars(value)
    return _plain(value)


def _plain(value: Any) -> str:
    match value:
        case None | () | frozenset() if not value:
            return "none"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case Table():
            named = getattr(value, "name", None)
            return _table(value) if named is None else str(named)
        case Mapping():
            items = cast("Mapping[object, object]", value).items()
            return ", ".join(f"{_plain(key)} {_plain(item)}" for key, item in items) or "none"
        case tuple() | list():
            return ", ".join(map(_plain, cast("Sequence[object]", value)))
        case frozenset():
            return ", ".join(sorted(map(_plain, cast("frozenset[object]", value))))
        case str():
            return value if value.isprintable() else quoted(value)
        case _:
            return str(value)
