"""The names of all spans, attributes and metrics, in one place.

Attributes without the prefix `standby.` are OpenTelemetry's: HTTP semantic conventions 1.41 (stable), and the
GenAI conventions of the same release, which Jaeger's user interface reads.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from .metric import Metric

__all__ = [
    "ALERTS",
    "ASKED_FOR",
    "ATTEMPT",
    "ATTEMPTS",
    "ATTEMPT_COUNT",
    "ATTEMPT_KIND",
    "BUDGET_HELD_USD",
    "BUDGET_SHARE",
    "CANCELLED",
    "CANDIDATE_REJECTED",
    "CANDIDATE_SELECTED",
    "CONFIG_VERSION",
    "COST",
    "COST_SOURCE",
    "COST_USD",
    "DECISIONS_DROPPED",
    "DEGRADED",
    "DEGRADED_REASON",
    "DETAIL",
    "DROPPED",
    "ERROR_TYPE",
    "EVENTS",
    "EVENT_LOOP_LAG",
    "FAILOVERS",
    "FAILOVER_COUNT",
    "FAILURE_CLASS",
    "FIRST_CHUNK",
    "FIRST_TOKEN",
    "GEN_AI_OPERATION_NAME",
    "GEN_AI_PROVIDER_NAME",
    "GEN_AI_REQUEST_MODEL",
    "GEN_AI_REQUEST_STREAM",
    "GEN_AI_RESPONSE_FINISH_REASONS",
    "GEN_AI_RESPONSE_ID",
    "GEN_AI_RESPONSE_MODEL",
    "GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK",
    "GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS",
    "GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS",
    "GEN_AI_USAGE_INPUT_TOKENS",
    "GEN_AI_USAGE_OUTPUT_TOKENS",
    "GEN_AI_USAGE_REASONING_OUTPUT_TOKENS",
    "GUARDRAIL_CODES",
    "GUARDRAIL_NAME",
    "GUARDRAIL_OUTCOME",
    "GUARDRAIL_RESULT",
    "GUARDRAIL_RESULTS",
    "GUARDRAIL_STAGE",
    "GUARDRAIL_TIMES",
    "HOLDS",
    "HTTP_REQUEST_METHOD",
    "HTTP_RESPONSE_STATUS_CODE",
    "HTTP_ROUTE",
    "KEY_ID",
    "LIMIT",
    "LINK",
    "METRICS",
    "MODEL_DURATION",
    "MODEL_FIRST_CHUNK",
    "MODEL_TOKENS",
    "NETWORK_PROTOCOL_VERSION",
    "OUTCOME",
    "OVERHEAD",
    "POOL",
    "POOL_STATE",
    "PROVIDER",
    "RANK",
    "REASON",
    "REGION",
    "REJECTIONS",
    "RELOAD_FAILED",
    "REMAINING",
    "REPLACES",
    "REQUESTS",
    "REQUESTS_OPEN",
    "REQUEST_DURATION",
    "REQUEST_ID",
    "RETRY_AFTER_MS",
    "RETRY_IN_S",
    "ROUTE_CANDIDATES",
    "ROUTE_ORDER",
    "ROUTE_REJECTED",
    "ROUTE_SELECTED",
    "ROUTE_STRATEGY",
    "SCORE",
    "SCORE_COST_USD",
    "SERVER_ADDRESS",
    "SERVER_PORT",
    "SETTLEMENTS_WAITING",
    "SPANS_DROPPED",
    "STREAMS_OPEN",
    "STREAM_COMMITTED",
    "TARGET",
    "TARGET_FIRST_TOKEN",
    "TARGET_STATE",
    "TARGET_TOTAL",
    "TEAM",
    "TENANT",
    "TOKENS",
    "TRACES_NOT_KEPT",
    "UPSTREAM_REQUEST_ID",
    "URL_PATH",
    "URL_SCHEME",
    "USER_AGENT_ORIGINAL",
    "operation_name",
]

# -- spans -----------------------------------------------------------------------------------

ERROR_TYPE: Final = "error.type"
GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_REQUEST_STREAM: Final = "gen_ai.request.stream"
GEN_AI_RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
HTTP_REQUEST_METHOD: Final = "http.request.method"
HTTP_RESPONSE_STATUS_CODE: Final = "http.response.status_code"
HTTP_ROUTE: Final = "http.route"
NETWORK_PROTOCOL_VERSION: Final = "network.protocol.version"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ATTEMPT: Final = "standby.attempt"
ATTEMPT_COUNT: Final = "standby.attempt.count"
ATTEMPT_KIND: Final = "standby.attempt.kind"
BUDGET_HELD_USD: Final = "standby.budget.held_usd"
BUDGET_SHARE: Final = "standby.budget.share"
CANCELLED: Final = "standby.cancelled"
CONFIG_VERSION: Final = "standby.config.version"
COST_SOURCE: Final = "standby.cost.source"
COST_USD: Final = "standby.cost.usd"
DEGRADED: Final = "standby.degraded"
DEGRADED_REASON: Final = "standby.degraded.reason"
DETAIL: Final = "standby.detail"
ASKED_FOR: Final = "standby.asked_for"
DROPPED: Final = "standby.dropped"
FAILOVER_COUNT: Final = "standby.failover.count"
FAILURE_CLASS: Final = "standby.failure.class"
GUARDRAIL_CODES: Final = "standby.guardrail.codes"
GUARDRAIL_NAME: Final = "standby.guardrail.name"
GUARDRAIL_OUTCOME: Final = "standby.guardrail.outcome"
GUARDRAIL_STAGE: Final = "standby.guardrail.stage"
GUARDRAIL_TIMES: Final = "standby.guardrail.times"
KEY_ID: Final = "standby.key.id"
LINK: Final = "standby.link"
OUTCOME: Final = "standby.outcome"
POOL: Final = "standby.pool"
PROVIDER: Final = "standby.provider"
RANK: Final = "standby.rank"
REASON: Final = "standby.reason"
REGION: Final = "standby.region"
REPLACES: Final = "standby.replaces"
REQUEST_ID: Final = "standby.request.id"
RETRY_AFTER_MS: Final = "standby.retry_after_ms"
RETRY_IN_S: Final = "standby.retry_in_s"
ROUTE_CANDIDATES: Final = "standby.route.candidates"
ROUTE_ORDER: Final = "standby.route.order"
ROUTE_REJECTED: Final = "standby.route.rejected"
ROUTE_SELECTED: Final = "standby.route.selected"
ROUTE_STRATEGY: Final = "standby.route.strategy"
SCORE: Final = "standby.score"
SCORE_COST_USD: Final = "standby.score.cost_usd"
STREAM_COMMITTED: Final = "standby.stream.committed"
TARGET: Final = "standby.target"
TEAM: Final = "standby.team"
TENANT: Final = "standby.tenant"
UPSTREAM_REQUEST_ID: Final = "standby.upstream.request_id"
URL_PATH: Final = "url.path"
URL_SCHEME: Final = "url.scheme"
USER_AGENT_ORIGINAL: Final = "user_agent.original"

CANDIDATE_REJECTED: Final = "standby.candidate.rejected"
CANDIDATE_SELECTED: Final = "standby.candidate.selected"
FIRST_CHUNK: Final = "standby.first_chunk"
GUARDRAIL_RESULT: Final = "standby.guardrail.result"
EVENTS: Final = (CANDIDATE_REJECTED, CANDIDATE_SELECTED, FIRST_CHUNK, GUARDRAIL_RESULT)
"""The names of the events of spans."""

# -- metrics ---------------------------------------------------------------------------------


_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""The buckets that the GenAI conventions recommend for durations."""
_SHORT: Final = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)
"""From 50 microseconds: what the gateway itself costs."""
_COUNTS: Final = tuple(float(4**power) for power in range(14))
"""The buckets that the GenAI conventions recommend for tokens."""

REQUESTS: Final = Metric(
    "standby.requests", "counter", "{request}", ("pool", "outcome"), "Requests by what became of them."
)
ATTEMPTS: Final = Metric(
    "standby.attempts",
    "counter",
    "{attempt}",
    ("pool", "target", "fault"),
    "Attempts at targets by the kind of their fault; none is the fault of a good one.",
)
FAILOVERS: Final = Metric(
    "standby.failovers",
    "counter",
    "{failover}",
    ("pool", "source", "destination", "reason"),
    "Attempts at another target after one failed; hedges are no failovers.",
)
REJECTIONS: Final = Metric(
    "standby.rejections",
    "counter",
    "{candidate}",
    ("pool", "target", "reason"),
    "Targets that were passed over for a request, by the reason.",
)
GUARDRAIL_RESULTS: Final = Metric(
    "standby.guardrail.results",
    "counter",
    "{result}",
    ("rule", "stage", "outcome"),
    "What guardrails decided: blocked, redacted, observed, undecided, not_scanned.",
)
TARGET_STATE: Final = Metric(
    "standby.target.state",
    "gauge",
    "1",
    ("target", "operation"),
    "0 healthy, 1 degraded, 2 in cooldown, 3 its circuit breaker is not closed.",
)
POOL_STATE: Final = Metric(
    "standby.pool.state",
    "gauge",
    "1",
    ("pool",),
    "0 healthy, 1 degraded (served by alternates or by a slow target), 2 exhausted (by none).",
)
FIRST_TOKEN: Final = Metric(
    "standby.first_token.duration",
    "histogram",
    "s",
    ("pool", "target"),
    "From the begin of a good attempt to its first content, of streams.",
    _SECONDS,
)
REQUEST_DURATION: Final = Metric(
    "standby.request.duration",
    "histogram",
    "s",
    ("pool", "outcome"),
    "From the arrival of a request to the end of its answer.",
    _SECONDS,
)
OVERHEAD: Final = Metric(
    "standby.overhead.duration",
    "histogram",
    "s",
    ("phase",),
    "Time in the gateway itself: before the first attempt, and after the provider had said all.",
    _SHORT,
)
TARGET_FIRST_TOKEN: Final = Metric(
    "standby.target.first_token",
    "gauge",
    "s",
    ("target", "operation", "percentile"),
    "Percentiles of the time to the first token in the last minute; of several workers the slowest.",
)
TARGET_TOTAL: Final = Metric(
    "standby.target.total",
    "gauge",
    "s",
    ("target", "operation", "percentile"),
    "Percentiles of whole answers in the last minute; of several workers the slowest.",
)
TOKENS: Final = Metric(
    "standby.tokens",
    "counter",
    "{token}",
    ("pool", "team", "target", "type"),
    "Tokens as the provider reported them; input includes cached ones.",
)
COST: Final = Metric(
    "standby.cost_usd",
    "counter",
    "{USD}",
    ("pool", "team", "target"),
    "Dollars, as in the ledger; counted where the budget middleware is in the stack.",
)
REMAINING: Final = Metric(
    "standby.budget.remaining_usd",
    "gauge",
    "{USD}",
    ("budget",),
    "Dollars left in a budget of routes.toml, as the store last said; of several workers the least.",
)
LIMIT: Final = Metric(
    "standby.budget.limit_usd", "gauge", "{USD}", ("budget",), "Dollars in a budget of routes.toml."
)
HOLDS: Final = Metric("standby.holds", "gauge", "{hold}", (), "Requests that hold money now.")
SETTLEMENTS_WAITING: Final = Metric(
    "standby.settlements.waiting",
    "gauge",
    "{settlement}",
    (),
    "Settlements that the store has not confirmed.",
)
REQUESTS_OPEN: Final = Metric(
    "standby.requests.open", "gauge", "{request}", (), "Requests being handled now."
)
STREAMS_OPEN: Final = Metric(
    "standby.streams.open", "gauge", "{stream}", (), "Streamed answers that are being sent now."
)
EVENT_LOOP_LAG: Final = Metric(
    "standby.event_loop.lag",
    "gauge",
    "s",
    (),
    "The longest time in the last 15 seconds for which the event loop was busy with one thing.",
)
RELOAD_FAILED: Final = Metric(
    "standby.reload.failed", "gauge", "1", (), "1 while routes.toml on disk is not valid, 0 otherwise."
)
DECISIONS_DROPPED: Final = Metric(
    "standby.decisions.dropped",
    "counter",
    "{line}",
    (),
    "Lines of the decision log that could not be written.",
)
SPANS_DROPPED: Final = Metric(
    "standby.spans.dropped", "counter", "{span}", (), "Spans that no collector took."
)
TRACES_NOT_KEPT: Final = Metric(
    "standby.traces.not_kept",
    "counter",
    "{trace}",
    (),
    "Failed or refused requests whose trace was not kept, since too many were.",
)
ALERTS: Final = Metric(
    "standby.alerts", "counter", "{message}", ("alert", "result"), "Messages to the webhooks of [alerts]."
)
_MODEL: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
MODEL_DURATION: Final = Metric(
    "gen_ai.client.operation.duration",
    "histogram",
    "s",
    (*_MODEL, "error_type"),
    "GenAI convention: the duration of an attempt.",
    _SECONDS,
)
MODEL_TOKENS: Final = Metric(
    "gen_ai.client.token.usage",
    "histogram",
    "{token}",
    (*_MODEL, "gen_ai_token_type"),
    "GenAI convention: input and output tokens of an attempt.",
    _COUNTS,
)
MODEL_FIRST_CHUNK: Final = Metric(
    "gen_ai.client.operation.time_to_first_chunk",
    "histogram",
    "s",
    _MODEL,
    "GenAI convention: from the request to the first content of a stream.",
    _SECONDS,
)

METRICS: Final = (
    *(REQUESTS, ATTEMPTS, FAILOVERS, REJECTIONS, TARGET_STATE, POOL_STATE, FIRST_TOKEN, REQUEST_DURATION),
    *(OVERHEAD, TARGET_FIRST_TOKEN, TARGET_TOTAL, TOKENS, COST, REMAINING, LIMIT, HOLDS, SETTLEMENTS_WAITING),
    *(REQUESTS_OPEN, STREAMS_OPEN, EVENT_LOOP_LAG, RELOAD_FAILED, DECISIONS_DROPPED, SPANS_DROPPED),
    *(GUARDRAIL_RESULTS, TRACES_NOT_KEPT, ALERTS, MODEL_DURATION, MODEL_TOKENS, MODEL_FIRST_CHUNK),
)
"""Every metric that the gateway has."""

_OPERATIONS: Final = MappingProxyType({"messages": "chat", "responses": "chat"})


def operation_name(operation: str) -> str:
    """Returns the GenAI convention's name of an operation of the gateway."""
    return _OPERATIONS.get(operation, operation)
