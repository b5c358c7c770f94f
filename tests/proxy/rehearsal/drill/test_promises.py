"""What a drill takes for a broken promise, by records made by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from standby.proxy.rehearsal.drill.client import PLANTED
from standby.proxy.rehearsal.drill.promises import PROMISES, findings
from standby.proxy.rehearsal.drill.record import Record
from standby.proxy.rehearsal.simulator import Slow

from tests.proxy.rehearsal.drill.records import (
    CANARY,
    COST,
    DONE,
    FAILED,
    OTHER,
    STOPPED,
    answer,
    cut,
    entry,
    europe,
    healthy,
    kept,
    nobody,
    observing,
    over_budget,
    planted,
    received,
    refusal,
    stopped,
    stream,
)

__all__: list[str] = []


def broken(record: Record) -> dict[str, str]:
    """The promises that a record breaks, with the evidence."""
    made = findings(record)
    assert [finding.promise for finding in made] == list(PROMISES)
    assert all(finding.evidence for finding in made)
    return {finding.promise: finding.evidence for finding in made if not finding.kept}


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(kept, id="the alternate answers"),
        pytest.param(lambda: kept(streamed=True), id="streamed"),
        pytest.param(healthy, id="nothing fails"),
        pytest.param(lambda: nobody(replies=[stopped()], conditions=frozenset[str]()), id="a rule blocks"),
        pytest.param(lambda: cut(stream(STOPPED + DONE, "main", None)), id="a rule stops a stream"),
        pytest.param(
            lambda: kept(replies=[answer(says="budget.exhausted")] * 4, conditions=frozenset[str]()),
            id="budget cause",
        ),
        pytest.param(
            lambda: kept(replies=[refusal(attempts=1)], received={}, entries=[], max_attempts=1),
            id="no attempt is left",
        ),
        pytest.param(europe, id="policy leads elsewhere"),
        pytest.param(lambda: cut(stream(FAILED, "main", None)), id="a stream breaks, and says so"),
        pytest.param(nobody, id="nobody can answer"),
        pytest.param(lambda: kept(replies=[over_budget()], entries=[], received={}), id="budget"),
        pytest.param(lambda: planted(PLANTED["secrets"], at="main"), id="a rule that does not bind there"),
        pytest.param(lambda: planted("redacted", at="main-eu"), id="a redacted text"),
        pytest.param(
            lambda: planted(*PLANTED.values(), at="main-eu", rules=observing()), id="rules that only report"
        ),
        pytest.param(lambda: kept(held=1, entries=[], counts_money=False), id="nothing counts"),
        pytest.param(lambda: kept(replies=[answer(**{"x-standby-attempts": "3"})]), id="all attempts"),
        pytest.param(lambda: kept(busy={"us large": 100, "eu large": 100}), id="all connections"),
        pytest.param(
            lambda: kept(replies=[answer(says="health.breaker_open")]),
            id="the breaker is open",
        ),
    ],
)
def test_a_kept_promise(record: Callable[[], Record]) -> None:
    """A record of what should happen keeps every promise."""
    assert broken(record()) == {}


@pytest.mark.parametrize(
    ("record", "evidence"),
    [
        (
            lambda: europe(received={"main": [received(billed=False)], "main-eu": [received()]}),
            "main was sent 1 requests, though key europe allows the regions eu",
        ),
        (
            lambda: kept("refusals", replies=[answer(says="content_refused")]),
            "main-eu answered, and is none that may",
        ),
        (
            lambda: kept("latency_creep", replies=[answer("gpt-5", "latency.slo")]),
            "gpt-5 answered, and is none that may: main (preferred), main-eu (alternate for slow)",
        ),
        (
            lambda: kept(replies=[answer("main", "overloaded")]),
            "main answered, and is none that may: main-eu",
        ),
        (
            lambda: kept(replies=[refusal()], received={}, entries=[]),
            "claude (alternate for outage) may answer, and the caller got 503 overloaded",
        ),
        (
            lambda: kept("rate_limit", replies=[refusal(429, "rate_limited")], received={}, entries=[]),
            "may answer, and the caller got 429 rate_limited",
        ),
        (
            lambda: kept("rate_limit_once", replies=[refusal(429, "rate_limited")], received={}, entries=[]),
            "may answer, and the caller got 429 rate_limited",
        ),
        (
            lambda: kept("quota_gone", replies=[refusal(402, "quota")], received={}, entries=[]),
            "may answer, and the caller got 402 quota",
        ),
        (
            lambda: kept(replies=[answer(text=f"{CANARY} {OTHER}")]),
            "one answer has bytes of several providers (p1, p2)",
        ),
        (lambda: kept(replies=[answer("somewhere")]), "somewhere answered, and is none that may"),
    ],
)
def test_routing(record: Callable[[], Record], evidence: str) -> None:
    """Only who may answers, from one provider, and somebody does if one may; nobody else gets the data."""
    assert evidence in broken(record()).get("routing", "")


@pytest.mark.parametrize(
    ("record", "evidence"),
    [
        (lambda: kept(held=2), "2 holds are still open"),
        (
            lambda: kept(entries=[entry(key="europe")]),
            "an attempt is booked on key europe, and key anywhere asked",
        ),
        (lambda: kept(entries=[]), "main-eu bills 10 + 20 tokens, and 0 + 0 are booked"),
        (lambda: kept(entries=[entry(), entry()]), "main-eu bills 10 + 20 tokens, and 20 + 40 are booked"),
        (lambda: kept(entries=[entry(output=21)]), "main-eu bills 10 + 20 tokens, and 10 + 21 are booked"),
        (lambda: kept(entries=[entry(outcome="failed")]), "10 + 20 tokens, and 0 + 0 are booked"),
        (lambda: kept(entries=[entry("claude")]), "main-eu bills 10 + 20 tokens, and 0 + 0 are booked"),
        (lambda: kept(entries=[entry(cost=COST * 2)]), "main-eu bills $0.000210, and $0.000420 are booked"),
        (lambda: kept(entries=[entry(cost=None)]), "main-eu bills $0.000210, and $0.000000 are booked"),
        (
            lambda: kept(received={"main-eu": [received(fault=Slow(0.1))]}, entries=[]),
            "main-eu bills 10 + 20 tokens, and 0 + 0 are booked",
        ),
    ],
)
def test_budget(record: Callable[[], Record], evidence: str) -> None:
    """What a provider bills is booked once, at its price, on the key that asked; and no hold stays open."""
    assert evidence in broken(record())["budget"]


@pytest.mark.parametrize(
    ("record", "evidence"),
    [
        (
            lambda: planted(PLANTED["secrets"], at="main-eu"),
            "main-eu received what rule secrets must redact there",
        ),
        (
            lambda: planted(PLANTED["personal_data"], at="main"),
            "main received what rule personal_data must redact there",
        ),
        (
            lambda: planted(*PLANTED.values(), at="claude"),
            "rule secrets must redact there; claude received what",
        ),
    ],
)
def test_guardrails(record: Callable[[], Record], evidence: str) -> None:
    """No target receives a text that a rule must take out or block for it."""
    assert evidence in broken(record())["guardrails"]


@pytest.mark.parametrize(
    ("record", "evidence"),
    [
        (lambda: kept(streamed=True, replies=[stream(b"")]), "the stream of main-eu has no proper end"),
        (lambda: kept(streamed=True, replies=[stream(FAILED)]), "the stream of main-eu has no proper end"),
        (
            lambda: kept(streamed=True, replies=[stream(FAILED + DONE)]),
            "the stream of main-eu has no proper end",
        ),
        (lambda: kept(streamed=True, replies=[answer()]), "the stream of main-eu has no proper end"),
        (lambda: kept(replies=[stream()]), "the answer of main-eu is none in the caller's dialect"),
        (
            lambda: kept(replies=[answer()._replace(body=b"<html>")]),
            "the answer of main-eu is none in the caller's",
        ),
        (
            lambda: kept(replies=[answer()._replace(body=b'{"type":"message","content":[]}')]),
            "none in the caller's",
        ),
        (
            lambda: nobody(replies=[refusal()._replace(body=b"oops")]),
            "a 503 without an error in the caller's dialect",
        ),
        (
            lambda: nobody(replies=[refusal()._replace(body=b"")]),
            "a 503 without an error in the caller's dialect",
        ),
        (
            lambda: nobody(replies=[refusal(code="")._replace(body=b'{"error":"no"}')]),
            "a 503 without an error",
        ),
        (
            lambda: nobody(
                replies=[
                    refusal()._replace(
                        body=b'{"type":"error","error":{"type":"overloaded_error","message":"no"}}'
                    )
                ]
            ),
            "a 503 without an error in the caller's dialect",
        ),
        (lambda: cut(stream(DONE, "main", None)), "a stream that broke does not end with one error event"),
        (lambda: cut(stream(b"", "main", None)), "a stream that broke does not end with one error event"),
        (lambda: cut(stream(FAILED + DONE, "main", None)), "a stream that broke does not end with one error"),
        (
            lambda: cut(stream(FAILED + FAILED, "main", None)),
            "a stream that broke does not end with one error",
        ),
    ],
)
def test_format(record: Callable[[], Record], evidence: str) -> None:
    """Answers, streams and errors are whole and in the caller's dialect; a broken stream says so once."""
    assert evidence in broken(record()).get("format", "")


@pytest.mark.parametrize(
    ("record", "evidence"),
    [
        (
            lambda: kept(replies=[answer(says=None)]),
            "main-eu answered in place of a preferred target, and no header",
        ),
        (
            lambda: kept(replies=[answer(says="rate_limited")]),
            "x-standby-degraded says rate_limited, where overloaded, upstream_5xx is true",
        ),
        (
            lambda: kept(replies=[answer(says="policy.region")]),
            "x-standby-degraded says policy.region, where",
        ),
        (
            lambda: healthy(replies=[answer("main", "overloaded")]),
            "x-standby-degraded says overloaded, where nothing is true",
        ),
        (lambda: europe(replies=[answer(says=None)]), "main-eu answered in place of a preferred target"),
        (lambda: kept(conditions=frozenset[str]()), "1 answers came from alternates, and no alert is raised"),
        (
            lambda: kept(conditions=frozenset({"store_down"})),
            "1 answers came from alternates, and no alert is raised",
        ),
        (lambda: nobody(conditions=frozenset[str]()), "nobody answered, and no alert is raised"),
    ],
)
def test_alert(record: Callable[[], Record], evidence: str) -> None:
    """An answer in another's place says so, with a cause that is true, and what lasts raises an alert."""
    assert evidence in broken(record())["alert"]


@pytest.mark.parametrize(
    ("record", "evidence"),
    [
        (lambda: kept(replies=[answer(**{"x-standby-attempts": "4"})]), "a request had 4 attempts"),
        (lambda: kept(received={"main": [received(billed=False)] * 4}), "1 requests became 4"),
        (lambda: kept(max_attempts=1), "1 requests became 2"),
        (lambda: kept(busy={"eu large": 101}), "main-eu had 101 requests at once, and allows 100"),
    ],
)
def test_load(record: Callable[[], Record], evidence: str) -> None:
    """Attempts stay within what Failover allows, and requests at once within a target's connections."""
    assert evidence in broken(record())["load"]


def test_a_machine_that_was_too_busy() -> None:
    """Evidence of a broken promise says so, if this machine had no time for the drill meanwhile."""
    assert broken(kept(held=2, late=0.5))["budget"] == (
        "2 holds are still open; timers were 0.5 s late: try again when this machine has less to do"
    )
    assert broken(kept(late=0.5)) == {}


def test_the_evidence_of_what_was_kept() -> None:
    """A kept promise has evidence too: who answered, what it cost, what was sent to whom."""
    assert {finding.promise: finding.evidence for finding in findings(kept())} == {
        "routing": "main-eu x1",
        "budget": "1 attempts, $0.000210",
        "guardrails": "2 rules read these requests",
        "format": "1 answers",
        "alert": "overloaded, pool_degraded",
        "load": "main 1, main-eu 1",
    }
