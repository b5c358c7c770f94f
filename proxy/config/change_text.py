"""What became of the fields of a table, in words: `first_token 8s -> 4s`."""

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

_MOST: Final = 10
"""Names told in one line."""
_SECONDS: Final = MappingProxyType[type[Table], Collection[str]](
    {
        Timeouts: Timeouts.model_fields,
        Slow: Slow.model_fields,
        Hedge: ("after",),
        Probe: ("every",),
    }
)
"""The fields that are durations."""
_PLAIN: Final = (Timeouts, Limits)
"""Tables whose fields are known by their own names."""


def changed(before: Table, after: Table, leave_out: Collection[str] = ()) -> Iterator[str]:
    """One sentence for each field that is not the same, those of tables within included."""
    for name in type(after).model_fields:
        old: Any = getattr(before, name)
        new: Any = getattr(after, name)
        if name in leave_out or name == "name" or old == new:
            continue
        values: tuple[Any, ...] = (old, new)
        if _opens_one(old, new):
            yield moved(name, *("none" if each is None else _table(each) for each in values))
        elif _opens(old):
            inner = changed(old, new)
            yield from inner if isinstance(new, _PLAIN) else (f"{name} {line}" for line in inner)
        elif name == "budget":
            yield from windows(old, new)
        elif isinstance(old, Secret) or isinstance(new, Secret):
            yield f"{name} {_became(old, new)}"
        elif name in {"headers", "metadata"}:
            yield from _entries(name, old, new)
        else:
            yield moved(name, _value(type(after), name, old), _value(type(after), name, new))


def moved(name: str, old: str, new: str) -> str:
    """From one value to another."""
    return f"{name} {old} -> {new}"


def listed(names: Iterable[str]) -> str:
    """Names as a list, a long one cut short."""
    every = list(names)
    more = f" and {len(every) - _MOST} more" if len(every) > _MOST else ""
    return ", ".join(every[:_MOST]) + more


def joined(names: Iterable[str] | None) -> str:
    """What a rule names; without one it names everything."""
    return "any" if names is None else listed(names) or "none"


def windows(old: Sequence[BudgetWindow], new: Sequence[BudgetWindow]) -> Iterator[str]:
    """What became of budgets, told apart by what they measure and when."""
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
    """Of one unit and window there may be two: then their limits tell them apart to nobody but the last."""
    when = "rolling" if window.rolling else window.timezone
    unit = "" if window.unit == "cost" else f"{window.unit.replace('_', ' ')} "
    return f"{unit}per {window.window} ({when})"


def _amount(window: BudgetWindow) -> str:
    return dollars(window.limit) if window.unit == "cost" else str(window.limit)


def _opens(value: object) -> bool:
    """Whether a value is told field by field: a small table, but none that has a name of its own."""
    return isinstance(value, Table) and "name" not in type(value).model_fields


def _became(old: object, new: object) -> str:
    return "removed" if new is None else "added" if old is None else "changed"


def _opens_one(old: object, new: object) -> bool:
    """Whether there is such a table before or after alone."""
    return (old is None and _opens(new)) or (new is None and _opens(old))


def _entries(name: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    """Headers and the like by name alone: what stands in them may be confidential."""
    for entry in dict.fromkeys((*old, *new)):
        if old.get(entry) != new.get(entry):
            yield f"{name} {entry} {_became(old.get(entry), new.get(entry))}"


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
            return ", ".join(f"{_plain(key)} {_plain(each)}" for key, each in items) or "none"
        case tuple() | list():
            return ", ".join(map(_plain, cast("Sequence[object]", value)))
        case frozenset():
            return ", ".join(sorted(map(_plain, cast("frozenset[object]", value))))
        case str():
            return value if value.isprintable() else quoted(value)
        case _:
            return str(value)
