"""What a request may cost at each target, what its attempts cost, and what the ledger says of it. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from ..config import Pool, Target
from ..exchange import Attempt, Exchange
from ..stores.records import LedgerEntry, Outcome
from .accounts import Amounts
from .metering.token_estimate import Prompt, measure
from .metering.usage_meter import ActualUsage, ExpectedUsage, actual_usage, expected_usage
from .metering.vocabularies import NONE, Vocabularies

__all__ = ["Charge", "Estimate", "RequestTotals"]

Charge: TypeAlias = Literal["all", "served"]
"""What counts against budgets: what every attempt cost, or only the one whose answer the caller got."""


_LONGEST: Final = 256
"""Characters kept of a model's name: providers choose those, and the ledger keeps them all."""


class RequestTotals(NamedTuple):
    """What a request came to: amounts by target, a ledger entry for each attempt, and the targets that
    answered with a model that has no price.
    """

    amounts: dict[str, Amounts]
    entries: tuple[LedgerEntry, ...]
    unpriced: tuple[str, ...]

    @property
    def cost(self) -> int:
        """What counts against budgets, in nano-dollars."""
        return sum(amounts.cost for amounts in self.amounts.values())


class Estimate:
    """The figures of one request, whose pool and operation are known."""

    __slots__ = (
        "_assume_output",
        "_charge",
        "_exchange",
        "_expected",
        "_operation",
        "_pool",
        "_prompt",
        "_value",
        "_vocabularies",
    )

    def __init__(
        self,
        exchange: Exchange,
        value: dict[str, Any],
        pool: Pool,
        *,
        charge: Charge = "all",
        assume_output: int = 4096,
        vocabularies: Vocabularies = NONE,
    ) -> None:
        self._exchange = exchange
        self._operation = "" if exchange.operation is None else exchange.operation.name
        self._pool = pool
        self._value = value
        self._charge = charge
        self._assume_output = assume_output
        self._vocabularies = vocabularies
        self._prompt: Prompt = measure(value, self._operation)
        self._expected: dict[str, ExpectedUsage] = {}

    def expected(self, target: Target) -> ExpectedUsage:
        """The most that an attempt at `target` may take."""
        cached = self._expected.get(target.name)
        if cached is None:
            cached = self._expected[target.name] = expected_usage(
                self._prompt,
                self._value,
                self._operation,
                target,
                pool=self._pool,
                assume_output=self._assume_output,
                vocabularies=self._vocabularies,
            )
        return cached

    def amounts(self, target: Target) -> Amounts:
        """The same, with what it may cost; nothing, where `target` has no price."""
        expected = self.expected(target)
        cost = 0 if target.price is None else expected.cost(target.price)
        return Amounts(1, expected.input, expected.output, cost)

    def least(self) -> Amounts:
        """What a request takes at the least, of each unit, wherever its caller may send it."""
        principal = self._exchange.principal
        every = [
            self.amounts(target)
            for target in self._targets()
            if principal is None or principal.objection(target) is None
        ] or [Amounts(1)]
        return Amounts(*(min(column) for column in zip(*every, strict=True)))

    def estimates(self) -> dict[str, int]:
        """What the request may cost at each target that has a price, in nano-dollars."""
        return {
            target.name: self.expected(target).cost(target.price)
            for target in self._targets()
            if target.price is not None
        }

    def spent(self, before: Attempt) -> Amounts:
        """What the attempts before this one took of the caller's budgets."""
        if self._charge == "served":
            return Amounts(1)  # none of those that failed counts
        read = written = cost = 0
        for attempt in self._exchange.attempts:
            if attempt is before:
                continue
            target = attempt.candidate.target
            if attempt.ended is None and attempt.fault is None and target is not None:
                under_way = self.amounts(target)  # beside this one: it may still take all of it
                read += under_way.input
                written += under_way.output
                cost += under_way.cost
            elif (figures := self._taken(attempt)) is not None:
                read += figures.usage.input
                written += figures.usage.output
                cost += figures.charge
        return Amounts(1, read, written, cost)

    def result(self, now: float, clock: float) -> RequestTotals:
        """What it came to, now that it is over: at `now` by the store's clock, `clock` by the loop's."""
        attempts = self._exchange.attempts
        ends = [clock if each.ended is None else each.ended for each in attempts]
        amounts: dict[str, Amounts] = {}
        entries: list[LedgerEntry] = []
        unpriced: list[str] = []
        for attempt, end in zip(attempts, ends, strict=False):
            target = attempt.candidate.target
            if target is None or (figures := self._taken(attempt)) is None:
                continue
            counts = self._charge == "all" or attempt is self._exchange.served
            charged = figures.charge if counts else 0
            usage = figures.usage
            cached = amounts.get(target.name, Amounts())
            amounts[target.name] = Amounts(
                cached.requests + (1 if attempt.sent else 0),
                cached.input + (usage.input if counts else 0),
                cached.output + (usage.output if counts else 0),
                cached.cost + charged,
            )
            if figures.source == "unpriced" and target.price is not None:
                unpriced.append(target.name)
            entries.append(
                self.entry(
                    now,
                    attempt.number,
                    target,
                    model=None if figures.model is None else figures.model[:_LONGEST],
                    input=usage.input,
                    output=usage.output,
                    cached=usage.cached,
                    cache_write=usage.cache_write,
                    reasoning=usage.reasoning,
                    cost=figures.cost,
                    charged=charged,
                    source=figures.source,
                    outcome=self._outcome(attempt),
                    fault=None if attempt.fault is None else attempt.fault.kind,
                    first_token=attempt.upstream_wait or None,
                    duration=max(0.0, end - attempt.started),
                )
            )
        return RequestTotals(amounts, tuple(entries), tuple(unpriced))

    def entry(self, at: float, attempt: int, target: Target | None, **figures: Any) -> LedgerEntry:
        """A line of the ledger of this request."""
        principal = self._exchange.principal
        who: dict[str, Any] = {}
        if principal is not None:
            who = {scope.kind: scope.grants.name for scope in principal.scopes}
        return LedgerEntry(
            at=at,
            request_id=self._exchange.id,
            attempt=attempt,
            **who,
            pool=self._pool.name,
            target="" if target is None else target.name,
            provider=None if target is None else target.provider.name,
            operation=self._operation,
            **figures,
        )

    def _taken(self, attempt: Attempt) -> ActualUsage | None:
        target = attempt.candidate.target
        return None if target is None else actual_usage(attempt, self.expected(target))

    def _outcome(self, attempt: Attempt) -> Outcome:
        complete = attempt.answer is not None and attempt.answer.complete
        if attempt.fault is not None:
            return "truncated" if attempt.fault.kind == "stream_truncated" else "failed"
        if complete and attempt is self._exchange.served:
            return "served"
        return "client_gone" if self._exchange.client_gone else "failed"

    def _targets(self) -> Iterator[Target]:
        yield from self._pool.prefer
        for alternate in self._pool.alternates:
            yield alternate.target
