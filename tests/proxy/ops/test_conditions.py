"""What is wrong with a gateway, as its operator is told."""

from __future__ import annotations

import pytest
from standby.proxy.classify.faults import Fault
from standby.proxy.config import parse_routes
from standby.proxy.exchange import BudgetUse, Notice
from standby.proxy.health.pool_state import PoolStates
from standby.proxy.health.target_health import Health
from standby.proxy.ops.conditions import conditions, of_event
from standby.proxy.telemetry import names
from standby.proxy.telemetry.budget_gauges import BudgetGauges
from standby.proxy.telemetry.events import LASTS, REMEMBERED, Events

from tests.proxy.harness import pool_of, rest, routes_to, target_of

__all__: list[str] = []


@pytest.mark.parametrize(
    ("fault", "alert"),
    [
        (Fault("upstream_auth", 401), "credential_rejected"),
        (Fault("quota", 429), "quota_exhausted"),
        (Fault("target_missing", 404), "target_missing"),
        (Fault("rate_limited", 429, retry_after=60.0), None),
        (Fault("overloaded", 503, retry_after=60.0), None),
    ],
)
def test_what_waiting_does_not_mend(fault: Fault, alert: str | None) -> None:
    """A rejected key, a used-up quota and a missing model are told; what passes by itself is not."""
    health = Health()
    rest(health, "a", fault)
    found = [each.alert for each in conditions(health, PoolStates(health), (), 0.0)]
    assert found == ([] if alert is None else [alert])


def test_an_exhausted_pool_is_a_degraded_one_too() -> None:
    """So the first alert is not resolved because things got worse."""
    health = Health()
    states, pool = PoolStates(health), pool_of(target_of("a"))
    for _ in range(3):
        states.ended(pool, "chat", "exhausted", "overloaded", "a")
    found = list(conditions(health, states, ("support",), 0.0))
    assert [each.alert for each in found] == ["pool_degraded", "pool_exhausted"]
    assert found[1].text == "pool support is served by no target (target a: overloaded)"
    assert found[1].facts["cause"] == "overloaded"


def test_a_lasting_trouble_is_over_when_nobody_meets_it() -> None:
    """While requests meet it, it is the same; afterwards it is gone, and begins anew."""
    events, trouble = Events(), Notice("store_down", "store", "it does not answer", lasting=True)
    for now in (100.0, 120.0, 140.0):
        events.record(trouble, now)
    [event] = events.present(140.0 + LASTS)
    assert (of_event(event).since, of_event(event).lasting) == (100.0, True)
    assert events.present(141.0 + LASTS) == []
    events.record(trouble, 500.0)
    assert events.present(500.0)[0].since == 500.0


def test_what_has_happened_is_kept_for_a_while() -> None:
    """Each occasion for itself, so that whoever sends alerts next hears of it, and of nothing old."""
    events = Events()
    for window in ("1", "2"):
        events.record(Notice("budget", "ann", "80 %", occasion=window), 100.0)
    assert {of_event(each).key for each in events.present(100.0)} == {"budget ann 1", "budget ann 2"}
    assert events.present(101.0 + REMEMBERED) == []


def test_what_is_left_of_a_budget() -> None:
    """Budgets of the file are measured, and are full again in the next window; keys of a store are not."""
    routes = parse_routes(routes_to("http://127.0.0.1:9/v1").source)
    gauges = BudgetGauges()
    gauges.record(BudgetUse("pool/support", "pool/support cost", 3_000_000_000, 5_000_000_000, 200), routes)
    gauges.record(BudgetUse("key/of-a-store", "key/of-a-store cost", 1, 2, None), routes)
    left = {(each.metric, each.labels): each.value for each in gauges.samples(100.0)}
    assert left == {
        (names.REMAINING, ("pool/support cost",)): 2.0,
        (names.LIMIT, ("pool/support cost",)): 5.0,
    }
    [remaining, _] = gauges.samples(200.0)
    assert remaining.value == 5.0
