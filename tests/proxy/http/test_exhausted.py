"""The refusal for a request that no target answered."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.classify.faults import RULES, Fault, FaultKind
from standby.proxy.dialects import chat
from standby.proxy.exchange import Candidate, Exchange
from standby.proxy.health.target_health import Health
from standby.proxy.http.exhausted import exhausted
from standby.proxy.http.refusal import render

from tests.proxy.harness import rest, target_of

__all__: list[str] = []


def exchange_of(
    *faults: Fault | None, passed_over: tuple[Candidate, ...] = (), dialect: str = "openai"
) -> Exchange:
    """Returns an exchange whose attempts at "a", "b" and so on ended with these faults."""
    exchange = Exchange(id="req_1", began=0.0, headers=(), operation=chat.OPERATION, dialect=dialect)
    for name, fault in zip("abcdef", faults, strict=False):
        exchange.begin(Candidate(name, target_of(name))).fault = fault
    exchange.plan = tuple(attempt.candidate for attempt in exchange.attempts) + passed_over
    return exchange


def status_of(*kinds: FaultKind, dialect: str = "openai") -> int:
    """Returns the status after attempts with these fault kinds."""
    return exhausted(exchange_of(*map(Fault, kinds), dialect=dialect)).status


@pytest.mark.parametrize("kind", get_args(FaultKind))
def test_attempts_that_agree(kind: FaultKind) -> None:
    """If all attempts have the same fault, the status is that of the fault."""
    assert status_of(kind, kind) == (RULES[kind].status or 400)


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        (("rate_limited", "upstream_5xx"), 503),
        (("overloaded", "upstream_auth"), 503),
        (("rate_limited", "overloaded"), 503),
        (("timeout", "connect"), 503),
        (("upstream_5xx", "timeout"), 502),
        (("upstream_auth", "timeout_first_byte"), 502),
        (("quota", "rate_limited"), 503),
        (("upstream_5xx", "bad_response", "stream_failed"), 502),
        (("incompatible", "upstream_5xx"), 502),
    ],
)
def test_mixed_causes(kinds: tuple[FaultKind, ...], status: int) -> None:
    """Mixed causes give 503 if any of them is temporary, else 502."""
    assert status_of(*kinds) == status


def test_529_is_anthropics_word() -> None:
    """If every target is overloaded the status is 529 in Anthropic's dialect, and 503 in OpenAI's."""
    assert status_of("overloaded", "overloaded", dialect="anthropic") == 529
    assert status_of("overloaded", "rate_limited", dialect="anthropic") == 503
    assert status_of("overloaded") == 503


def test_the_callers_key_is_not_blamed() -> None:
    """If every provider rejects the operator's credentials, the caller gets no 401."""
    assert status_of("upstream_auth", "upstream_auth") == 502


def test_nobody_was_tried() -> None:
    """Without an attempt no target is available, and Retry-After is that of the first one."""
    resting = (
        Candidate("a", target_of("a"), None, "health.cooldown", 30.0),
        Candidate("b", target_of("b"), None, "health.breaker_open", 4.5),
        Candidate("c", target_of("c"), None, "state.bound"),
    )
    refusal = exhausted(exchange_of(passed_over=resting))
    assert (refusal.code, refusal.status, refusal.retry_after) == ("no_target_available", 503, 4.5)
    assert exhausted(exchange_of()).retry_after is None


def test_the_deadline_passed() -> None:
    """A passed deadline has its own code."""
    refusal = exhausted(exchange_of(Fault("timeout_first_byte")), deadline_passed=True)
    assert (refusal.code, refusal.status) == ("deadline_exceeded", 504)


def test_the_soonest_recovery() -> None:
    """Retry-After is the minimum of the faults, the targets' health and the rejections."""
    resting = Candidate("z", target_of("z"), None, "health.cooldown", 50.0)
    exchange = exchange_of(Fault("rate_limited", 429, None, 40.0), Fault("rate_limited", 429, None, 60.0))
    assert exhausted(exchange).retry_after == 40.0
    exchange.plan = (resting,)
    assert exhausted(exchange).retry_after == 40.0
    exchange.health = Health(lambda: 0.0)
    rest(exchange.health, "b", Fault("rate_limited", 429, None, 20.0))
    assert exhausted(exchange).retry_after == 20.0


def test_a_second_at_least() -> None:
    """Retry-After is at least 1, because 0 would cause immediate retries."""
    assert exhausted(exchange_of(Fault("rate_limited", 429, None, 0.01))).retry_after == 1.0


def test_nobody_knows_when() -> None:
    """There is no Retry-After if no time is known."""
    assert exhausted(exchange_of(Fault("upstream_5xx", 500))).retry_after is None


def test_accounts() -> None:
    """Each target is listed with its fault kind or rejection reason."""
    passed = (Candidate("c", target_of("c"), None, "health.cooldown", 5.0), Candidate("d", target_of("d")))
    exchange = exchange_of(Fault("rate_limited", 429, "secret-code"), None, passed_over=passed)
    assert exchange.tried() == [
        {"target": "a", "fault": "rate_limited"},
        {"target": "b", "fault": "unknown"},
        {"target": "c", "fault": "health.cooldown"},
    ]


def test_accounts_in_the_order_of_the_plan() -> None:
    """A target that was passed over stands where it stands in the plan, and a retried one is listed twice."""
    exchange = exchange_of(Fault("timeout"))
    assert exchange.plan is not None
    (attempted,) = exchange.plan
    exchange.plan = (Candidate("z", target_of("z"), None, "health.cooldown"), attempted)
    exchange.begin(attempted).fault = Fault("overloaded")
    assert [(row["target"], row["fault"]) for row in exchange.tried()] == [
        ("z", "health.cooldown"),
        ("a", "timeout"),
        ("a", "overloaded"),
    ]


@given(
    st.lists(st.sampled_from(get_args(FaultKind)), min_size=1, max_size=3),
    st.sampled_from(["openai", "anthropic"]),
)
def test_any_end_is_an_error(kinds: list[FaultKind], dialect: str) -> None:
    """Every combination of faults gives an error without upstream text, and without an SDK retry unless
    that helps."""
    exchange = exchange_of(*(Fault(kind, 500, "upstream-word", 7.0) for kind in kinds), dialect=dialect)
    status, headers, body = render(exhausted(exchange), exchange.id, dialect, exchange.tried())
    assert 400 <= status <= 599
    assert status != 401
    is_local = set(kinds) == {"local_overload"}  # the gateway was full, so a retry may succeed at once
    assert dict(headers).get(b"x-should-retry") == (None if is_local else b"false")
    assert dict(headers)[b"retry-after"] == (b"1" if is_local else b"7")
    assert b"upstream-word" not in body


def passed_over(*reasons: str, ready_in: float | None = None) -> tuple[Candidate, ...]:
    """Returns candidates that were rejected for these reasons."""
    names = zip("uvwxyz", reasons, strict=False)
    return tuple(
        Candidate(name, target_of(name), None, reason, ready_in, f"key/k {reason}") for name, reason in names
    )


@pytest.mark.parametrize(
    ("reasons", "code"),
    [
        (("budget.exhausted", "budget.exhausted"), "budget_exceeded"),
        (("limit.rate",), "rate_limited"),
        (("budget.exhausted", "limit.concurrency"), "rate_limited"),
        (("budget.unavailable", "budget.exhausted"), "budget_unavailable"),
        (("policy.residency", "policy.provider_denied"), "policy_no_eligible_target"),
        (("policy.residency", "budget.exhausted"), "budget_exceeded"),
        (("state.bound", "budget.exhausted"), "budget_exceeded"),
        (("state.bound", "state.signed"), "unknown_state"),
        (("health.cooldown", "budget.exhausted"), "no_target_available"),
        (("health.breaker_open", "policy.residency"), "no_target_available"),
        (("capability.tools",), "no_target_available"),
    ],
)
def test_nobody_was_cleared(reasons: tuple[str, ...], code: str) -> None:
    """Budget is 402, limits 429, policy 503. Policy decides only if it rejects every target."""
    assert exhausted(exchange_of(passed_over=passed_over(*reasons))).code == code


def test_a_limit_says_which_and_how_long() -> None:
    """The limit that refused is named, and a retry is allowed only if its end is known."""
    refusal = exhausted(exchange_of(passed_over=passed_over("budget.exhausted", "limit.rate", ready_in=7.0)))
    assert (refusal.param, refusal.retry_after, refusal.retryable) == ("key/k limit.rate", 7.0, True)
    assert refusal.headers == ((b"x-standby-limit", b"key/k limit.rate"),)
    never = exhausted(exchange_of(passed_over=passed_over("limit.rate")))
    assert (never.retry_after, never.retryable) == (None, False)


def test_faults_say_more_than_money() -> None:
    """After an attempt its fault decides, not the budget of other targets."""
    exchange = exchange_of(Fault("upstream_5xx", 500), passed_over=passed_over("budget.exhausted"))
    assert exhausted(exchange).code == "all_attempts_failed"
    assert exchange.tried()[1] == {"target": "u", "fault": "budget.exhausted"}
