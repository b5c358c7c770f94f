"""The budget of one request, from its hold to its settlement."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from pydantic import TypeAdapter

from ..classify.faults import Rejection
from ..config import Duration, Routes
from ..errors import Refusal
from ..exchange import STORE_DOWN, Attempt, BudgetUse, Exchange, Notice
from ..stores.records import Denied, Held, LedgerEntry
from ..stores.store import StoreBusy, StoreDown
from .accounts import Account, Accounts, Amounts
from .budget_store import BudgetStore
from .estimate import Estimate, RequestTotals
from .hold import Demand, Hold
from .thresholds import Thresholds, share

__all__ = ["BudgetSettings", "RequestBudget", "failover_deadline"]

log: Final = logging.getLogger("standby.budget")
alerts: Final = logging.getLogger("standby.alerts")

_SPARE: Final = 60.0
"""Seconds that a hold lasts beyond the maximum duration of its request."""
_DEADLINE: Final = 300.0
"""Seconds: the default of Failover's `deadline`, used where routes.toml sets none."""
_RETRY_AFTER: Final = 1.0
"""Seconds: the retry time where none can be computed, and the minimum where one can."""

_REASONS: Final = MappingProxyType(
    {"sum": "budget.exhausted", "rate": "limit.rate", "lease": "limit.concurrency"}
)
_DURATION: Final = TypeAdapter[float](Duration)


class BudgetSettings(NamedTuple):
    """The state that all requests of one Budget middleware share.

    Without `enforce`, nothing is refused: requests that would be refused are only logged. `deadline` is that
    of `routes` for all attempts of a request, in seconds.
    """

    store: BudgetStore
    accounts: Accounts
    thresholds: Thresholds
    enforce: bool
    routes: Routes | None = None
    deadline: float = _DEADLINE


class RequestBudget:
    """The hold of one request.

    Call `enter` first, `clear` before each attempt, and `leave` exactly once, whatever the outcome.
    """

    __slots__ = ("_began", "_estimate", "_exchange", "_held", "_is_held", "_may_be_held", "_settings")

    def __init__(self, settings: BudgetSettings, exchange: Exchange, estimate: Estimate | None) -> None:
        self._settings = settings
        self._exchange = exchange
        self._estimate = estimate
        self._began = settings.store.now()
        self._held = Hold(self._accounts())
        self._may_be_held = False  # the store may have a hold for this request
        # The store certainly has one. Two attempts may be cleared concurrently: if one fails, this stays set.
        self._is_held = False

    async def leave(self) -> None:
        """Queues the settlement. Never waits for the store and never raises."""
        try:
            await self._settle()
        except Exception:
            # A failure here must not fail the request. The hold will expire and be booked in full.
            log.exception("%s: could not be settled", self._exchange.id)

    def _accounts(self) -> Sequence[Account]:
        exchange, accounts_of = self._exchange, self._settings.accounts.of
        accounts: list[Account] = []
        for scope in () if exchange.principal is None else exchange.principal.scopes:
            accounts += accounts_of(scope.kind, scope.grants, self._began)
        if exchange.pool is not None:
            accounts += accounts_of("pool", exchange.pool, self._began)
        if self._estimate is None:
            accounts = [account for account in accounts if account.unit in {"requests", "concurrent"}]
        return self._counting(accounts)

    def _counting(self, accounts: Sequence[Account]) -> Sequence[Account]:
        """Returns the accounts on which the operation counts: not on rates, if it has its own at vendors."""
        operation = self._exchange.operation
        if operation is None or not operation.own_rates:
            return accounts
        return [account for account in accounts if account.line.kind != "rate"]

    # -- holding ----------------------------------------------------------------------------

    async def enter(self) -> Refusal | None:
        """Holds the minimum that the request needs.

        Returns a Refusal if a limit refuses the request or the store is unavailable, otherwise None.
        """
        exchange, estimate = self._exchange, self._estimate
        demand = self._held.entry(Amounts(1) if estimate is None else estimate.minimum())
        if estimate is not None and exchange.pool is not None and exchange.pool.at_budget:
            exchange.estimates = estimate.estimates()
        if not demand.lines:
            return None
        try:
            outcome = await self._hold(demand, None)
        except StoreDown as error:
            self._tell(error)
            if not self._settings.enforce:
                return None
            if isinstance(error, StoreBusy):
                return Refusal("overloaded", retry_after=_RETRY_AFTER, retryable=True)
            return Refusal("budget_unavailable", retry_after=_RETRY_AFTER)
        if isinstance(outcome, Denied):
            return self._refusal(demand, outcome)
        self._report(demand, outcome)
        return None

    async def clear(self, exchange: Exchange, attempt: Attempt) -> Rejection | None:
        """Holds what this attempt needs in addition.

        Returns a Rejection of this target if a limit refuses it or the store is unavailable, otherwise None.
        """
        target, estimate = attempt.candidate.target, self._estimate
        if target is None or estimate is None:
            return None
        accounts = self._counting(self._settings.accounts.of("target", target, self._settings.store.now()))
        demand = self._held.attempt(target.name, accounts, estimate.spent(attempt), estimate.amounts(target))
        if not demand.lines and not (demand.cost and self._may_be_held):
            return None  # nothing to hold; a cost without a limit only matters for an existing hold's expiry
        try:
            outcome = await self._hold(demand, attempt)
        except StoreDown as error:
            self._tell(error)
            reason = "budget.busy" if isinstance(error, StoreBusy) else "budget.unavailable"
            return None if not self._settings.enforce else Rejection(reason, _RETRY_AFTER)
        if isinstance(outcome, Denied):
            if not 0 <= outcome.line < len(demand.accounts):
                return Rejection("budget.unavailable", _RETRY_AFTER)
            account = demand.accounts[outcome.line]
            log.info("%s: %s refuses %s", exchange.id, account.label, target.name)
            if _never_fits(demand, outcome):
                return Rejection("limit.too_large", None, account.label)
            return Rejection(_REASONS[account.line.kind], self._ready_in(account, outcome), account.label)
        self._report(demand, outcome)
        return None

    async def _hold(self, demand: Demand, attempt: Attempt | None) -> Held | Denied:
        before, self._may_be_held = self._may_be_held, True
        try:
            outcome = await self._settings.store.hold(
                self._exchange.id,
                demand,
                lease=self._lease(),
                entries=self._expiry_entries(demand, attempt),
                enforce=self._settings.enforce,
            )
        except StoreDown as error:
            self._may_be_held = before or self._is_held or error.asked
            raise
        if isinstance(outcome, Held):
            self._may_be_held = self._is_held = True
            self._held.add(demand)
            self._exchange.held = self._held.cost
        else:
            self._may_be_held = before or self._is_held or outcome.unsure
        return outcome

    def _tell(self, error: StoreDown) -> None:
        """Log that the store did not take a hold, and have an alert raised if it is down."""
        log.warning("%s: %s", self._exchange.id, error)
        if not isinstance(error, StoreBusy):
            self._exchange.notices.append(STORE_DOWN)

    def _lease(self) -> float:
        """Returns the duration of the hold, in seconds."""
        exchange = self._exchange
        total = 0.0 if exchange.pool is None else exchange.pool.timeouts.total
        return self._settings.deadline + total + _SPARE

    def _expiry_entries(self, demand: Demand, attempt: Attempt | None) -> tuple[LedgerEntry, ...]:
        """Returns the ledger entries to write if the hold expires because this process ended."""
        estimate = self._estimate
        if estimate is None:
            return ()
        held = self._held.cost + demand.cost
        number, target = (0, None) if attempt is None else (attempt.number, attempt.candidate.target)
        entry = estimate.entry(self._began, number, target, cost=held, charged=held, outcome="expired")
        return (entry,)

    # -- results ----------------------------------------------------------------------------

    def _refusal(self, demand: Demand, denied: Denied) -> Refusal:
        if not 0 <= denied.line < len(demand.accounts):
            log.warning("%s: the allowance for an outage of the store is used up", self._exchange.id)
            return Refusal("budget_unavailable", retry_after=_RETRY_AFTER)
        account = demand.accounts[denied.line]
        label = account.label
        log.info("%s: refused by %s", self._exchange.id, label)
        wait = self._ready_in(account, denied)
        headers = ((b"x-standby-limit", label.encode()),)
        if account.line.kind == "sum":
            if 1.0 in account.alert_at and self._settings.thresholds.passed(account, account.line.limit or 0):
                self._notify(account, "refuses requests")
            return Refusal("budget_exceeded", param=label, retry_after=wait, headers=headers)
        if _never_fits(demand, denied):
            amount = demand.lines[denied.line].amount
            detail = f"{label} allows {account.line.limit}, and it may take {amount}"
            return Refusal("too_large_for_limit", param=label, detail=detail, headers=headers)
        return Refusal(
            "rate_limited", param=label, retry_after=wait, retryable=wait is not None, headers=headers
        )

    def _ready_in(self, account: Account, denied: Denied) -> float | None:
        """Returns the seconds until the limit may have room again, or None if unknown or never."""
        if account.line.kind == "sum":
            if account.resets is None:
                return None
            return max(_RETRY_AFTER, account.resets - self._settings.store.now())
        if account.line.kind == "lease":
            return _RETRY_AFTER
        return None if denied.ready_in is None else max(_RETRY_AFTER, denied.ready_in)

    def _report(self, demand: Demand, outcome: Held) -> None:
        """Logs alert thresholds that were reached, and what would be refused if limits were enforced.

        Also sets `exchange.share` to the highest used fraction of a cost budget.
        """
        exchange = self._exchange
        for account, used in zip(demand.accounts, outcome.used, strict=True):
            if account.line.kind != "sum":
                continue
            if account.unit == "cost":
                use = BudgetUse(account.scope, account.label, used, account.line.limit or 0, account.resets)
                exchange.budgets.append(use)
                exchange.share = max(exchange.share, share(account, used))
            if (passed := self._settings.thresholds.passed(account, used)) is not None:
                percent = round(passed * 100)
                self._notify(account, f"{percent} % of it is spent or held")
        for position in outcome.exceeded:
            label = demand.accounts[position].label
            log.warning("%s: would be refused by %s", exchange.id, label)
            exchange.notes.append((b"x-standby-would-refuse", label.encode()))

    def _notify(self, account: Account, words: str) -> None:
        """Logs an alert about a budget, and records it. It is told once in each window."""
        alerts.warning("%s: %s", account.label, words)
        text = f"budget {account.label}: {words}"
        occasion = f"{words} {account.line.bucket}"
        self._exchange.notices.append(Notice("budget", account.label, text, occasion=occasion))

    # -- settling ---------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Queues the settlement of the request's actual usage. Never waits for the store."""
        result = RequestTotals({"": Amounts(1)}, (), ())
        if self._estimate is not None:
            result = self._estimate.result(self._settings.store.now())
        costs = {entry.attempt: entry.cost for entry in result.entries}
        for attempt in self._exchange.attempts:
            attempt.cost = costs.get(attempt.number)
        for name in result.unpriced:
            words = "answered with a model or service tier that has no price; what was held is booked"
            alerts.warning("%s: %s %s", self._exchange.id, name, words)
            self._exchange.notices.append(Notice("unpriced_model", name, f"target {name} {words}"))
        if self._may_be_held or result.entries:
            lines = self._held.settlement_lines(result.amounts)
            await self._settings.store.settle(self._exchange.id, lines, result.entries, result.cost)


def _never_fits(demand: Demand, denied: Denied) -> bool:
    """Whether the request asks for more of a rate than there ever is."""
    account, line = demand.accounts[denied.line], demand.lines[denied.line]
    return account.line.kind == "rate" and line.amount > (account.line.limit or 0)


def failover_deadline(routes: Routes | None) -> float:
    """Returns Failover's deadline for all attempts, in seconds."""
    table: Mapping[str, Any] = {} if routes is None else routes.tables.get("failover", {})
    given = table.get("deadline")
    return _DEADLINE if given is None else _DURATION.validate_python(given)
