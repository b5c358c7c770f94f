"""What may be let through while the store is down, where the operator allows any of it.

Counted in this process alone, and from nothing: what the store knows of budgets and rates cannot be had now.
So besides the limits there is a sum of money that all requests of the outage share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..stores.memory import Memory
from ..stores.records import Denied, Held, Line

__all__ = ["OutageAllowance"]

_ACCOUNT: Final = "allowance"


class OutageAllowance:
    """`amount` nano-dollars for an outage of the store."""

    __slots__ = ("_amount", "_memory", "_open", "_used")

    def __init__(self, amount: int) -> None:
        self._amount = amount
        self._memory = Memory()
        self._open: set[str] = set()
        self._used = False

    async def hold(
        self, hold_id: str, lines: Sequence[Line], cost: int, *, lease: float, enforce: bool
    ) -> Held | Denied:
        """As of a store. A position after the last line says that the allowance itself is used up."""
        own = Line(_ACCOUNT, "sum", cost, self._amount)
        took = await self._memory.hold(hold_id, (*lines, own), lease=lease, enforce=enforce)
        if isinstance(took, Held):
            self._used = True
            self._open.add(hold_id)
            return Held(took.used[:-1], tuple([place for place in took.exceeded if place < len(lines)]))
        return took

    async def settle(self, hold_id: str, lines: Sequence[Line], cost: int) -> None:
        """End a hold of it, if there is one; `cost` is what its request cost."""
        if hold_id in self._open:
            self._open.discard(hold_id)
            await self._memory.settle(hold_id, (*lines, Line(_ACCOUNT, "sum", cost, None)), ())

    def restore(self) -> None:
        """The outage is over, and the store knows all that was spent: the next one has all of it again."""
        if self._used and not self._open:
            self._memory, self._used = Memory(), False
