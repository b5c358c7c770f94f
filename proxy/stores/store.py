"""What every store can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence

from ..errors import StandbyError
from .records import Denied, Held, KeyRecord, LedgerEntry, Line

__all__ = ["Store", "StoreDown"]


class StoreDown(StandbyError):
    """The store did not answer, or not in time.

    Whether it did what it was asked to do is unknown; unless `asked` is False: then it certainly did nothing.
    """

    def __init__(self, message: str, *, asked: bool = True) -> None:
        super().__init__(message)
        self.asked = asked


class Store(ABC):
    """Keeps holds, the ledger and keys.

    Operations of one process take effect in the order in which they are called, also when their callers do
    not wait; a caller that is cancelled cancels nothing. Every one raises StoreDown when the store cannot be
    reached or is too slow. Opened by its first use; nothing happens in constructors.

    Amounts and limits are 0 to 10^18, exact (what is taken of one bucket stops counting at 9.2 * 10^18);
    those of rates are exact to 2^53. Others raise ValueError.
    """

    @abstractmethod
    def now(self) -> float:
        """The time by the store's clock, for windows: this machine's, or the Redis server's.

        Leases do not go by it: whatever jump it makes, no hold ends early.
        """

    @abstractmethod
    async def hold(
        self,
        hold_id: str,
        lines: Sequence[Line],
        *,
        lease: float,
        entries: Sequence[LedgerEntry] = (),
        enforce: bool = True,
    ) -> Held | Denied:
        """Take all of `lines` or nothing, in one atomic step.

        For a hold that exists already its lines are added to it: amounts of an account and bucket that it
        has are added up. `lease` is how many seconds from now it expires, where that is later than before;
        `entries`, if there are any, replace what an expiry writes to the ledger. A hold that is settled or
        expired takes no more: Denied with `line` -1. Unless `enforce`, everything is taken, and Held tells
        what is exceeded.
        """

    @abstractmethod
    async def settle(self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> bool:
        """End a hold: what it held is free, the amounts of `lines` are spent, `entries` are in the ledger.

        What was held on an account that `lines` leaves out was not spent. Limits refuse nothing here.
        Happens once for each id. False if it was settled or had expired before, and then nothing changes. A
        hold that is not known is booked all the same, and cannot be taken afterwards: so a hold whose reply
        was lost can be ended, and what was let through while the store was down is not lost.
        """

    @abstractmethod
    async def sweep(self) -> int:
        """End every hold whose lease is over, at what it held. Returns how many there were.

        Also forgets what can be forgotten. To be called every few seconds, by any number of processes: until
        then a hold whose lease is over goes on, and can still be settled.
        """

    @abstractmethod
    async def used(self, lines: Sequence[Line]) -> tuple[int, ...]:
        """What is spent and held now on each line, its amount left aside."""

    @abstractmethod
    async def held(self) -> int:
        """How many holds there are."""

    @abstractmethod
    def entries(self, since: float = 0.0) -> AsyncIterator[LedgerEntry]:
        """The ledger from `since` on, in the order in which it was written."""

    @abstractmethod
    async def key_by_hash(self, digest: str) -> KeyRecord | None:
        """The key that has this hash, whether it has ended or not."""

    @abstractmethod
    async def key(self, name: str) -> KeyRecord | None:
        """The key of this name."""

    @abstractmethod
    async def keys(self) -> list[KeyRecord]:
        """All keys, by name."""

    @abstractmethod
    async def put_key(self, record: KeyRecord) -> None:
        """Write a key, in place of the one of its name if there is one."""

    @abstractmethod
    async def delete_key(self, name: str) -> bool:
        """Remove a key and its hashes; False if there is none."""

    @abstractmethod
    async def aclose(self) -> None:
        """Finish what was asked for, then let go of files and connections. A later use opens it again."""
