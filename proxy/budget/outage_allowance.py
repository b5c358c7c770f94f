"""The spending allowance for an outage of the store, if the operator configures one.

Usage is counted in this process only and starts at zero, because the store's figures for budgets and rates
are not available. So, in addition to the limits, all requests during the outage share one amount of money.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..stores.memory import Memory
from ..stores.records import Denied, Held, Line

__all__ = ["OutageAllowance"]

_ACCOUNT: Final = "allowance"


class OutageAllowance:
    """An allowance of `amount` nano-dollars for each outage of the store."""

    __slots__ = ("_amount", "_memory", "_open", "_used")

    def __init__(self, amount: int) -> None:
        self._amount = amount
        self._memory = Memory()
        self._open: set[str] = set()
        self._used = False

    async def hold(
        self, hold_id: str, lines: Sequence[Line], cost: int, *, lease: float, enforce: bool
    ) -> Held | Denied:
        """Takes a hold, like `Store.hold`. `cost` is in nano-dollars.

        A Denied whose `line` is len(lines) means that the allowance itself is used up.
        """
        allowance_line = Line(_ACCOUNT, "sum", cost, self._amount)
        outcome = await self._memory.hold(hold_id, (*lines, allowance_line), lease=lease, enforce=enforce)
        if isinstance(outcome, Held):
            self._used = True
            self._open.add(hold_id)
            exceeded = tuple([position for position in outcome.exceeded if position < len(lines)])
            return Held(outcome.used[:-1], exceeded)
        return outcome

    async def settle(self, hold_id: str, lines: Sequence[Line], cost: int) -> None:
        """Settles a hold of this allowance, if there is one. `cost` is the request's cost in nano-dollars."""
        if hold_id in self._open:
            self._open.discard(hold_id)
            await self._memory.settle(hold_id, (*lines, Line(_ACCOUNT, "sum", cost, None)), ())

    def restore(self) -> None:
        """Resets the allowance to its full amount, unless a hold is still open.

        Called when the store works again and has booked everything that was spent during the outage.
        """
        if self._used and not self._open:
            self._memory, self._used = Memory(), False
