"""A request's estimated cost at each target, the cost of its attempts, and its ledger entries. No I/O."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, TypeAlias

from ..config import Pool, Target, targets_of
from ..exchange import Attempt, Exchange
from ..stores.records import LedgerEntry, Outcome
from .accounts import Amounts
from .metering.token_estimate import Prompt, measure
from .metering.usage_meter import (
    ActualUsage,
    ExpectedUsage,
    Requested,
    Unheard,
    actual_usage,
    expected_usage,
)
from .metering.vocabularies import NONE, Vocabularies

__all__ = ["Charge", "Estimate", "RequestTotals"]

Charge: TypeAlias = Literal["all", "served"]
"""Which attempts count against budgets: all of them, or only the one whose answer the caller received."""


_MAX_MODEL_NAME: Final = 256
"""The maximum length in characters of a model name in the ledger. Providers choose these names, so the ledger
needs a bound."""


class RequestTotals(NamedTuple):
    """The totals of a finished request.

    `amounts` maps target names to amounts. `entries` has a ledger entry for each attempt. `unpriced` are the
    names of the targets that answered with a model or tier that has no price.
    """

    amounts: dict[str, Amounts]
    entries: tuple[LedgerEntry, ...]
    unpriced: tuple[str, ...]

    @property
    def cost(self) -> int:
        """The cost that counts against budgets, in nano-dollars."""
        return sum(amounts.cost for amounts in self.amounts.values())


class Estimate:
    """The estimated and actual usage of one request whose pool and operation are known.

    `value` is the request's JSON document. `assume_output` is the number of output tokens to assume where no
    limit is set.
    """

    __slots__ = (
        "_assume_output",
        "_charge",
        "_exchange",
        "_expected",
        "_operation",
        "_pool",
        "_prompt",
        "_requested",
        "_unheard",
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
        unheard: Unheard = "held",
        vocabularies: Vocabularies = NONE,
    ) -> None:
        self._exchange = exchange
        self._operation = "" if exchange.operation is None else exchange.operation.name
        self._pool = pool
        self._charge = charge
        self._assume_output = assume_output
        self._unheard: Unheard = unheard
        self._vocabularies = vocabularies
        self._prompt: Prompt = measure(value, self._operation)
        self._requested = Requested.of(value, self._operation)
        self._expected: dict[str, ExpectedUsage] = {}

    def expected(self, target: Target) -> ExpectedUsage:
        """Returns the upper bound of the usage of an attempt at `target`. The result is cached."""
        cached = self._expected.get(target.name)
        if cached is None:
            cached = self._expected[target.name] = expected_usage(
                self._prompt,
                self._requested,
                target,
                pool=self._pool,
                assume_output=self._assume_output,
                vocabularies=self._vocabularies,
            )
        return cached

    def amounts(self, target: Target) -> Amounts:
        """Returns the upper bound for an attempt at `target`, with its cost: 0 if `target` has no price."""
        expected = self.expected(target)
        cost = 0 if target.price is None else expected.cost(target.price)
        return Amounts(1, expected.input, expected.output, cost)

    def minimum(self) -> Amounts:
        """Returns, for each unit, the smallest estimate among the targets that the caller may use."""
        principal, least = self._exchange.principal, None
        for target in targets_of(self._pool):
            if principal is not None and principal.objection(target) is not None:
                continue
            amounts = self.amounts(target)
            if least is None:
                least = amounts
            elif amounts != least:
                least = Amounts(*map(min, least, amounts))
        return least or Amounts(1)

    def estimates(self) -> dict[str, int]:
        """Returns the maximum cost in nano-dollars by target name, for the targets that have a price."""
        return {
            target.name: self.expected(target).cost(target.price)
            for target in targets_of(self._pool)
            if target.price is not None
        }

    def spent(self, current: Attempt) -> Amounts:
        """Returns what all attempts other than `current` used of the caller's budgets.

        An attempt that is still running counts with its full estimate.
        """
        if self._charge == "served":
            return Amounts(1)  # failed attempts do not count
        input_tokens = output_tokens = cost = 0
        for attempt in self._exchange.attempts:
            if attempt is current:
                continue
            target = attempt.candidate.target
            if attempt.ended is None and attempt.fault is None and target is not None:
                estimated = self.amounts(target)  # a concurrent attempt may still use its full estimate
                input_tokens += estimated.input
                output_tokens += estimated.output
                cost += estimated.cost
            elif (actual := self._actual_usage(attempt)) is not None:
                input_tokens += actual.usage.input
                output_tokens += actual.usage.output
                cost += actual.charge
        return Amounts(1, input_tokens, output_tokens, cost)

    def result(self, now: float) -> RequestTotals:
        """Returns the totals of the finished request. `now` is the store's time in seconds since 1970."""
        attempts, clock = self._exchange.attempts, self._exchange.clock()
        ends = [clock if attempt.ended is None else attempt.ended for attempt in attempts]
        amounts: dict[str, Amounts] = {}
        entries: list[LedgerEntry] = []
        unpriced: list[str] = []
        for attempt, end in zip(attempts, ends, strict=False):
            target = attempt.candidate.target
            if target is None or (actual := self._actual_usage(attempt)) is None:
                continue
            counts = self._charge == "all" or attempt is self._exchange.served
            charged = actual.charge if counts else 0
            usage = actual.usage
            subtotal = amounts.get(target.name, Amounts())
            amounts[target.name] = Amounts(
                subtotal.requests + (1 if attempt.sent else 0),
                subtotal.input + (usage.input if counts else 0),
                subtotal.output + (usage.output if counts else 0),
                subtotal.cost + charged,
            )
            if actual.source == "unpriced" and target.price is not None:
                unpriced.append(target.name)
            entries.append(
                self.entry(
                    now,
                    attempt.number,
                    target,
                    model=None if actual.model is None else actual.model[:_MAX_MODEL_NAME],
                    input=usage.input,
                    output=usage.output,
                    cached=usage.cached,
                    cache_write=usage.cache_write,
                    reasoning=usage.reasoning,
                    cost=actual.cost,
                    charged=charged,
                    source=actual.source,
                    outcome=self._outcome(attempt),
                    fault=None if attempt.fault is None else attempt.fault.kind,
                    first_token=attempt.upstream_wait,
                    duration=max(0.0, end - attempt.began),
                )
            )
        return RequestTotals(amounts, tuple(entries), tuple(unpriced))

    def entry(self, at: float, attempt: int, target: Target | None, **fields: Any) -> LedgerEntry:
        """Returns a ledger entry for an attempt of this request.

        `at` is in seconds since 1970, `attempt` is the attempt's number, `fields` are other fields of
        LedgerEntry.
        """
        principal = self._exchange.principal
        scopes: dict[str, Any] = {}
        if principal is not None:
            scopes = {scope.kind: scope.grants.name for scope in principal.scopes}
        return LedgerEntry(
            at=at,
            request_id=self._exchange.id,
            attempt=attempt,
            **scopes,
            pool=self._pool.name,
            target="" if target is None else target.name,
            provider=None if target is None else target.provider.name,
            operation=self._operation,
            **fields,
        )

    def _actual_usage(self, attempt: Attempt) -> ActualUsage | None:
        target = attempt.candidate.target
        if target is None:
            return None
        # A caller that set a time limit of its own, and let it run out, has left as well.
        fault, own_limit = attempt.fault, self._exchange.time_limit is not None
        late = own_limit and fault is not None and fault.kind in {"timeout", "timeout_first_byte"}
        left = self._exchange.client_gone or late
        return actual_usage(attempt, self.expected(target), left=left, unheard=self._unheard)

    def _outcome(self, attempt: Attempt) -> Outcome:
        complete = attempt.answer is not None and attempt.answer.complete
        if attempt.fault is not None and not attempt.fault.is_answer:
            return "truncated" if attempt.fault.kind == "stream_truncated" else "failed"
        if complete and attempt is self._exchange.served:
            return "served"
        return "client_gone" if self._exchange.client_gone else "failed"
