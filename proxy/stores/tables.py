"""What the books of a store are written in, and the clocks they go by."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from .records import Kind, LedgerEntry
from .steady_clock import SteadyClock

__all__ = ["ENDED", "FULL", "GRACE", "Clocks", "OpenHold", "Slot", "Tables"]

FULL: Final = 2**63 - 1
"""Where a sum stops counting: the largest integer that SQLite and Redis add up exactly."""
GRACE: Final = 86_400
"""Seconds that figures are kept beyond their time, so that a clock that jumps to and fro loses nothing."""
ENDED: Final = 86_400
"""Seconds for which the id of a hold that has ended is remembered: how late a settlement may be repeated."""


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""  # not Linux; a hold that was taken in the future then tells another boot


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of this machine, in seconds. `monotonic` is the same for all processes of one `boot`."""

    wall: Callable[[], float] = field(default_factory=SteadyClock)
    monotonic: Callable[[], float] = time.monotonic
    boot: Callable[[], str] = _boot


class Slot(NamedTuple):
    """Where an amount is held. `per_second` is the refill of a rate."""

    kind: Kind
    account: str
    bucket: int
    per_second: float


@dataclass(slots=True, eq=False)
class OpenHold:
    """A hold that has not ended. `expires` is monotonic; `entries` are what an expiry writes."""

    expires: float
    amounts: dict[Slot, int]
    entries: Sequence[LedgerEntry]


class Tables(ABC):
    """Accounts, holds and the ledger as one process sees them within one step that nothing interrupts."""

    @abstractmethod
    def monotonic(self) -> float:
        """The clock of leases and rates."""

    @abstractmethod
    def taken(self, account: str, bucket: int) -> int:
        """What is spent and held in one bucket of a sum."""

    @abstractmethod
    def taken_since(self, account: str, since: int) -> int:
        """What is spent and held in all buckets of a sum from `since` on."""

    @abstractmethod
    def take(self, account: str, bucket: int, amount: int, keep: int) -> None:
        """Add to a bucket of a sum, or take away from it. It never goes below 0 nor beyond FULL."""

    @abstractmethod
    def rate(self, account: str) -> tuple[float, float]:
        """How much was gone from a rate, and when that was (monotonic)."""

    @abstractmethod
    def set_rate(self, account: str, gone: float, at: float) -> None:
        """How much is gone from a rate at `at`."""

    @abstractmethod
    def leased(self, account: str) -> int:
        """What is held of a lease."""

    @abstractmethod
    def lease(self, account: str, amount: int) -> None:
        """Add to what is held of a lease, or take away from it."""

    @abstractmethod
    def open_hold(self, hold_id: str) -> OpenHold | None:
        """The hold of this id that has not ended."""

    @abstractmethod
    def ended(self, hold_id: str) -> bool:
        """Whether the hold of this id has ended."""

    @abstractmethod
    def write(self, hold_id: str, hold: OpenHold) -> None:
        """Keep a hold, in place of what was kept of it."""

    @abstractmethod
    def end(self, hold_id: str) -> None:
        """Remove a hold, and remember that it has ended."""

    @abstractmethod
    def overdue(self) -> Sequence[tuple[str, OpenHold]]:
        """Holds whose lease is over."""

    @abstractmethod
    def book(self, entries: Iterable[LedgerEntry]) -> None:
        """Write entries to the end of the ledger."""

    @abstractmethod
    def forget(self) -> None:
        """Let go of what can be forgotten."""
