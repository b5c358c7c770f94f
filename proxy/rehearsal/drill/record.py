"""What was seen in one cell of a drill. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ...config import Pool, Target
from ...dialects.base import Operation
from ...guardrails.rules import Kind, Rule
from ...keys.principal import Principal
from ...stores.records import LedgerEntry
from ..simulator import Received
from .scenarios import Scenario

__all__ = ["Cell", "Finding", "Record", "Reply"]

_LATE: Final = 0.1  # seconds; timeouts of a drill are six times as long


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the matrix: an outage, a pool, a caller, and whether answers are streamed.

    `key` is the name of the caller's key, None if anybody may call.
    """

    pool: Pool
    scenario: Scenario
    key: str | None
    principal: Principal | None
    operation: Operation
    streamed: bool

    def __str__(self) -> str:
        caller = "anybody" if self.key is None else f"key {self.key}"
        return f"{self.pool.name}, {self.scenario.name}, {caller}, {'streamed' if self.streamed else 'whole'}"


class Reply(NamedTuple):
    """One answer as the caller has it. `seconds` is the time until it was complete."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    planted: bool = False

    @property
    def target(self) -> str | None:
        """The name of the target that answered, None if none did."""
        return self.headers.get("x-standby-target")


class Finding(NamedTuple):
    """Whether one promise was kept, with the evidence."""

    promise: str
    kept: bool
    evidence: str


@dataclass(eq=False)
class Record:
    """All that was seen in a cell."""

    cell: Cell
    targets: Mapping[str, Target]
    replies: Sequence[Reply]
    received: Mapping[str, Sequence[Received]]
    entries: Sequence[LedgerEntry]
    held: int
    """Holds that are open at the end."""
    conditions: frozenset[str]
    """The kinds of the alerts about the pool that would be raised."""
    busy: Mapping[str, int]
    rules: Sequence[Rule] = ()
    """The guardrails that read this caller's requests to the pool."""
    planted: Mapping[Kind, str] = field(default_factory=dict[Kind, str])
    """What was planted for each kind of rule."""
    counts_money: bool = False
    max_attempts: int = 3
    late: float = 0.0
    """Seconds by which timers of this process were late at most."""
    findings: Sequence[Finding] = ()

    @property
    def is_late(self) -> bool:
        """Whether this machine was too busy for the times of the cell to mean something."""
        return self.late > _LATE

    @property
    def kept(self) -> bool:
        """Whether every promise was kept."""
        return all(finding.kept for finding in self.findings)
