"""The figures of one request: estimates, spending, and lines of the ledger."""

from __future__ import annotations

from typing import Any, Final

import orjson
from standby.proxy.budget.accounts import Amounts
from standby.proxy.budget.estimate import Charge, Estimate
from standby.proxy.classify.answer import Answer
from standby.proxy.classify.faults import Fault
from standby.proxy.config import Grants, Pool, Price, Provider, Target
from standby.proxy.dialects import chat
from standby.proxy.exchange import Candidate, Exchange
from standby.proxy.keys.principal import Principal, ScopeOf

from tests.proxy.harness import pool_of

__all__: list[str] = []

DOLLAR: Final = 10**9


def target(name: str, output: int, region: str = "us", **fields: Any) -> Target:
    """A target whose million tokens of output cost so many dollars."""
    provider = Provider(name=f"at-{name}", dialect="openai", base_url="http://127.0.0.1:9/v1", region=region)
    price = Price(input=0, output=output * DOLLAR)
    return Target(name=name, provider=provider, model=f"model-{name}", price=price, **fields)


DEAR: Final = target("dear", 1000, "eu")
CHEAP: Final = target("cheap", 10, max_output=50)
FREE: Final = DEAR.model_copy(update={"name": "free", "price": None})


def reckoning(pool: Pool, charge: Charge = "all", **grants: Any) -> tuple[Estimate, Exchange]:
    """Of a request with 100 tokens of output."""
    exchange = Exchange(id="req_1", began=0.0, headers=(), operation=chat.OPERATION, pool=pool)
    if grants:
        exchange.principal = Principal((ScopeOf("key", Grants(name="k", **grants)),))
    value = {"model": "support", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
    return Estimate(exchange, value, pool, charge=charge), exchange


def test_the_least_that_a_request_takes() -> None:
    """Of each unit the least that any target takes to which the caller's data may go."""
    everywhere, _ = reckoning(pool_of(DEAR, alternates={CHEAP: {"outage"}}))
    assert (everywhere.least().output, everywhere.least().cost) == (50, 500_000)
    in_europe, _ = reckoning(pool_of(DEAR, CHEAP), regions=("eu",))
    assert (in_europe.least().output, in_europe.least().cost) == (100, 100_000_000)
    nowhere, _ = reckoning(pool_of(DEAR, CHEAP), regions=("moon",))
    assert nowhere.least() == Amounts(1)


def test_estimates() -> None:
    """There is one for each target that has a price; without one an attempt costs nothing that is known."""
    made, _ = reckoning(pool_of(DEAR, CHEAP, FREE))
    assert made.estimates() == {"dear": 100_000_000, "cheap": 500_000}
    assert made.amounts(FREE).cost == 0
    assert made.expected(DEAR) is made.expected(DEAR)


def test_spending_before_an_attempt() -> None:
    """Attempts that were sent and never heard of count at what they may have cost; itself does not count."""
    pricey = DEAR.model_copy(update={"price": Price(input=1000 * DOLLAR)})
    for charge, spends in (("all", True), ("served", False)):
        made, exchange = reckoning(pool_of(pricey), "all" if charge == "all" else "served")
        first = exchange.begin(Candidate("dear", pricey), 0.0)
        first.sent, first.fault = True, Fault("timeout_first_byte")
        second = exchange.begin(Candidate("dear", pricey), 1.0)
        second.sent = True
        assert (made.spent(second).cost > 0) is spends


def test_spending_beside_an_attempt() -> None:
    """One that is under way beside the next counts at all it may take; one that is over does not."""
    made, exchange = reckoning(pool_of(DEAR))
    first = exchange.begin(Candidate("dear", DEAR), 0.0)
    second = exchange.begin(Candidate("dear", DEAR), 1.0, "hedge")
    assert made.spent(second) == made.amounts(DEAR)
    first.ended = 2.0
    assert made.spent(second).cost == 0


def test_attempts_that_overlap() -> None:
    """Each is told with its own time, whichever began first."""
    made, exchange = reckoning(pool_of(DEAR))
    for began, ended in ((100.0, 104.5), (101.0, 104.0)):
        attempt = exchange.begin(Candidate("dear", DEAR), began)
        attempt.sent, attempt.ended = True, ended
    assert [line.duration for line in made.result(5000.0, 110.0).entries] == [4.5, 3.0]


def test_a_candidate_of_another_app_has_no_figures() -> None:
    """Without a target there is nothing to reckon with."""
    made, exchange = reckoning(pool_of(DEAR))
    exchange.begin(Candidate("theirs"), 0.0)
    result = made.result(10.0, 1.0)
    assert (result.amounts, result.entries, result.unpriced, result.cost) == ({}, (), (), 0)


def test_lines_of_the_ledger() -> None:
    """Each has its attempt's number, fault and time; what was never sent asked nobody."""
    made, exchange = reckoning(pool_of(DEAR, CHEAP), pools=("*",))
    first = exchange.begin(Candidate("dear", DEAR), 100.0)
    first.fault, first.ended = Fault("connect"), 103.0
    second = exchange.begin(Candidate("cheap", CHEAP), 103.0)
    second.sent, second.fault = True, Fault("upstream_5xx", 500)
    result = made.result(5000.0, 107.5)
    lines = [(line.attempt, line.target, line.fault, line.duration, line.at) for line in result.entries]
    assert lines == [(1, "dear", "connect", 3.0, 5000.0), (2, "cheap", "upstream_5xx", 4.5, 5000.0)]
    assert {line.key for line in result.entries} == {"k"}
    assert {name: amounts.requests for name, amounts in result.amounts.items()} == {"dear": 0, "cheap": 1}


def test_a_models_name_is_cut() -> None:
    """Providers choose it and the ledger keeps it: of a name without end only the beginning is kept."""
    made, exchange = reckoning(pool_of(DEAR))
    attempt = exchange.begin(Candidate("dear", DEAR), 0.0)
    attempt.sent, attempt.answer = True, Answer(chat.OPERATION, streamed=False)
    attempt.answer.start(200, ((b"content-type", b"application/json"),))
    attempt.answer.feed(orjson.dumps({"model": "m" * 10_000, "choices": [{"message": {"content": "Hi"}}]}))
    attempt.answer.end()
    (line,) = made.result(10.0, 1.0).entries
    assert line.model == "m" * 256
