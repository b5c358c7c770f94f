"""Collects what settled holds have to book, and gives it to the settlement queue in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from typing import Final

from ..stores.records import LedgerEntry, Line
from .settlement_queue import SettlementQueue

__all__ = ["BATCH", "BEHIND", "WriteBehind"]

BEHIND: Final = 0.005
"""Seconds after which a batch is given to the queue."""
BATCH: Final = 64
"""The number of ledger entries of a batch that is not waited for any longer."""


class WriteBehind:
    """One batch of lines and ledger entries after the other. `new_id` returns the id of the next batch."""

    __slots__ = ("_entries", "_lines", "_new_id", "_outbox", "_timer")

    def __init__(self, outbox: SettlementQueue, new_id: Callable[[], str]) -> None:
        self._outbox = outbox
        self._new_id = new_id
        self._lines: dict[tuple[str, int], Line] = {}
        self._entries: list[LedgerEntry] = []
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """The number of ledger entries that the queue does not have yet."""
        return len(self._entries)

    def add(self, lines: Iterable[Line], entries: Sequence[LedgerEntry]) -> None:
        """Adds what one hold has to book. Lines of the same account and bucket are added up."""
        for line in lines:
            key = line.account, line.bucket
            known = self._lines.get(key)
            self._lines[key] = line if known is None else line.of(known.amount + line.amount)
        self._entries += entries
        if len(self._entries) >= BATCH:
            self.flush()
        elif self._timer is None:
            # An empty context: a timer keeps the one it is created in, and with it the request's data.
            self._timer = asyncio.get_running_loop().call_later(BEHIND, self.flush, context=Context())

    def flush(self) -> None:
        """Gives what there is to the queue now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, entries = tuple(self._lines.values()), tuple(self._entries)
        self._lines, self._entries = {}, []
        if lines or entries:
            self._outbox.settle(self._new_id(), lines, entries)
