"""One request from its hold to its settlement: what is asked of the store, and what its answers mean."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from pydantic import TypeAdapter

from ..classify.faults import Rejection
from ..config import Duration, Routes
from ..errors import Refusal
from ..exchange import Attempt, Exchange
from ..stores.records import Denied, Held, LedgerEntry
from ..stores.store import StoreDown
from .accounts import Account, Accounts, Amounts
from .budget_store import BudgetStore
from .estimate import Estimate, RequestTotals
from .hold import Demand, Hold
from .thresholds import Thresholds, share

__all__ = ["BudgetSettings", "RequestBudget"]

log: Final = logging.getLogger("standby.budget")
alerts: Final = logging.getLogger("standby.alerts")

_SPARE: Final = 60.0
"""Seconds that a hold lasts beyond the longest that its request may take."""
_DEADLINE: Final = 300.0
"""Seconds: Failover's own `deadline`, where the file says nothing else."""
_SOON: Final = 1.0
"""Seconds after which to ask again, where nobody can tell."""

_REASONS: Final = MappingProxyType(
    {"sum": "budget.exhausted", "rate": "limit.rate", "lease": "limit.concurrency"}
)
_DURATION: Final = TypeAdapter[float](Duration)


class BudgetSettings(NamedTuple):
    """What the requests of one Budget share. Unless `enforce`, it is only told what would be refused."""

    store: BudgetStore
    accounts: Accounts
    thresholds: Thresholds
    enforce: bool


class RequestBudget:
    """The hold of one request. `enter` it, then `clear` each attempt, and `leave` once, whatever happened."""

    __slots__ = ("_began", "_estimate", "_exchange", "_held", "_is_held", "_may_be_held", "_settings")

    def __init__(self, settings: BudgetSettings, exchange: Exchange, estimate: Estimate | None) -> None:
        self._settings = settings
        self._exchange = exchange
        self._estimate = estimate
        self._began = settings.store.now()
        self._held = Hold(self._accounts())
        self._may_be_held = False  # the store may know of a hold
        self._is_held = False  # it does: two attempts may be cleared at once, and one of them in vain

    async def leave(self) -> None:
        """Have it settled. Never waits for the store, and never fails."""
        try:
            await self._settle()
        except Exception:
            # What the request came to must not depend on this; its hold expires at what it held.
            log.exception("%s: could not be settled", self._exchange.id)

    def _accounts(self) -> list[Account]:
        exchange, accounts_of = self._exchange, self._settings.accounts.of
        accounts: list[Account] = []
        for scope in () if exchange.principal is None else exchange.principal.scopes:
            accounts += accounts_of(scope.kind, scope.grants, self._began)
        if exchange.pool is not None:
            accounts += accounts_of("pool", exchange.pool, self._began)
        if self._estimate is None:
            accounts = [account for account in accounts if account.unit in {"requests", "concurrent"}]
        return accounts

    # -- holding ----------------------------------------------------------------------------

    async def enter(self) -> Refusal | None:
        """Hold what the request takes at the least."""
        exchange, estimate = self._exchange, self._estimate
        demand = self._held.entry(Amounts(1) if estimate is None else estimate.least())
        if estimate is not None and exchange.pool is not None and exchange.pool.at_budget:
            exchange.estimates = estimate.estimates()
        if not demand.lines:
            return None
        try:
            outcome = await self._hold(demand, None)
        except StoreDown as error:
            log.warning("%s: %s", exchange.id, error)
            if not self._settings.enforce:
                return None
            return Refusal("budget_unavailable", retry_after=_SOON)
        if isinstance(outcome, Denied):
            return self._refusal(demand, outcome)
        self._notice(demand, outcome)
        return None

    async def clear(self, exchange: Exchange, attempt: Attempt) -> Rejection | None:
        """Hold what this attempt takes besides."""
        target, estimate = attempt.candidate.target, self._estimate
        if target is None or estimate is None:
            return None
        accounts = self._settings.accounts.of("target", target, self._settings.store.now())
        demand = self._held.attempt(target.name, accounts, estimate.spent(attempt), estimate.amounts(target))
        if not demand.lines and not (demand.cost and self._may_be_held):
            return None  # where nothing limits money, what an expiry books must still be enough
        try:
            outcome = await self._hold(demand, attempt)
        except StoreDown as error:
            log.warning("%s: %s", exchange.id, error)
            return None if not self._settings.enforce else Rejection("budget.unavailable", _SOON)
        if isinstance(outcome, Denied):
            if not 0 <= outcome.line < len(demand.accounts):
                return Rejection("budget.unavailable", _SOON)
            account = demand.accounts[outcome.line]
            log.info("%s: %s refuses %s", exchange.id, account.label, target.name)
            return Rejection(_REASONS[account.line.kind], self._ready_in(account, outcome), account.label)
        self._notice(demand, outcome)
        return None

    async def _hold(self, demand: Demand, attempt: Attempt | None) -> Held | Denied:
        before, self._may_be_held = self._may_be_held, True
        try:
            outcome = await self._settings.store.hold(
                self._exchange.id,
                demand,
                lease=self._lease(),
                entries=self._if_it_expires(demand, attempt),
                enforce=self._settings.enforce,
            )
        except StoreDown as error:
            self._may_be_held = before or self._is_held or error.asked
            raise
        if isinstance(outcome, Held):
            self._may_be_held = self._is_held = True
            self._held.took(demand)
        else:
            self._may_be_held = before or self._is_held or outcome.unsure
        return outcome

    def _lease(self) -> float:
        exchange = self._exchange
        total = 0.0 if exchange.pool is None else exchange.pool.timeouts.total
        return _deadline(exchange.routes) + total + _SPARE

    def _if_it_expires(self, demand: Demand, attempt: Attempt | None) -> tuple[LedgerEntry, ...]:
        """What the ledger says if this process ends before the request does."""
        estimate = self._estimate
        if estimate is None:
            return ()
        held = self._held.cost + demand.cost
        number, target = (0, None) if attempt is None else (attempt.number, attempt.candidate.target)
        entry = estimate.entry(self._began, number, target, cost=held, charged=held, outcome="expired")
        return (entry,)

    # -- what comes of it -------------------------------------------------------------------

    def _refusal(self, demand: Demand, denied: Denied) -> Refusal:
        if not 0 <= denied.line < len(demand.accounts):
            log.warning("%s: the allowance for an outage of the store is used up", self._exchange.id)
            return Refusal("budget_unavailable", retry_after=_SOON)
        account = demand.accounts[denied.line]
        label = account.label
        log.info("%s: refused by %s", self._exchange.id, label)
        wait = self._ready_in(account, denied)
        headers = ((b"x-standby-limit", label.encode()),)
        if account.line.kind == "sum":
            if 1.0 in account.alert_at and self._settings.thresholds.passed(account, account.line.limit or 0):
                alerts.warning("%s: refuses requests", label)
            return Refusal("budget_exceeded", param=label, retry_after=wait, headers=headers)
        return Refusal(
            "rate_limited", param=label, retry_after=wait, retryable=wait is not None, headers=headers
        )

    def _ready_in(self, account: Account, denied: Denied) -> float | None:
        """Seconds until what refused may have room again; None where that cannot be known, or never comes."""
        if account.line.kind == "sum":
            return None if account.resets is None else max(_SOON, account.resets - self._settings.store.now())
        if account.line.kind == "lease":
            return _SOON
        return None if denied.ready_in is None else max(_SOON, denied.ready_in)

    def _notice(self, demand: Demand, outcome: Held) -> None:
        """Tell of shares passed, and of what would have been refused."""
        exchange = self._exchange
        for account, used in zip(demand.accounts, outcome.used, strict=True):
            if account.line.kind != "sum":
                continue
            if account.unit == "cost":
                exchange.share = max(exchange.share, share(account, used))
            if (passed := self._settings.thresholds.passed(account, used)) is not None:
                alerts.warning("%s: %d %% of it is spent or held", account.label, round(passed * 100))
        for place in outcome.exceeded:
            label = demand.accounts[place].label
            log.warning("%s: would be refused by %s", exchange.id, label)
            exchange.notes.append((b"x-standby-would-refuse", label.encode()))

    # -- settling ---------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Book what the request came to. Never waits."""
        result = RequestTotals({"": Amounts(1)}, (), ())
        if self._estimate is not None:
            result = self._estimate.result(self._settings.store.now(), asyncio.get_running_loop().time())
        for name in result.unpriced:
            alerts.warning(
                "%s: %s answered with a model that has no price; what was held is booked",
                self._exchange.id,
                name,
            )
        if self._may_be_held or result.entries:
            lines = self._held.dues(result.amounts)
            await self._settings.store.settle(self._exchange.id, lines, result.entries, result.cost)


def _deadline(routes: Routes | None) -> float:
    """How long Failover may try, in seconds."""
    table: Mapping[str, Any] = {} if routes is None else routes.tables.get("failover", {})
    given = table.get("deadline")
    return _DEADLINE if given is None else _DURATION.validate_python(given)
