"""The facts of one request."""

from __future__ import annotations

from typing import Any, Final

import pytest
from standby.proxy.asgi import header
from standby.proxy.classify.faults import Fault, Rejection
from standby.proxy.exchange import Attempt, Candidate, Exchange

from tests.proxy.harness import scope_of, target_of

__all__: list[str] = []

A, B, C = (Candidate(name, target_of(name)) for name in "abc")
FAILED: Final = Fault("upstream_5xx", 500)


def exchange_of(*attempts: tuple[Candidate, Fault | None], served: int | None = None) -> Exchange:
    """An exchange with these attempts, of which one was served."""
    exchange = Exchange.of(scope_of())
    for candidate, fault in attempts:
        exchange.begin(candidate).fault = fault
    if served is not None:
        exchange.served = exchange.attempts[served]
    return exchange


def test_one_request_has_one_exchange() -> None:
    """Whoever asks first makes it; copies of the scope share it."""
    scope = scope_of("/v1/x", headers=[(b"x-a", b"1")])
    exchange = Exchange.of(scope)
    assert Exchange.of(scope) is exchange
    assert Exchange.of({**scope}) is exchange
    assert exchange.path == "/v1/x"
    assert (b"x-a", b"1") in exchange.headers


def test_headers_are_a_snapshot() -> None:
    """Trailers that a server adds to the list later do not count."""
    scope = scope_of()
    exchange = Exchange.of(scope)
    before = exchange.headers
    scope["headers"].append((b"authorization", b"Bearer evil"))
    assert exchange.headers == before


def test_the_path_is_below_the_mount() -> None:
    """Where the gateway is mounted is the host's business."""
    assert Exchange.of(scope_of("/llm/v1/models", root_path="/llm")).path == "/v1/models"


def test_ids_differ() -> None:
    """Every request has an id of its own, which says nothing."""
    ids = {Exchange.of(scope_of()).id for _ in range(100)}
    assert len(ids) == 100
    assert all(each.startswith("req_") and len(each) == 28 for each in ids)


def test_attempts_are_numbered() -> None:
    """From one, in their order."""
    exchange = exchange_of((A, FAILED), (B, None))
    assert [(attempt.number, attempt.candidate) for attempt in exchange.attempts] == [(1, A), (2, B)]


def test_the_attempt_of_a_scope() -> None:
    """A scope belongs to the attempt that is in it, or to none."""
    attempt = Attempt(1, A, 0.0)
    assert Attempt.of({"standby.attempt": attempt}) is attempt
    assert Attempt.of({}) is None
    assert Attempt.of({"standby.attempt": "x"}) is None


@pytest.mark.parametrize(
    ("attempts", "served", "degraded"),
    [
        ([(A, None)], 0, None),
        ([(A, FAILED), (B, None)], 1, "upstream_5xx"),
        ([(A, Fault("timeout")), (B, FAILED), (C, None)], 2, "timeout"),
        ([(A, Fault("stream_truncated"))], 0, None),
        ([(A, FAILED), (A, None)], 1, None),
        ([(A, FAILED), (B, FAILED), (B, None)], 2, "upstream_5xx"),
        ([(A, None), (B, None)], 1, "hedged"),
    ],
)
def test_degraded(attempts: list[tuple[Candidate, Fault | None]], served: int, degraded: str | None) -> None:
    """An answer is degraded when it is not the first candidate's, by the first fault or for being late."""
    exchange = exchange_of(*attempts, served=served)
    exchange.plan = (A, B, C)
    assert exchange.degraded == degraded
    assert dict(exchange.report()).get(b"x-standby-degraded") == (degraded.encode() if degraded else None)


@pytest.mark.parametrize(
    ("plan", "degraded"),
    [((A, B), None), ((Candidate("r", None, None, "health.cooldown"), A), "health.cooldown")],
)
def test_degraded_by_rest(plan: tuple[Candidate, ...], degraded: str | None) -> None:
    """So it is when the first candidate was passed over; one behind the served one does not matter."""
    exchange = exchange_of((A, None), served=0)
    exchange.plan = (*plan, Candidate("z", None, None, "health.breaker_open"))
    assert exchange.degraded == degraded


def test_an_alternate_that_was_passed_over_is_no_reason() -> None:
    """The reason is about the preferred targets, also where alternates were to be tried before them."""
    slow = Candidate("slow", degraded="latency.slo")
    alternate = Candidate("alternate", rejected="disabled", role="alternate")
    exchange = exchange_of((slow, None), served=0)
    exchange.plan = (alternate, slow)
    assert exchange.degradation == ("latency.slo", "slow")
    kept_away = Candidate("kept away", rejected="policy.region")
    other = Candidate("other", role="alternate")
    exchange = exchange_of((other, None), served=0)
    exchange.plan = (kept_away, alternate, other)
    assert exchange.degradation == ("policy.region", "kept away")


def report_of(exchange: Exchange) -> dict[bytes, Any]:
    """The headers of every answer."""
    return dict(exchange.report())


def test_the_report() -> None:
    """Every answer says whose it is, after how many attempts, and what the gateway itself took."""
    exchange = exchange_of((A, FAILED), (B, None), served=1)
    exchange.attempts[0].upstream_wait = 1e9
    report = report_of(exchange)
    assert report[b"x-standby-request-id"] == exchange.id.encode()
    assert (report[b"x-standby-target"], report[b"x-standby-attempts"]) == (b"b", b"2")
    assert report[b"x-standby-overhead-ms"] == b"0.00"


def test_the_report_of_a_refusal() -> None:
    """What was served by nobody names nobody."""
    report = report_of(exchange_of())
    assert report[b"x-standby-attempts"] == b"0"
    assert not report.keys() & {b"x-standby-target", b"x-standby-degraded"}


def test_the_first_header_of_a_name() -> None:
    """Of several the first counts, and a name that is missing is None."""
    headers = ((b"a", b"1"), (b"b", b"2"), (b"a", b"3"))
    assert [header(headers, name) for name in (b"a", b"b", b"c")] == [b"1", b"2", None]


def test_numbers_of_attempts() -> None:
    """Each has its own, also after one that was withdrawn while another was under way."""
    exchange = exchange_of()
    first, second = exchange.begin(A), exchange.begin(B, "hedge")
    exchange.withdraw(first, Rejection("limit.rate"))
    third = exchange.begin(C, "failover")
    assert [(each.number, each.kind) for each in (second, third)] == [(2, "hedge"), (3, "failover")]
