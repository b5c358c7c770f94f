"""What one request holds, what an attempt of it needs besides, and what it owes in the end. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from ..stores.records import Line
from .accounts import Account, Amounts, Unit

__all__ = ["Demand", "Hold"]

_MOST: Final = 10**18
"""The most that stores take in one amount."""


class Demand(NamedTuple):
    """What is asked of the store: a line for each of `accounts`; and the money in it, whoever counts it."""

    accounts: tuple[Account, ...]
    lines: tuple[Line, ...]
    cost: int


class Hold:
    """The amounts of one request on each of its accounts.

    Everything is booked where the request began: the windows of its scopes are those of its first moment.
    """

    __slots__ = ("_accounts", "_held", "_targets", "cost")

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._accounts = tuple(accounts)
        self._held: dict[str, int] = {}
        self._targets: dict[str, tuple[Account, ...]] = {}
        self.cost = 0  # held, in nano-dollars, whether or not an account counts it

    def entry(self, amounts: Amounts) -> Demand:
        """What a request needs that may take these amounts."""
        return self._demand(self._accounts, (), amounts, amounts.cost)

    def attempt(self, target: str, accounts: Sequence[Account], spent: Amounts, expected: Amounts) -> Demand:
        """What is needed besides for an attempt at `target`, whose own accounts these are.

        `spent` is what earlier attempts took of the request's budgets, `expected` what this one may take.
        """
        self._targets[target] = tuple(accounts)
        needed = Amounts(1, spent.input + expected.input, spent.output + expected.output, 0)
        needed = needed._replace(cost=spent.cost + expected.cost)
        lacking = [account for account in self._accounts if self._lacks(account, needed) > 0]
        return self._demand(lacking, accounts, needed, needed.cost, expected)

    def took(self, demand: Demand) -> None:
        """The store has taken what was demanded."""
        for line in demand.lines:
            self._held[line.account] = self._held.get(line.account, 0) + line.amount
        self.cost += demand.cost

    def dues(self, taken: Mapping[str, Amounts]) -> tuple[Line, ...]:
        """What is to be booked in the end, given what was taken at each target.

        A rate of requests counts every request that was let in; a budget of requests only one for which a
        provider was asked.
        """
        total = _sum(taken.values())
        total = total._replace(requests=min(1, total.requests))
        lines = [_due(account, total, let_in=1) for account in self._accounts]
        for target, accounts in self._targets.items():
            own = taken.get(target, Amounts())
            lines += [_due(account, own, let_in=own.requests) for account in accounts]
        return tuple([line for line in lines if line.amount and line.kind != "lease"])

    def _lacks(self, account: Account, needed: Amounts) -> int:
        return needed.of(account.unit) - self._held.get(account.line.account, 0)

    def _demand(
        self,
        lacking: Sequence[Account],
        own: Sequence[Account],
        needed: Amounts,
        cost: int,
        expected: Amounts = Amounts(),  # noqa: B008 - a tuple does not change
    ) -> Demand:
        lines = [_line(account, self._lacks(account, needed)) for account in lacking]
        lines += [_line(account, expected.of(account.unit)) for account in own]
        return Demand((*lacking, *own), tuple(lines), max(0, cost - self.cost))


def _line(account: Account, amount: int) -> Line:
    return account.line._replace(amount=min(amount, _MOST))


def _due(account: Account, taken: Amounts, *, let_in: int) -> Line:
    unit: Unit = account.unit
    amount = let_in if account.line.kind == "rate" and unit == "requests" else taken.of(unit)
    return _line(account, amount)


def _sum(amounts: Iterable[Amounts]) -> Amounts:
    requests = read = written = cost = 0
    for each in amounts:
        requests += each.requests
        read += each.input
        written += each.output
        cost += each.cost
    return Amounts(requests, read, written, cost)
