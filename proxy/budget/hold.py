"""The amounts that one request holds, what each attempt must add, and what is booked at the end. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from ..stores.records import Line
from .accounts import Account, Amounts, Unit

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
        needed = Amounts(1, spent.input + expected.input, spent.output + expected.output, 0)
        needed = needed._replace(cost=spent.cost + expected.cost)
        short = [account for account in self._accounts if self._missing(account, needed) > 0]
        return self._demand(short, accounts, needed, needed.cost, expected)

    def add(self, demand: Demand) -> None:
        """Records that the store has taken the hold for `demand`."""
        for line in demand.lines:
            self._held[line.account] = self._held.get(line.account, 0) + line.amount
        self.cost += demand.cost

    def settlement_lines(self, usage: Mapping[str, Amounts]) -> tuple[Line, ...]:
        """Returns the lines to book at the end. `usage` maps target names to what was used there.

        A rate limit on requests counts every admitted request. A budget in requests counts a request only if
        it was sent to a provider.
        """
        total = _sum(usage.values())
        total = total._replace(requests=min(1, total.requests))
        lines = [_settlement_line(account, total, admitted=1) for account in self._accounts]
        for target, accounts in self._targets.items():
            target_usage = usage.get(target, Amounts())
            lines += [
                _settlement_line(account, target_usage, admitted=target_usage.requests)
                for account in accounts
            ]
        return tuple([line for line in lines if line.amount and line.kind != "lease"])

    def _missing(self, account: Account, needed: Amounts) -> int:
        """Returns how much of `needed` is not held yet; negative if more is held."""
        return needed.of(account.unit) - self._held.get(account.line.account, 0)

    def _demand(
        self,
        short: Sequence[Account],
        target_accounts: Sequence[Account],
        needed: Amounts,
        cost: int,
        expected: Amounts = Amounts(),  # noqa: B008 - a tuple does not change
    ) -> Demand:
        lines = [_line(account, self._missing(account, needed)) for account in short]
        lines += [_line(account, expected.of(account.unit)) for account in target_accounts]
        return Demand((*short, *target_accounts), tuple(lines), max(0, cost - self.cost))


def _line(account: Account, amount: int) -> Line:
    return account.line._replace(amount=min(amount, _MAX_AMOUNT))


def _settlement_line(account: Account, usage: Amounts, *, admitted: int) -> Line:
    unit: Unit = account.unit
    amount = admitted if account.line.kind == "rate" and unit == "requests" else usage.of(unit)
    return _line(account, amount)


def _sum(amounts: Iterable[Amounts]) -> Amounts:
    requests = input_tokens = output_tokens = cost = 0
    for amount in amounts:
        requests += amount.requests
        input_tokens += amount.input
        output_tokens += amount.output
        cost += amount.cost
    return Amounts(requests, input_tokens, output_tokens, cost)
