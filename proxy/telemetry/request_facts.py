"""What the span of a request says of it: who asked, what became of it, what it cost. No I/O."""

from __future__ import annotations

from typing import Any, Final

from ..asgi import header
from ..config import NANO
from ..exchange import Exchange, GuardrailResult
from . import names
from .outcome import Outcome, error_type, failed_over

__all__ = ["caller_facts", "guardrail_facts", "request_facts"]

_LONGEST: Final = 256
"""Characters of a text that the caller chose."""


def request_facts(exchange: Exchange, outcome: Outcome) -> dict[str, Any]:
    """Returns the attributes of a request that has ended, by name."""
    pool, served, routes = exchange.pool, exchange.served, exchange.routes
    degraded, agent = exchange.degraded, header(exchange.headers, b"user-agent")
    costs = [attempt.cost for attempt in exchange.attempts if attempt.cost is not None]
    facts: dict[str, Any] = {
        names.HTTP_RESPONSE_STATUS_CODE: exchange.status,
        names.ERROR_TYPE: error_type(exchange, outcome),
        names.USER_AGENT_ORIGINAL: None if agent is None else agent.decode("latin-1")[:_LONGEST],
        names.OUTCOME: outcome,
        names.POOL: None if pool is None else pool.name,
        names.TARGET: None if served is None else served.candidate.name,
        names.ATTEMPT_COUNT: len(exchange.attempts),
        names.FAILOVER_COUNT: len(failed_over(exchange)),
        names.STREAM_COMMITTED: exchange.streamed and served is not None,
        names.DEGRADED: None if degraded is None else True,
        names.DEGRADED_REASON: degraded,
        names.DROPPED: None if served is None or not served.dropped else list(served.dropped),
        names.COST_USD: sum(costs) / NANO if costs else None,
        names.COST_SOURCE: "table" if costs else None,
        names.CONFIG_VERSION: None if routes is None else routes.version,
        **caller_facts(exchange),
    }
    return {name: value for name, value in facts.items() if value is not None}


def guardrail_facts(result: GuardrailResult) -> dict[str, Any]:
    """Returns what one guardrail decided, without any text."""
    facts: dict[str, Any] = {
        names.GUARDRAIL_NAME: result.rule,
        names.GUARDRAIL_STAGE: result.stage,
        names.GUARDRAIL_OUTCOME: result.outcome,
        names.GUARDRAIL_CODES: list(result.codes),
        names.GUARDRAIL_TIMES: result.times,
        names.TARGET: result.target,
    }
    return {name: value for name, value in facts.items() if value is not None}


def caller_facts(exchange: Exchange) -> dict[str, str]:
    """Returns who calls, by the names of the configuration."""
    principal = exchange.principal
    if principal is None:
        return {}
    team = principal.name("team")
    known = {
        names.KEY_ID: principal.name("key"),
        names.TEAM: team,
        names.TENANT: principal.name("organisation") or team,
    }
    return {name: value for name, value in known.items() if value is not None}
