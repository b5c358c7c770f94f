"""A simple reference implementation of a store: it keeps every line and recomputes totals each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from standby.proxy.stores.records import Denied, Held, LedgerEntry, Line

__all__ = ["Model"]


@dataclass
class Model:
    """Sums and leases are computed from all booked lines; a rate is a level that drains over time."""

    time: float = 0.0
    booked: list[Line] = field(default_factory=list[Line])
    open: dict[str, tuple[list[Line], float, Sequence[LedgerEntry]]] = field(
        default_factory=dict[str, tuple[list[Line], float, Sequence[LedgerEntry]]]
    )
    ended: set[str] = field(default_factory=set[str])
    ledger: list[str] = field(default_factory=list[str])
    levels: dict[str, float] = field(default_factory=dict[str, float])
    refills: dict[str, float] = field(default_factory=dict[str, float])

    def pass_time(self, seconds: float) -> None:
        self.time += seconds
        for account, level in self.levels.items():
            self.levels[account] = max(0.0, level - seconds * self.refills[account])

    def used(self, line: Line, taken: Sequence[Line] = ()) -> float:
        if line.kind == "rate":
            return self.levels.get(line.account, 0.0) + sum(
                other.amount for other in taken if other.kind == "rate" and other.account == line.account
            )
        lines = [*self.booked, *[other for hold in self.open.values() for other in hold[0]], *taken]
        return sum(
            other.amount
            for other in lines
            if other[:2] == (line.account, line.kind)
            and (
                line.kind == "lease"
                or (other.bucket >= line.since if line.rolling else other.bucket == line.bucket)
            )
        )

    def hold(
        self, hold_id: str, lines: Sequence[Line], lease: float, entries: Sequence[LedgerEntry], enforce: bool
    ) -> Held | Denied:
        if hold_id in self.ended:
            return Denied(-1, 0)
        used: list[int] = []
        exceeded: list[int] = []
        for position, line in enumerate(lines):
            before = self.used(line, lines[:position])
            after = before + line.amount
            used.append(-int(-after // 1))
            if line.limit is not None and after > line.limit:
                if enforce:
                    soon = line.kind == "rate" and line.per_second and line.amount <= line.limit
                    ready_in = (after - line.limit) / line.per_second if soon else None
                    return Denied(position, -int(-before // 1), ready_in)
                exceeded.append(position)
        held, expires, former = self.open.get(hold_id, ([], 0.0, ()))
        self.open[hold_id] = ([*held, *lines], max(expires, self.time + lease), entries or former)
        for line in lines:
            self._spend(line, line.amount)
        return Held(tuple(used), tuple(exceeded))

    def settle(self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> bool:
        if hold_id in self.ended:
            return False
        held, _, _ = self.open.pop(hold_id, ([], 0.0, ()))
        changes: dict[str, tuple[Line, int]] = {}
        for sign, part in ((-1, held), (1, lines)):
            for line in part:
                _, change = changes.get(line.account, (line, 0))
                changes[line.account] = (line, change + sign * line.amount)
        for line, change in changes.values():
            self._spend(line, change)
        self.booked += [line for line in lines if line.kind == "sum"]
        self.ended.add(hold_id)
        self.ledger += [f"{entry.request_id} {entry.outcome}" for entry in entries]
        return True

    def sweep(self) -> int:
        due = [hold_id for hold_id, (_, expires, _) in self.open.items() if expires <= self.time]
        for hold_id in due:
            lines, _, entries = self.open.pop(hold_id)
            self.booked += [line for line in lines if line.kind == "sum"]
            self.ended.add(hold_id)
            self.ledger += [f"{entry.request_id} expired" for entry in entries]
        return len(due)

    def _spend(self, line: Line, amount: int) -> None:
        if line.kind == "rate":
            self.levels[line.account] = max(0.0, self.levels.get(line.account, 0.0) + amount)
            self.refills[line.account] = line.per_second
