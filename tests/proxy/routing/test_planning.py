"""The position of each target of a pool in the plan."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.classify.faults import Fault
from standby.proxy.config import Alternate, Key, Pool, Portion, Slow, Target
from standby.proxy.exchange import Candidate
from standby.proxy.health.target_health import TRIP, Health, Permit
from standby.proxy.keys.principal import Principal
from standby.proxy.routing.balance import Balancer
from standby.proxy.routing.planning import plan
from standby.proxy.routing.requirements import Requirements
from standby.proxy.routing.route_inputs import RouteInputs

from tests.proxy.harness import price, rest, target_of

__all__: list[str] = []

NEEDS = Requirements("chat", frozenset({"chat"}), input_tokens=100, room=100, output_tokens=100)
A, B, C, D = (target_of(name) for name in "abcd")


def pool(*prefer: Target, alternates: dict[Target, set[Any]] | None = None, **fields: Any) -> Pool:
    others = [
        Alternate(target=candidate, causes=frozenset(why)) for candidate, why in (alternates or {}).items()
    ]
    return Pool(name="support", prefer=prefer, alternates=tuple(others), **fields)


def planned(of: Pool, health: Health | None = None, **facts: Any) -> tuple[Candidate, ...]:
    facts.setdefault("needs", NEEDS)
    return plan(RouteInputs(of, **facts), health or Health(lambda: 0.0), Balancer(lambda: 0.5))


def order(candidates: tuple[Candidate, ...]) -> list[str]:
    """Names in order, with rejected ones in brackets."""
    return [
        candidate.name if candidate.rejected is None else f"({candidate.name})" for candidate in candidates
    ]


def trip(health: Health, name: str) -> None:
    for _ in range(TRIP):
        rest(health, name, Fault("upstream_5xx", 500))


def test_as_written() -> None:
    """Preferred targets in their order, then alternates with the causes that open them."""
    candidates = planned(pool(B, A, alternates={D: {"slow"}, C: {"context"}}))
    assert order(candidates) == ["b", "a", "d", "c"]
    assert [candidate.causes for candidate in candidates] == [None, None, {"slow"}, {"context"}]
    assert [candidate.role for candidate in candidates] == ["prefer", "prefer", "alternate", "alternate"]


def test_load_is_spread_over_the_preferred() -> None:
    """For any algorithm, alternates get no share of the load."""
    balancer = Balancer()
    of = pool(target_of("a", weight=3), B, balance="weighted", alternates={C: {"outage"}})
    first = Counter(plan(RouteInputs(of, NEEDS), Health(), balancer)[0].name for _ in range(400))
    assert first == {"a": 300, "b": 100}


def test_who_rests_is_told_first() -> None:
    """A rejected preferred target comes before its alternates, so that its causes count."""
    health = Health(lambda: 0.0)
    trip(health, "b")
    assert order(planned(pool(A, B, C, balance="weighted"), health)) == ["(b)", "a", "c"]


def test_a_sticky_caller_stays() -> None:
    """The same key gives the same first target. Without a target, only its own callers move."""
    of = pool(A, B, C, balance="weighted", sticky="user")
    before = {key: planned(of, key=key)[0].name for key in map(str, range(50))}
    assert before == {key: planned(of, key=key)[0].name for key in before}
    health = Health(lambda: 0.0)
    trip(health, "b")
    after = {key: order(planned(of, health, key=key))[1] for key in before}
    assert {key for key in before if before[key] != after[key]} == {
        key for key, name in before.items() if name == "b"
    }


def test_a_full_target_is_passed_over() -> None:
    """A target with all its connections in use is skipped for another one."""
    health = Health(lambda: 0.0)
    small = target_of("a", connections=1)
    health.enter("a", "at-a", "chat")
    candidates = planned(pool(small, B), health)
    assert order(candidates) == ["(a)", "b"]
    assert (candidates[0].rejected, candidates[0].ready_in) == ("limit.concurrency", 1.0)


def test_a_full_target_is_waited_for_where_there_is_no_other() -> None:
    """A full target is not skipped if no alternate has a matching cause."""
    health = Health(lambda: 0.0)
    small = target_of("a", connections=1)
    health.enter("a", "at-a", "chat")
    assert order(planned(pool(small), health)) == ["a"]
    assert order(planned(pool(small, alternates={B: {"context"}}), health)) == ["a", "b"]
    assert order(planned(pool(small, alternates={B: {"rate_limited"}}), health)) == ["(a)", "b"]


def test_low_quality_is_not_asked() -> None:
    """A pool that refuses when it is exhausted does not use a target below its quality."""
    good, poor = target_of("a", quality=3), target_of("b", quality=1)
    candidates = planned(pool(good, poor, min_quality=2))
    assert (order(candidates), candidates[0].rejected) == (["(b)", "a"], "policy.quality")


def test_low_quality_is_the_last() -> None:
    """A pool that degrades uses it when no other target is left, whatever its role."""
    good, poor, worse = target_of("a", quality=3), target_of("b", quality=1), target_of("c", quality=0)
    candidates = planned(
        pool(poor, good, min_quality=2, when_exhausted="degrade", alternates={worse: {"context"}})
    )
    assert order(candidates) == ["a", "b", "c"]
    assert [(candidate.role, candidate.causes) for candidate in candidates[1:]] == [("last", None)] * 2


def test_too_dear_a_downgrade() -> None:
    """The ratio compares the cost of this request with that at the first preferred target."""
    first = target_of("a", price=price(input="1.00", output="1.00"))
    twice = target_of("b", price=price(input="1.00", output="3.00"))
    more = target_of("c", price=price(input="1.00", output="3.01"))
    candidates = planned(pool(first, alternates={twice: {"outage"}, more: {"outage"}}, max_price_ratio=2.0))
    assert [candidate.rejected for candidate in candidates] == [None, None, "policy.price_ratio"]


def test_the_cheapest_for_this_request() -> None:
    """The size of this request counts, not the price per token."""
    reads = target_of("a", price=price(input="1.00", output="9.00"))
    writes = target_of("b", price=price(input="9.00", output="1.00"))
    of = pool(reads, writes, balance="cheapest")
    assert order(planned(of, needs=NEEDS._replace(input_tokens=10, output_tokens=1000))) == ["b", "a"]
    assert order(planned(of, needs=NEEDS._replace(input_tokens=1000, output_tokens=10))) == ["a", "b"]


def test_a_low_budget_reroutes() -> None:
    """From the share on, the cheapest is first, and alternates for budgets are among the preferred."""
    dear, cheap, free = (target_of(name, price=price(input="1.00")) for name in "abc")
    of = pool(dear, alternates={cheap: {"budget"}, free: {"outage"}}, at_budget={0.8: "cheapest"})
    prices = {"a": 100, "b": 10, "c": 1}
    assert order(planned(of, share=0.79, estimates=prices)) == ["a", "b", "c"]
    candidates = planned(of, share=0.8, estimates=prices)
    assert order(candidates) == ["b", "a", "c"]
    assert [candidate.causes for candidate in candidates] == [None, None, {"outage"}]


def slowed(*names: str) -> Health:
    """These targets have taken ten seconds recently, the others one."""
    now = 0.0
    health = Health(lambda: now)
    for name in "abcd":
        entries = [health.enter(name, f"at-{name}", "chat") for _ in range(20)]
        now += 10.0 if name in names else 1.0
        for entry in entries:
            assert isinstance(entry, Permit)
            health.answered(entry)
            health.record(entry, None, proved=True)
    return health


def test_a_slow_target_is_behind() -> None:
    """A degraded target comes after other preferred ones and alternates for "slow", before the other ones."""
    of = pool(A, B, alternates={C: {"outage"}, D: {"slow"}}, slow=Slow(p95_first_token=4.0))
    candidates = planned(of, slowed("a"))
    assert order(candidates) == ["b", "d", "a", "c"]
    assert [candidate.degraded for candidate in candidates] == [None, None, "latency.slo", None]


def test_a_canary_obeys_the_limits_of_its_pool() -> None:
    """Below the quality of the pool, too dear, or past `at_budget`, it is not first for anybody."""
    new = target_of("new", quality=1, price=price(input="9"))
    canary = Portion(target=new, share=1.0)
    known = target_of("known", quality=5, price=price(input="1"))
    for action in ("refuse", "degrade"):
        of = pool(known, canary=canary, min_quality=2, when_exhausted=action)
        assert order(planned(of)) == ["(new)", "known"]
    assert planned(pool(known, canary=canary, max_price_ratio=2.0))[0].rejected == "policy.price_ratio"
    of = pool(known, canary=canary, at_budget={0.8: "cheapest"})
    assert order(planned(of, share=0.79)) == ["new", "known"]
    assert order(planned(of, share=0.8)) == ["known"]


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_a_canary_is_first_for_its_share(share: float) -> None:
    """The share of callers is always the same callers."""
    of = pool(A, canary=Portion(target=B, share=share))
    tried = [order(planned(of, caller=f"key-{number}")) == ["b", "a"] for number in range(2000)]
    assert abs(sum(tried) / 2000 - share) < 0.03
    assert tried == [order(planned(of, caller=f"key-{number}")) == ["b", "a"] for number in range(2000)]


def test_policy_holds_for_every_role() -> None:
    """In no role does a target outside the caller's region serve it: preferred, alternate, canary, last."""
    inside = target_of("a", quality=1)
    outside = [target_of(name, quality=quality) for name, quality in (("b", 3), ("c", 3), ("d", 3), ("e", 1))]
    of = pool(
        outside[0],
        inside,
        alternates={outside[1]: {"outage"}, outside[3]: {"outage"}},
        canary=Portion(target=outside[2], share=1.0),
        min_quality=1,
        when_exhausted="degrade",
    )
    bound = Principal.of(Key(name="bank", hash=("sha256:" + "0" * 64,), pools=("*",), providers=("at-a",)))
    candidates = planned(of, principal=bound)
    assert {candidate.name: candidate.rejected for candidate in candidates} == {
        "a": None,
        **dict.fromkeys("bcde", "policy.provider_denied"),
    }


@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True),
    st.data(),
)
def test_every_target_stands_in_the_plan_once(names: list[str], data: st.DataObject) -> None:
    """For any pool and state of its targets, none is missing, repeated or tried against policy."""
    at = data.draw(st.integers(1, len(names)))
    targets = {
        name: target_of(
            name,
            quality=data.draw(st.integers(0, 3)),
            disabled=data.draw(st.booleans()),
            weight=data.draw(st.sampled_from([0, 1, 2.5])),
        )
        for name in names
    }
    causes = st.sets(st.sampled_from(["outage", "slow", "budget", "context"]), min_size=1)
    of = pool(
        *(targets[name] for name in names[:at]),
        alternates={targets[name]: data.draw(causes) for name in names[at:]},
        balance=data.draw(st.sampled_from(["weighted", "fastest", "cheapest", "least_busy", "priority"])),
        min_quality=data.draw(st.none() | st.integers(0, 3)),
        when_exhausted=data.draw(st.sampled_from(["refuse", "degrade"])),
        at_budget={0.5: "cheapest"},
    )
    health = Health(lambda: 0.0)
    for name in data.draw(st.sets(st.sampled_from(names))):
        trip(health, name)
    allowed = data.draw(st.none() | st.sets(st.sampled_from([f"at-{name}" for name in names]), min_size=1))
    principal = None
    if allowed is not None:
        principal = Principal.of(
            Key(name="k", hash=("sha256:" + "0" * 64,), pools=("*",), providers=tuple(sorted(allowed)))
        )
    candidates = planned(of, health, principal=principal, share=data.draw(st.sampled_from([0.0, 0.9])))
    assert sorted(candidate.name for candidate in candidates) == sorted(names)
    for candidate in candidates:
        if candidate.rejected is None:
            assert not targets[candidate.name].disabled
            assert allowed is None or f"at-{candidate.name}" in allowed
            assert health.rejection(candidate.name, f"at-{candidate.name}", "chat") is None
