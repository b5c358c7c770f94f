"""Sums of ledger entries, grouped by key, team, target, day or several of these. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, cast

from ..stores.records import LedgerEntry

__all__ = ["BY", "By", "LedgerTotals", "Totals", "grouping"]

By: TypeAlias = Literal[
    "key", "team", "user", "organisation", "pool", "target", "provider", "model", "operation", "day"
]

BY: Final[tuple[By, ...]] = (
    *("key", "team", "user", "organisation"),
    *("pool", "target", "provider", "model", "operation", "day"),
)
"""The properties that entries can be grouped by."""

_FAULTLESS: Final = frozenset({"served", "client_gone"})
"""Outcomes that do not count as a failure of the target."""


def grouping(text: str) -> tuple[By, ...]:
    """Returns the properties in a list such as `"key,day"`.

    Raises ValueError, which lists the valid names, for an unknown or repeated name.
    """
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in BY]
    if unknown or len(names) != len(set(names)):
        raise ValueError(f"give one or several of: {', '.join(BY)}")
    return cast("tuple[By, ...]", tuple(names))


@dataclass(slots=True, eq=False)
class Totals:
    """Sums over entries. Tokens and nano-dollars are exact integers.

    `cost` is what providers charge, `charged` what was counted against budgets. `failed` is the number of
    attempts that broke off or had no answer, and `failed_cost` is their part of `cost`. `estimated` is the
    number of attempts whose provider did not report its usage, `unpriced` that of attempts at a model without
    a price. If an unpriced attempt has no cost at all, it is missing from the sums of cost.
    """

    requests: int = 0
    attempts: int = 0
    failed: int = 0
    estimated: int = 0
    unpriced: int = 0
    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    cost: int = 0
    failed_cost: int = 0
    charged: int = 0
    _last_request_id: str | None = field(default=None, repr=False)

    def add(self, entry: LedgerEntry) -> None:
        """Add one entry.

        The entries of a request are adjacent in a ledger, so comparing with the last request id is enough.
        """
        if entry.request_id != self._last_request_id:
            self.requests += 1
            self._last_request_id = entry.request_id
        cost = entry.cost or 0
        self.attempts += 1
        if entry.outcome not in _FAULTLESS:
            self.failed += 1
            self.failed_cost += cost
        self.estimated += entry.source in {"estimated", "expired"}
        self.unpriced += entry.source == "unpriced" or entry.cost is None
        self.input += entry.input
        self.cached += entry.cached
        self.cache_write += entry.cache_write
        self.output += entry.output
        self.reasoning += entry.reasoning
        self.cost += cost
        self.charged += entry.charged or 0


class LedgerTotals:
    """Sums of entries, grouped by one or several of their properties.

    Days are those of the time zone `zone`.
    """

    def __init__(self, by: Sequence[By] = ("key",), zone: tzinfo = UTC) -> None:
        self.by = tuple(by)
        self.total = Totals()
        self._zone = zone
        self._groups: dict[tuple[str, ...], Totals] = {}

    def add(self, entry: LedgerEntry) -> None:
        """Add one entry."""
        group = tuple(self._property(entry, name) for name in self.by)
        totals = self._groups.get(group)
        if totals is None:
            totals = self._groups[group] = Totals()
        totals.add(entry)
        self.total.add(entry)

    def extend(self, entries: Iterable[LedgerEntry]) -> None:
        """Add several entries."""
        for entry in entries:
            self.add(entry)

    @property
    def rows(self) -> list[tuple[tuple[str, ...], Totals]]:
        """Each group with its sums, by day if days are grouped, else by falling cost.

        An entry without a property is grouped under "".
        """
        if "day" in self.by:
            return sorted(self._groups.items(), key=lambda row: row[0])
        return sorted(self._groups.items(), key=lambda row: (-row[1].cost, row[0]))

    @property
    def groups(self) -> Mapping[tuple[str, ...], Totals]:
        """The sums by group."""
        return MappingProxyType(self._groups)

    def _property(self, entry: LedgerEntry, name: By) -> str:
        if name == "day":
            return datetime.fromtimestamp(entry.at, self._zone).date().isoformat()
        value: str | None = getattr(entry, name)
        return value or ""
