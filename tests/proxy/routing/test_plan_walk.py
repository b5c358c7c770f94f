"""The walk along a plan: which target is next, and what each fault opens and closes."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.classify.faults import RULES, Fault, FaultKind
from standby.proxy.config import Cause
from standby.proxy.exchange import Candidate, Role
from standby.proxy.routing.plan_walk import PlanWalk

from tests.proxy.harness import target_of

__all__: list[str] = []


def preferred(name: str, context: int | None = None, **fields: Any) -> Candidate:
    """A preferred candidate."""
    return Candidate(name, target_of(name, context=context), **fields)


def alternate(name: str, *causes: Cause, context: int | None = None, **fields: Any) -> Candidate:
    """A candidate that is opened by its causes."""
    return Candidate(name, target_of(name, context=context), frozenset(causes), **fields)


def walk(plan: list[Candidate], *faults: FaultKind, limit: int = 9) -> str:
    """The names of the candidates tried if the first ones fail like this. Checks `opens` at each step."""
    plan_walk, names = PlanWalk(plan, limit), ""
    candidate = plan_walk.next()
    for kind in faults:
        if candidate is None:
            break
        names += candidate.name
        fault = Fault(kind, 400)
        foreseen = plan_walk.opens(candidate, fault)
        plan_walk.failed(candidate, fault)
        ends = not foreseen and RULES[kind].moves in {"no", "if_failed"}  # its answer is sent
        candidate = None if ends else plan_walk.next()
        assert foreseen == (candidate is not None)
    return names if candidate is None else names + candidate.name


OUTAGE: Final[FaultKind] = "upstream_5xx"


def test_front_to_back() -> None:
    """Candidates are tried in the order of the plan, each once."""
    assert walk([preferred(name) for name in "abc"], OUTAGE, OUTAGE, OUTAGE) == "abc"
    assert PlanWalk([], 3).next() is None


def test_an_alternate_whose_cause_comes_late() -> None:
    """An alternate that was passed over is tried once one of its causes occurs."""
    plan = [preferred("a"), alternate("b", "rate_limited"), alternate("c", "outage")]
    assert walk(plan, OUTAGE, "rate_limited") == "acb"
    resting = [*plan[:2], alternate("c", "outage", rejected="health.cooldown")]
    assert walk(resting, OUTAGE) == "ab"


def test_quality_that_is_left_for_the_end() -> None:
    """A preferred target below the pool's quality opens alternates for outages, and comes last."""
    low = preferred("a", role="last", degraded="policy.quality")
    assert walk([alternate("b", "outage"), alternate("c", "slow"), low], OUTAGE) == "ba"


@pytest.mark.parametrize(("limit", "tried"), [(1, "a"), (2, "ab"), (3, "abc"), (4, "abcd")])
def test_the_limit_of_attempts(limit: int, tried: str) -> None:
    """No more attempts are made than allowed, even if candidates are left."""
    assert walk([preferred(name) for name in "abcd"], OUTAGE, OUTAGE, OUTAGE, OUTAGE, limit=limit) == tried


@pytest.mark.parametrize("kind", get_args(FaultKind))
@pytest.mark.parametrize("cause", get_args(Cause))
def test_a_cause_opens_the_alternates_that_name_it(kind: FaultKind, cause: Cause) -> None:
    """An alternate is tried after a fault of one of its causes, and after no other."""
    rule = RULES[kind]
    opened = rule.moves not in {"no", "if_failed"} and cause in rule.opens
    plan = [preferred("a", 100), alternate("b", cause, context=200)]
    assert walk(plan, kind) == ("ab" if opened else "a")


def test_causes_add_up() -> None:
    """What one candidate's fault has opened stays open after another candidate's fault."""
    plan = [preferred("a"), preferred("b"), alternate("c", "slow"), alternate("d", "rate_limited")]
    assert walk(plan, "timeout", "rate_limited", OUTAGE) == "abcd"


def test_an_alternate_is_not_entered_first() -> None:
    """Without a cause only preferred targets are tried."""
    assert walk([alternate("a", "outage"), preferred("b")]) == "b"


@pytest.mark.parametrize("kind", ["bad_request", "stream_truncated"])
def test_what_never_moves(kind: FaultKind) -> None:
    """A fault that another target would not fix opens nothing."""
    assert not PlanWalk([preferred("a")], 3).opens(preferred("x"), Fault(kind))
    assert walk([preferred("a"), preferred("b")], kind) == "a"


def test_a_bad_request_of_a_fallback() -> None:
    """After another target has failed, one that refuses the request may have a rule of its own."""
    plan = [preferred("a"), alternate("b", "outage"), alternate("c", "outage")]
    assert walk(plan, "overloaded", "bad_request") == "abc"
    resting = [preferred("a", rejected="health.breaker_open"), *plan[1:]]
    assert walk(resting, "bad_request") == "bc"
    larger = [preferred("a", 100), preferred("b", 200), preferred("c", 300)]
    assert walk(larger, "context_overflow", "bad_request") == "abc"
    assert walk(plan, "bad_request") == "a"
    unsure = [preferred("a", presumed=True), alternate("b", "outage"), alternate("c", "outage")]
    assert walk(unsure, "bad_request", "bad_request") == "ab"


def test_who_was_passed_over() -> None:
    """Candidates that were rejected when it was their turn, and no alternate that nothing has opened."""
    resting = [
        preferred("a", rejected="health.breaker_open"),
        alternate("b", "outage", rejected="health.cooldown"),
        alternate("c", "slow", rejected="health.cooldown"),
    ]
    plan_walk = PlanWalk(resting, 3)
    assert plan_walk.passed_over == []
    assert plan_walk.next() is None
    assert plan_walk.passed_over == resting[:2]


def test_a_context_overflow_goes_to_larger_windows_only() -> None:
    """A candidate whose context is not larger than the overflowed one is skipped, preferred or not."""
    plan = [
        preferred("a", 100),
        preferred("b", 100),
        preferred("c"),
        preferred("d", 150),
        alternate("e", "context", context=150),
        alternate("f", "context", context=300),
    ]
    assert walk(plan, "context_overflow") == "ad"
    assert walk(plan, "context_overflow", "context_overflow") == "adf"
    assert walk(plan, "context_overflow", "context_overflow", "context_overflow") == "adf"


def test_an_overflow_still_counts_after_another_fault() -> None:
    """A prompt that overflowed still overflows after another candidate's fault."""
    plan = [preferred("a", 100), preferred("b", 200), preferred("c", 50), preferred("d", 300)]
    assert walk(plan, "context_overflow", OUTAGE) == "abd"


def test_a_window_that_nobody_has_declared() -> None:
    """After an overflow no target of unknown size is tried. Any declared size exceeds an unknown one."""
    assert walk([preferred("a", 100), preferred("b")], "context_overflow") == "a"
    assert walk([preferred("a"), preferred("b")], "context_overflow") == "a"
    assert walk([preferred("a"), preferred("b", 1)], "context_overflow") == "ab"


def test_a_refusal_moves_only_where_the_pool_asks_for_it() -> None:
    """Refused content is tried only at alternates that name that cause, and stays refused."""
    plan = [
        preferred("a"),
        preferred("b"),
        alternate("c", "outage", "slow", "rate_limited", "context"),
        alternate("d", "refused"),
        alternate("e", "outage"),
        alternate("f", "refused", "outage"),
    ]
    assert walk(plan, "content_refused", OUTAGE) == "adf"
    assert walk(plan, OUTAGE, "content_refused") == "abd"


@pytest.mark.parametrize(
    ("reason", "ready_in", "causes"),
    [
        ("health.cooldown", 5.0, {"rate_limited", "outage"}),
        ("health.breaker_open", 5.0, {"outage"}),
        ("state.bound", None, ()),
        ("state.signed", None, ()),
        ("policy.residency", None, {"outage"}),
        ("policy.price_ratio", None, {"outage"}),
        ("capability.tools", None, {"outage"}),
        ("capability.context_window", None, {"context"}),
        ("deadline.too_short", None, {"slow"}),
        ("limit.connections", 1.0, {"rate_limited"}),
        ("disabled", None, {"outage"}),
    ],
)
def test_a_resting_preferred_candidate_opens_alternates(
    reason: str, ready_in: float | None, causes: Container[str]
) -> None:
    """A target that is in cooldown or ineligible is a cause like a fault; state held elsewhere is not."""
    resting = preferred("a", rejected=reason, ready_in=ready_in)
    for cause in get_args(Cause):
        assert walk([resting, alternate("b", cause)]) == ("b" if cause in causes else "")


def test_rejected_candidates_are_never_tried() -> None:
    """Rejected candidates are skipped, and do not count as attempts."""
    plan = [preferred("a", rejected="x"), preferred("b"), preferred("c", rejected="y"), preferred("d")]
    assert walk(plan, OUTAGE, OUTAGE, limit=2) == "bd"


def test_a_resting_candidate_further_on_opens_alternates_too() -> None:
    """A rejected candidate further on opens its alternates too, and `opens` includes them."""
    plan = [
        preferred("a"),
        preferred("b", rejected="health.cooldown", ready_in=5.0),
        alternate("c", "rate_limited"),
    ]
    assert walk(plan, "timeout") == "ac"


def test_an_alternate_that_was_not_open_opens_nothing() -> None:
    """A rejected candidate that would not have been tried anyway opens nothing."""
    plan = [
        preferred("a"),
        alternate("b", "refused", rejected="health.breaker_open", ready_in=5.0),
        alternate("c", "outage"),
    ]
    assert walk(plan, "timeout") == "a"


def test_not_tried_after_all() -> None:
    """A candidate that is rejected when it is tried counts as skipped, not as an attempt."""
    plan = [preferred("a"), alternate("b", "outage"), alternate("c", "outage")]
    plan_walk = PlanWalk(plan, 2)
    first = plan_walk.next()
    assert first is not None
    first.rejected, first.ready_in = "health.breaker_open", 5.0
    plan_walk.not_tried(first)
    assert plan_walk.next() is plan[1]
    assert plan_walk.next() is plan[2]
    assert plan_walk.next() is None


CAUSES = st.none() | st.frozensets(st.sampled_from(get_args(Cause)), min_size=1)
RESTS = st.sampled_from(
    [(None, None), ("health.cooldown", 5.0), ("health.breaker_open", 5.0), ("state.bound", None)]
)


@given(
    st.lists(st.tuples(CAUSES, st.sampled_from([None, 100, 200, 300]), RESTS), max_size=6),
    st.lists(st.sampled_from(get_args(FaultKind)), max_size=6),
    st.integers(1, 4),
)
def test_any_plan(rows: list[Any], faults: list[FaultKind], limit: int) -> None:
    """None is tried twice, rejected or past the limit; only alternates come late; `opens` predicts `next`."""
    plan = [
        Candidate(name, target_of(name, context=context), causes, rejected, ready_in)
        for name, (causes, context, (rejected, ready_in)) in zip("abcdef", rows, strict=False)
    ]
    tried = walk(plan, *faults, limit=limit)
    assert len(tried) <= limit
    assert len(set(tried)) == len(tried)
    always = [candidate.name for candidate in plan if candidate.causes is None and candidate.name in tried]
    assert [name for name in tried if name in always] == always
    assert all(candidate.rejected is None for candidate in plan if candidate.name in tried)


@pytest.mark.parametrize(
    ("reason", "ready_in", "opened"),
    [
        ("budget.exhausted", None, "budget"),
        ("budget.exhausted", 5.0, "budget"),
        ("limit.rate", 5.0, "rate_limited"),
        ("limit.concurrency", 1.0, "rate_limited"),
        ("policy.residency", None, "outage"),
    ],
)
def test_what_a_clearance_refused_opens(reason: str, ready_in: float | None, opened: Cause) -> None:
    """No budget opens alternates for it, a rate limit those for limits, policy those for outages."""
    first = preferred("a")
    others = [alternate(cause, cause) for cause in get_args(Cause)]
    plan_walk = PlanWalk([first, *others], 1)
    assert plan_walk.next() is first
    first.rejected, first.ready_in = reason, ready_in
    plan_walk.not_tried(first)
    candidate = plan_walk.next()
    assert candidate is not None
    assert candidate.name == opened
    assert plan_walk.next() is None


def test_a_degraded_target_opens_alternates_for_slow() -> None:
    """A degraded target opens alternates for "slow" that stand before it too. It must be preferred."""
    degraded = preferred("c", degraded="latency.slo")
    plan = [preferred("a"), alternate("b", "slow"), degraded]
    assert walk(plan, OUTAGE, OUTAGE) == "abc"
    roles: tuple[Role, ...] = ("canary", "alternate", "last")
    for role in roles:
        degraded.role = role
        assert walk(plan, OUTAGE, OUTAGE) == "ac"


def test_besides() -> None:
    """A hedge goes to the next open candidate, or one open for "slow"; the others keep their places."""
    plan = [preferred("a"), alternate("b", "outage"), alternate("c", "slow"), preferred("d")]
    plan_walk = PlanWalk(plan, 9)
    assert plan_walk.next() is plan[0]
    assert plan_walk.besides() is plan[2]
    assert plan_walk.opens(plan[0], Fault(OUTAGE))
    plan_walk.failed(plan[0], Fault(OUTAGE))
    plan_walk.failed(plan[2], Fault(OUTAGE))
    assert [plan_walk.next() for _ in range(3)] == [plan[1], plan[3], None]


@pytest.mark.parametrize("less", [{"role": "last"}, {"strips": True}], ids=["low quality", "no reasoning"])
def test_what_gives_less_is_no_hedge(less: dict[str, Any]) -> None:
    """A target below the pool's quality, or without the conversation's reasoning, is for when no other is
    left, not for when another is late."""
    plan_walk = PlanWalk([preferred("a"), preferred("b", **less)], 3)
    plan_walk.next()
    assert plan_walk.besides() is None
    last = plan_walk.next()
    assert last is not None
    assert last.name == "b"


def test_besides_counts_as_an_attempt() -> None:
    """A hedge counts towards the limit, and there is none without an open candidate."""
    plan = [preferred("a"), preferred("b"), preferred("c")]
    plan_walk = PlanWalk(plan, 2)
    plan_walk.next()
    assert plan_walk.besides() is plan[1]
    assert (plan_walk.besides(), plan_walk.next(), plan_walk.again()) == (None, None, False)
    alone = PlanWalk([preferred("a"), alternate("b", "outage"), preferred("c", rejected="state.bound")], 3)
    alone.next()
    assert alone.besides() is None


def test_besides_one_that_rests() -> None:
    """A rejected next candidate opens others to the hedge as well."""
    resting = preferred("b", rejected="health.breaker_open", ready_in=5.0)
    plan = [preferred("a"), resting, alternate("c", "outage")]
    plan_walk = PlanWalk(plan, 3)
    plan_walk.next()
    assert plan_walk.besides() is plan[2]


def test_again() -> None:
    """A retry at a target that was tried counts towards the limit."""
    plan_walk = PlanWalk([preferred("a")], 2)
    plan_walk.next()
    assert (plan_walk.again(), plan_walk.again(), plan_walk.next()) == (True, False, None)
