"""The interface of all stores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import ClassVar

from ..errors import StandbyError
from .records import Denied, Held, Issued, KeyRecord, LedgerEntry, Line

__all__ = ["Store", "StoreBusy", "StoreDown"]


class StoreDown(StandbyError):
    """The store failed or did not answer in time.

    If `asked` is True, it is unknown whether the operation was executed. If it is False, it was not executed.
    """

    def __init__(self, message: str, *, asked: bool = True) -> None:
        super().__init__(message)
        self.asked = asked


class StoreBusy(StoreDown):
    """The store works, but has so much to do that the operation waited too long, and was not executed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, asked=False)


class Store(ABC):
    """Keeps holds, the ledger, keys, and the issuers of state.

    Operations of one process take effect in the order of the calls, even if the callers do not wait for the
    results. Cancelling a caller does not cancel its operation. Every operation raises StoreDown if the store
    cannot be reached or is too slow. A store opens at its first use; constructors do no I/O.

    Amounts and limits are exact integers from 0 to 10^18; others raise ValueError. The total of one bucket
    saturates at 2^63 - 1 (9.2 * 10^18). Amounts of rates are exact up to 2^53.
    """

    shared: ClassVar[bool] = True
    """Whether other processes, and later ones, see the same data."""
    immediate: ClassVar[bool] = False
    """Whether operations complete without waiting for anything, and never raise StoreDown."""
    is_ready = True
    """Whether it has answered since the server started. True where nobody has waited for that."""

    @abstractmethod
    def now(self) -> float:
        """Returns the store's time in seconds since 1970: this machine's, or the Redis server's.

        It determines budget windows. Leases use another clock, so a jump of this one ends no hold early.
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
        """Takes a hold on all of `lines` or on none, in one atomic step.

        If the hold exists already, the lines are added to it: amounts on the same account and bucket are
        added up. `lease` is the number of seconds from now until the hold expires; it never makes an existing
        hold expire earlier. `entries`, if not empty, replace the entries that are written to the ledger when
        the hold expires. If the hold is already settled or expired, returns Denied with a `line` of -1.
        Without `enforce`, everything is taken, and the exceeded lines are listed in Held.
        """

    @abstractmethod
    async def settle(self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> bool:
        """Ends a hold: releases what it held, books `lines` as spent and writes `entries` to the ledger.

        Nothing is spent on accounts that are not in `lines`. Limits do not apply. A hold is settled only
        once: if it was settled or has expired before, nothing changes and the result is False. A hold that
        the store does not have is booked too, and cannot be taken afterwards. So a hold whose reply was lost
        can be ended, and the usage of requests that were admitted while the store was down is not lost.
        """

    @abstractmethod
    async def sweep(self) -> int:
        """Ends every hold whose lease has expired, and books the amounts it held. Returns their number.

        Also deletes data that is no longer needed. Must be called every few seconds, by any number of
        processes. Until it is called, a hold whose lease has expired stays open and can still be settled.
        """

    @abstractmethod
    async def used(self, lines: Sequence[Line]) -> tuple[int, ...]:
        """Returns the current total of spent and held amounts per line, without the line's own amount."""

    @abstractmethod
    async def held(self) -> int:
        """Returns the number of open holds."""

    @abstractmethod
    def entries(self, since: float = 0.0) -> AsyncIterator[LedgerEntry]:
        """Yields the ledger entries from `since` (seconds since 1970) on, in the order they were written."""

    @abstractmethod
    async def key_by_hash(self, digest: str) -> KeyRecord | None:
        """Returns the key that has this hash, or None. The hash may have passed its end."""

    @abstractmethod
    async def key(self, name: str) -> KeyRecord | None:
        """Returns the key of this name, or None."""

    @abstractmethod
    async def keys(self) -> list[KeyRecord]:
        """Returns all keys, sorted by name."""

    @abstractmethod
    async def put_key(self, record: KeyRecord) -> None:
        """Writes a key. Replaces an existing key of the same name."""

    @abstractmethod
    async def delete_key(self, name: str) -> bool:
        """Deletes a key and its hashes. Returns False if there is none."""

    @abstractmethod
    async def put_issued(self, issued: Sequence[Issued]) -> None:
        """Remembers issuers for `records.ISSUED` seconds. Replaces what is known of the same keys."""

    @abstractmethod
    async def issuers(self, keys: Sequence[str]) -> list[Issued]:
        """Returns the issuers of those `keys` that are known, in any order."""

    @abstractmethod
    async def aclose(self) -> None:
        """Finishes pending operations, then closes files and connections. A later use opens them again."""
