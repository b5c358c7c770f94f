"""The results of a drill, summed up for its reports: a row for each pool and outage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .promises import PROMISES
from .record import Finding, Record
from .scenarios import Scenario

__all__ = ["Drill", "Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one outage at one pool, for all callers, streamed and not."""

    pool: str
    scenario: Scenario
    records: Sequence[Record]

    @property
    def kept(self) -> bool:
        """Whether every promise was kept in every cell."""
        return all(record.kept for record in self.records)

    @property
    def answered(self) -> str:
        """Who answered: targets, or the statuses that callers got."""
        return ", ".join(_once(_who(record) for record in self.records))

    @property
    def degraded(self) -> str:
        """What the header said of it."""
        return ", ".join(
            _once(
                [each.headers.get("x-standby-degraded", "")]
                for record in self.records
                for each in record.replies
            )
        )

    @property
    def attempts(self) -> int:
        """The most attempts of one request."""
        replies = (each for record in self.records for each in record.replies)
        return max((int(each.headers.get("x-standby-attempts", "0")) for each in replies), default=0)

    @property
    def seconds(self) -> float:
        """The longest that a caller waited for a whole answer."""
        return max((each.seconds for record in self.records for each in record.replies), default=0.0)

    @property
    def broken(self) -> list[tuple[Record, Finding]]:
        """The promises that were not kept, with the cell of each."""
        return [(record, each) for record in self.records for each in record.findings if not each.kept]

    def as_json(self) -> dict[str, Any]:
        """Returns the row as plain data, with every cell and its evidence."""
        return {
            "pool": self.pool,
            "fault": self.scenario.name,
            "title": self.scenario.title,
            "kept": self.kept,
            "answered": self.answered,
            "degraded": self.degraded,
            "attempts": self.attempts,
            "seconds": round(self.seconds, 3),
            "cells": [
                {
                    "key": record.cell.key,
                    "streamed": record.cell.streamed,
                    "operation": record.cell.operation.name,
                    "kept": record.kept,
                    "promises": [finding._asdict() for finding in record.findings],
                }
                for record in self.records
            ],
        }


@dataclass(frozen=True, slots=True)
class Drill:
    """A whole drill. `replaced` says what was not the real thing, `left_out` what was not tried and why,
    `gaps` what the configuration leaves unprotected, and `seed` the order of the cells."""

    file: str
    rows: Sequence[Row]
    replaced: Sequence[str]
    left_out: Sequence[str]
    gaps: Sequence[str]
    seed: int
    seconds: float

    @classmethod
    def of(cls, records: Iterable[Record], **facts: Any) -> Drill:
        """Returns the drill with these records."""
        rows: dict[tuple[str, str], list[Record]] = {}
        for record in records:
            rows.setdefault((record.cell.pool.name, record.cell.scenario.name), []).append(record)
        made = [Row(pool, each[0].cell.scenario, each) for (pool, _), each in rows.items()]
        return cls(rows=made, **facts)

    @property
    def kept(self) -> bool:
        """Whether every promise was kept."""
        return all(row.kept for row in self.rows)

    @property
    def cells(self) -> int:
        """How many cells there were."""
        return sum(len(row.records) for row in self.rows)

    @property
    def pools(self) -> list[str]:
        """The pools that were tried, in order."""
        return list(dict.fromkeys(row.pool for row in self.rows))

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        broken = sum(1 for row in self.rows for record in row.records if not record.kept)
        tried = f"{self.cells} cells, {len(PROMISES)} promises each, in {self.seconds:.0f} s"
        return f"{tried}: " + ("every promise was kept" if self.kept else f"{broken} cells broke a promise")

    def as_json(self) -> dict[str, Any]:
        """Returns the drill as plain data."""
        return {
            "file": self.file,
            "kept": self.kept,
            "verdict": self.verdict,
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "promises": dict(PROMISES),
            "replaced": list(self.replaced),
            "left_out": list(self.left_out),
            "gaps": list(self.gaps),
            "rows": [row.as_json() for row in self.rows],
        }


def _who(record: Record) -> list[str]:
    return [
        (each.target or "?") if 200 <= each.status <= 299 else str(each.status)
        for each in record.replies
        if not each.planted
    ]


def _once(lists: Iterable[list[str]]) -> list[str]:
    return list(dict.fromkeys(each for names in lists for each in names if each))
