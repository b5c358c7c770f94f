"""The amounts that one request holds, what each attempt must add, and what is booked at the end. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from ..stores.records import Line
from .accounts import Account, Amounts

__all__ = ["Demand", "Hold"]

_MAX_AMOUNT: Final = 10**18
"""The largest amount that stores accept."""


class Demand(NamedTuple):
    """A hold to request from the store: one line for each of `accounts`, in the same order.

    `cost` is the cost in nano-dollars, whether or not an account limits cost.
    """

    accounts: tuple[Account, ...]
    lines: tuple[Line, ...]
    cost: int


class Hold:
    """The amounts of one request on each of its accounts.

    `accounts` are those of the request's scopes and pool at its start. Everything is booked in the windows
    that were current at that time, even if the request ends in a later window.
    """

    __slots__ = ("_accounts", "_held", "_targets", "cost")

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._accounts = tuple(accounts)
        self._held: dict[str, int] = {}
        self._targets: dict[str, tuple[Account, ...]] = {}
        self.cost = 0  # the held cost in nano-dollars, whether or not an account limits cost

    def entry(self, amounts: Amounts) -> Demand:
        """Returns the demand of a request that is estimated to use these amounts, before any attempt."""
        return self._demand(self._accounts, (), amounts, amounts.cost)

    def attempt(self, target: str, accounts: Sequence[Account], spent: Amounts, expected: Amounts) -> Demand:
        """Returns the additional demand of an attempt at `target`. `accounts` are the target's own accounts.

        `spent` is what other attempts used of the request's budgets, `expected` is the estimate for this one.
        """
        self._targets[target] = tuple(accounts)
        needed = Amounts(
            *(1, spent.input + expected.input, spent.output + expected.output, spent.cost + expected.cost)
        )
        held = self._held
        short = [
            account
            for account in self._accounts
            if needed.of(account.unit) > held.get(account.line.account, 0)
        ]
        return self._demand(short, accounts, needed, needed.cost, expected)

    def add(self, demand: Demand) -> None:
        """Records that the store has taken the hold for `demand`."""
        held = self._held
        for line in demand.lines:
            held[line.account] = held.get(line.account, 0) + line.amount
        self.cost += demand.cost

    def settlement_lines(self, usage: Mapping[str, Amounts]) -> tuple[Line, ...]:
        """Returns the lines to book at the end. `usage` maps target names to what was used there.

        A rate limit on requests counts every admitted request. A budget in requests counts a request only if
        it was sent to a provider.
        """
        total = _total(usage)
        lines = _settlement_lines(self._accounts, total, admitted=1)
        for target, accounts in self._targets.items():
            if accounts:
                target_usage = usage.get(target, Amounts())
                lines += _settlement_lines(accounts, target_usage, admitted=target_usage.requests)
        return tuple(lines)

    def _demand(
        self,
        short: Sequence[Account],
        target_accounts: Sequence[Account],
        needed: Amounts,
        cost: int,
        expected: Amounts = Amounts(),  # noqa: B008 - a tuple does not change
    ) -> Demand:
        held = self._held
        lines: list[Line] = []
        for account in short:
            missing = needed.of(account.unit) - held.get(account.line.account, 0)
            lines += (account.line.of(min(_MAX_AMOUNT, missing)),)
        for account in target_accounts:
            lines += (account.line.of(min(expected.of(account.unit), _MAX_AMOUNT)),)
        return Demand((*short, *target_accounts), tuple(lines), max(0, cost - self.cost))


def _settlement_lines(accounts: Sequence[Account], usage: Amounts, *, admitted: int) -> list[Line]:
    lines: list[Line] = []
    for account in accounts:
        line, unit = account.line, account.unit
        if line.kind == "lease":
            continue
        amount = admitted if line.kind == "rate" and unit == "requests" else usage.of(unit)
        if amount:
            lines += (line.of(min(_MAX_AMOUNT, amount)),)
    return lines


def _total(usage: Mapping[str, Amounts]) -> Amounts:
    """Returns the sum over all targets. It is one request, or none if it was sent to no provider."""
    requests = input_tokens = output_tokens = cost = 0
    for amounts in usage.values():
        requests |= amounts.requests
        input_tokens += amounts.input
        output_tokens += amounts.output
        cost += amounts.cost
    return Amounts(1 if requests else 0, input_tokens, output_tokens, cost)
