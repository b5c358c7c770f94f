"""Tests of Estimate: estimated cost, spending of attempts, and ledger entries."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import orjson
from standby.proxy.budget.accounts import Amounts
from standby.proxy.budget.estimate import Charge, Estimate
from standby.proxy.classify.answer import Answer
from standby.proxy.classify.faults import Fault
from standby.proxy.config import Grants, Pool, Portion, Price, Provider, Target
from standby.proxy.dialects import chat
from standby.proxy.exchange import Candidate, Exchange
from standby.proxy.keys.principal import Principal, ScopeOf

from tests.proxy.harness import pool_of

__all__: list[str] = []

DOLLAR: Final = 10**9


def target(name: str, output: int, region: str = "us", **fields: Any) -> Target:
    """A target with a price of `output` dollars per million output tokens."""
    provider = Provider(name=f"at-{name}", dialect="openai", base_url="http://127.0.0.1:9/v1", region=region)
    price = Price(input=0, output=output * DOLLAR)
    return Target(name=name, provider=provider, model=f"model-{name}", price=price, **fields)


DEAR: Final = target("dear", 1000, "eu")
CHEAP: Final = target("cheap", 10, max_output=50)
FREE: Final = DEAR.model_copy(update={"name": "free", "price": None})


def estimate_of(pool: Pool, charge: Charge = "all", **grants: Any) -> tuple[Estimate, Exchange]:
    """The estimate of a request with at most 100 output tokens, and its exchange."""
    exchange = Exchange(id="req_1", began=0.0, headers=(), operation=chat.OPERATION, pool=pool)
    if grants:
        exchange.principal = Principal((ScopeOf("key", Grants(name="k", **grants)),))
    value = {"model": "support", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
    return Estimate(exchange, value, pool, charge=charge), exchange


def test_the_least_that_a_request_takes() -> None:
    """The minimum of each unit among the targets to which the caller's data may be sent."""
    everywhere, _ = estimate_of(pool_of(DEAR, alternates={CHEAP: {"outage"}}))
    assert (everywhere.minimum().output, everywhere.minimum().cost) == (50, 500_000)
    in_europe, _ = estimate_of(pool_of(DEAR, CHEAP), regions=("eu",))
    assert (in_europe.minimum().output, in_europe.minimum().cost) == (100, 100_000_000)
    nowhere, _ = estimate_of(pool_of(DEAR, CHEAP), regions=("moon",))
    assert nowhere.minimum() == Amounts(1)


def test_the_canary_is_estimated_too() -> None:
    """A request that only the canary can afford is not refused, and its price is compared like any other."""
    pool = pool_of(DEAR).model_copy(update={"canary": Portion(target=CHEAP, share=1.0)})
    estimate, _ = estimate_of(pool)
    assert estimate.minimum().cost == 500_000
    assert estimate.estimates() == {"dear": 100_000_000, "cheap": 500_000}


def test_estimates() -> None:
    """Each target with a price has an estimate. Without a price the cost is 0."""
    estimate, _ = estimate_of(pool_of(DEAR, CHEAP, FREE))
    assert estimate.estimates() == {"dear": 100_000_000, "cheap": 500_000}
    assert estimate.amounts(FREE).cost == 0
    assert estimate.expected(DEAR) is estimate.expected(DEAR)


def test_spending_before_an_attempt() -> None:
    """An attempt without an answer counts with its maximum cost; the current attempt does not count."""
    pricey = DEAR.model_copy(update={"price": Price(input=1000 * DOLLAR)})
    for charge, spends in (("all", True), ("served", False)):
        estimate, exchange = estimate_of(pool_of(pricey), "all" if charge == "all" else "served")
        first = exchange.begin(Candidate("dear", pricey))
        first.sent, first.fault = True, Fault("timeout_first_byte")
        second = exchange.begin(Candidate("dear", pricey))
        second.sent = True
        assert (estimate.spent(second).cost > 0) is spends


def test_spending_beside_an_attempt() -> None:
    """A concurrent attempt counts with its full estimate; once it has ended, with its actual usage."""
    estimate, exchange = estimate_of(pool_of(DEAR))
    first = exchange.begin(Candidate("dear", DEAR))
    second = exchange.begin(Candidate("dear", DEAR), "hedge")
    assert estimate.spent(second) == estimate.amounts(DEAR)
    first.ended = 2.0
    assert estimate.spent(second).cost == 0


def test_attempts_that_overlap() -> None:
    """Each entry has the duration of its own attempt, even if attempts overlap."""
    estimate, exchange = estimate_of(pool_of(DEAR))
    for began, ended in ((100.0, 104.5), (101.0, 104.0)):
        exchange.clock = partial(float, began)
        attempt = exchange.begin(Candidate("dear", DEAR))
        attempt.sent, attempt.ended = True, ended
    assert [line.duration for line in estimate.result(5000.0).entries] == [4.5, 3.0]


def test_a_candidate_of_another_app_has_no_figures() -> None:
    """An attempt without a target has no amounts and no ledger entry."""
    estimate, exchange = estimate_of(pool_of(DEAR))
    exchange.begin(Candidate("theirs"))
    result = estimate.result(10.0)
    assert (result.amounts, result.entries, result.unpriced, result.cost) == ({}, (), (), 0)


def test_lines_of_the_ledger() -> None:
    """Each entry has its attempt's number, fault and duration. An unsent attempt counts no request."""
    estimate, exchange = estimate_of(pool_of(DEAR, CHEAP), pools=("*",))
    exchange.clock = iter((100.0, 103.0, 107.5)).__next__
    first = exchange.begin(Candidate("dear", DEAR))
    first.fault, first.ended = Fault("connect"), 103.0
    second = exchange.begin(Candidate("cheap", CHEAP))
    second.sent, second.fault = True, Fault("upstream_5xx", 500)
    result = estimate.result(5000.0)
    lines = [(line.attempt, line.target, line.fault, line.duration, line.at) for line in result.entries]
    assert lines == [(1, "dear", "connect", 3.0, 5000.0), (2, "cheap", "upstream_5xx", 4.5, 5000.0)]
    assert {line.key for line in result.entries} == {"k"}
    assert {name: amounts.requests for name, amounts in result.amounts.items()} == {"dear": 0, "cheap": 1}


def test_a_models_name_is_cut() -> None:
    """A model name from a provider is cut to 200 characters."""
    estimate, exchange = estimate_of(pool_of(DEAR))
    attempt = exchange.begin(Candidate("dear", DEAR))
    attempt.sent, attempt.answer = True, Answer(chat.OPERATION, streamed=False)
    attempt.answer.start(200, ((b"content-type", b"application/json"),))
    attempt.answer.feed(orjson.dumps({"model": "m" * 10_000, "choices": [{"message": {"content": "Hi"}}]}))
    attempt.answer.end()
    (line,) = estimate.result(10.0).entries
    assert line.model == "m" * 200
