"""How much is left in each budget of the configuration, as the store last said. No I/O."""

from __future__ import annotations

from collections.abc import Iterator

from ..config import NANO, Routes
from ..exchange import BudgetUse
from . import names
from .metrics import Sample

__all__ = ["BudgetGauges"]


class BudgetGauges:
    """The last known use of budgets that count money.

    Only those of routes.toml: keys in a store may be any number, and each would be a time series for ever.
    """

    __slots__ = ("_routes", "_uses")

    def __init__(self) -> None:
        self._routes: Routes | None = None
        self._uses: dict[str, BudgetUse] = {}

    def record(self, use: BudgetUse, routes: Routes | None) -> None:
        """Record what a request was told about one of its budgets."""
        if routes is None or not _is_in(routes, use.scope):
            return
        if routes is not self._routes:
            self._uses = {label: known for label, known in self._uses.items() if _is_in(routes, known.scope)}
            self._routes = routes
        self._uses[use.label] = use

    def samples(self, now: float) -> Iterator[Sample]:
        """Yields what is left of each budget, and the whole of it. `now` is in seconds since 1970."""
        for label, use in self._uses.items():
            used = 0 if use.resets is not None and now >= use.resets else use.used
            yield Sample(names.REMAINING, (label,), max(0, use.limit - used) / NANO)
            yield Sample(names.LIMIT, (label,), use.limit / NANO)


def _is_in(routes: Routes, scope: str) -> bool:
    kind, _, name = scope.partition("/")
    return name in getattr(routes, f"{kind}s", {})
