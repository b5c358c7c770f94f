"""What the gateway does with every request that is over: count it, judge its pool, and write its lines."""

from __future__ import annotations

import logging
import time
from typing import Final

from ..exchange import Exchange
from ..health.pool_state import PoolState, PoolStates, State
from ..http.paths import PROBES
from .budget_gauges import BudgetGauges
from .decision import decision
from .events import Events
from .line_writer import LineWriter
from .metrics import Metrics
from .outcome import Outcome, outcome_of
from .request_log import log_request
from .request_metrics import count_request

__all__ = ["Observer", "log_pool_state"]

_log: Final = logging.getLogger("standby.pools")
_OURS: Final = frozenset({"gateway_draining", "internal_error", "overloaded"})
"""Failures of the gateway itself, which say nothing of a pool."""


class Observer:
    """Observes the requests of one gateway. `decisions` is the decision log, None without one."""

    def __init__(self, metrics: Metrics, pools: PoolStates) -> None:
        self.metrics = metrics
        self.pools = pools
        self.budgets = BudgetGauges()
        self.events = Events()
        self.decisions: LineWriter | None = None

    def __call__(self, exchange: Exchange) -> None:
        """Record a request that is over. Probes of the platform are not recorded."""
        if exchange.path in PROBES:
            return
        outcome = outcome_of(exchange)
        count_request(self.metrics, exchange, outcome)
        if exchange.attempts or outcome == "failed":
            self._judge(exchange, outcome)
        for use in exchange.budgets:
            self.budgets.record(use, exchange.routes)
        for notice in exchange.notices:
            self.events.record(notice, time.time())
        log_request(exchange, outcome)
        if self.decisions is not None:
            self.decisions.write(decision(exchange, outcome, time.time()))

    def _judge(self, exchange: Exchange, outcome: Outcome) -> None:
        pool, operation = exchange.pool, exchange.operation
        if pool is None or operation is None or outcome in {"client_gone", "rejected"}:
            return
        if exchange.refusal in _OURS or (exchange.refusal and exchange.time_limit is not None):
            return  # a caller that gives a target no time must not exhaust the pool for others
        state: State = "healthy"
        cause, target = exchange.degradation or (None, None)
        served = exchange.served
        if outcome == "failed":
            # A request that an alternate cannot take says nothing of what the others get.
            untranslatable = any(each.field is not None for each in exchange.plan or ())
            state = "degraded" if untranslatable else "exhausted"
        elif served is None or served.candidate.degraded or served.candidate.role in {"alternate", "last"}:
            state = "degraded"
        else:
            cause = target = None  # another preferred target is as good
        if (changed := self.pools.ended(pool, operation.name, state, cause, target)) is not None:
            log_pool_state(changed)


def log_pool_state(state: PoolState) -> None:
    """Log that a pool's state has changed."""
    if state.state == "healthy":
        _log.warning("pool %s is healthy again for %s", state.pool, state.operation)
    else:
        served = "served by alternates or slow targets" if state.state == "degraded" else "served by none"
        _log.warning(
            "pool %s is %s for %s: %s (target %s: %s)",
            *(state.pool, state.state, state.operation, served, state.target, state.cause),
        )
