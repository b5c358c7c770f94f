"""The interface to a store's accounts, holds and ledger for `hold_rules`, and the clocks it uses."""

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
"""The value at which a sum saturates: the largest integer that SQLite and Redis can add exactly."""
GRACE: Final = 86_400
"""Additional seconds for which the totals of a bucket are kept, so that a clock that jumps forward and back
loses no data."""
ENDED: Final = 86_400
"""Seconds for which the id of an ended hold is remembered. A settlement may be repeated that much later."""


def _boot() -> str:
    """Returns an id of the machine's current boot, or "" if there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""  # not Linux; holds of an earlier boot are then recognised by a start time in the future


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of this machine, in seconds. `wall` returns seconds since 1970.

    `monotonic` is shared by all processes of one boot. `boot` returns the id of the current boot.
    """

    wall: Callable[[], float] = field(default_factory=SteadyClock)
    monotonic: Callable[[], float] = time.monotonic
    boot: Callable[[], str] = _boot


class Slot(NamedTuple):
    """The account and bucket on which an amount is held. `per_second` is the refill of a rate."""

    kind: Kind
    account: str
    bucket: int
    per_second: float


@dataclass(slots=True, eq=False)
class OpenHold:
    """A hold that has not ended. `expires` is in monotonic seconds.

    `entries` are written to the ledger if the hold expires.
    """

    expires: float
    amounts: dict[Slot, int]
    entries: Sequence[LedgerEntry]


class Tables(ABC):
    """Access to accounts, holds and the ledger within one atomic step, such as a transaction."""

    @abstractmethod
    def monotonic(self) -> float:
        """Returns the time in monotonic seconds, for leases and rates."""

    @abstractmethod
    def taken(self, account: str, bucket: int) -> int:
        """Returns the total of spent and held amounts in one bucket of a sum."""

    @abstractmethod
    def taken_since(self, account: str, since: int) -> int:
        """Returns the total of spent and held amounts in all buckets of a sum from `since` on."""

    @abstractmethod
    def take(self, account: str, bucket: int, amount: int, keep: int) -> None:
        """Adds `amount`, which may be negative, to a bucket of a sum. The total stays between 0 and FULL.

        `keep` is the number of seconds after `bucket` until it can be deleted; 0 leaves that unchanged.
        """

    @abstractmethod
    def rate(self, account: str) -> tuple[float, float]:
        """Returns the amount consumed from a rate's token bucket and the monotonic time of that value."""

    @abstractmethod
    def set_rate(self, account: str, consumed: float, at: float) -> None:
        """Sets the amount consumed from a rate's token bucket at the monotonic time `at`."""

    @abstractmethod
    def leased(self, account: str) -> int:
        """Returns the total of held amounts of a lease."""

    @abstractmethod
    def lease(self, account: str, amount: int) -> None:
        """Adds `amount`, which may be negative, to the total held of a lease. The total is at least 0."""

    @abstractmethod
    def open_hold(self, hold_id: str) -> OpenHold | None:
        """Returns the open hold of this id, or None."""

    @abstractmethod
    def ended(self, hold_id: str) -> bool:
        """Whether the hold of this id is known to have ended."""

    @abstractmethod
    def write(self, hold_id: str, hold: OpenHold) -> None:
        """Writes an open hold. Replaces the previous version of the same hold."""

    @abstractmethod
    def end(self, hold_id: str) -> None:
        """Removes an open hold, if there is one, and remembers its id as ended."""

    @abstractmethod
    def overdue(self) -> Sequence[tuple[str, OpenHold]]:
        """Returns the ids and holds whose lease has expired."""

    @abstractmethod
    def book(self, entries: Iterable[LedgerEntry]) -> None:
        """Appends entries to the ledger."""

    @abstractmethod
    def forget(self) -> None:
        """Deletes old buckets and the ids of holds that ended long ago."""
