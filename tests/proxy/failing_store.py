"""A store that fails on cue."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from standby.proxy.stores.memory import Memory
from standby.proxy.stores.records import Denied, Held, LedgerEntry, Line
from standby.proxy.stores.store import StoreDown
from standby.proxy.stores.tables import Clocks
from typing_extensions import override

__all__ = ["FailingStore"]


class FailingStore(Memory):
    """`down`: it does nothing, and says so. `mute`: it does what it is asked, and the reply is lost.

    `slow` seconds pass before it answers. `calls` are the operations in the order in which they were asked.
    """

    immediate = False

    def __init__(self, clocks: Clocks | None = None) -> None:
        super().__init__(clocks)
        self.down = False
        self.mute = False
        self.slow = 0.0
        self.calls: list[tuple[str, str]] = []
        self.closed = 0

    async def _fail(self, what: str, hold_id: str) -> None:
        self.calls.append((what, hold_id))
        if self.slow:
            await asyncio.sleep(self.slow)
        if self.down:
            raise StoreDown("down", asked=False)

    @override
    async def hold(
        self,
        hold_id: str,
        lines: Sequence[Line],
        *,
        lease: float,
        entries: Sequence[LedgerEntry] = (),
        enforce: bool = True,
    ) -> Held | Denied:
        await self._fail("hold", hold_id)
        took = await super().hold(hold_id, lines, lease=lease, entries=entries, enforce=enforce)
        if self.mute:
            raise StoreDown("mute")
        return took

    @override
    async def settle(self, hold_id: str, lines: Sequence[Line], entries: Sequence[LedgerEntry]) -> bool:
        await self._fail("settle", hold_id)
        settled = await super().settle(hold_id, lines, entries)
        if self.mute:
            raise StoreDown("mute")
        return settled

    @override
    async def aclose(self) -> None:
        self.closed += 1
