"""When a pool is healthy, degraded and exhausted, by the health of its targets and by its last requests."""

from __future__ import annotations

import pytest
from standby.proxy.classify.faults import Fault
from standby.proxy.config import Pool
from standby.proxy.health.breaker import TRIP
from standby.proxy.health.pool_state import CALM, LEAST, RECENT, PoolStates
from standby.proxy.health.target_health import Health, Permit

from tests.proxy.harness import pool_of, rest, target_of

__all__: list[str] = []

OUTAGE = Fault("overloaded", 503)


class Watched:
    """A pool of "a" and "b" with the alternate "c", its states, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.health = Health(lambda: self.now, lambda: 0.0)
        self.states = PoolStates(self.health, lambda: self.now, lambda: self.now)
        self.pool: Pool = pool_of(target_of("a"), target_of("b"), alternates={target_of("c"): {"outage"}})

    @property
    def state(self) -> str:
        """What the pool's state is now."""
        return self.states.of("support").state

    def served(self, count: int = 1) -> None:
        """So many requests were served as intended."""
        for _ in range(count):
            self.states.ended(self.pool, "chat", "healthy")

    def degraded(self, count: int = 1, cause: str = "overloaded") -> None:
        """So many requests were served by an alternate."""
        for _ in range(count):
            self.states.ended(self.pool, "chat", "degraded", cause, "a")

    def dies(self, *names: str) -> None:
        """These targets fail until their breakers open."""
        for name in names:
            for _ in range(TRIP):
                rest(self.health, name, OUTAGE)
        self.states.review((self.pool,))

    def recovers(self, *names: str) -> None:
        """These targets prove themselves after their rest."""
        self.now += 300
        for name in names:
            for _ in range(2):
                entry = self.health.enter(name, f"at-{name}", "chat")
                assert isinstance(entry, Permit)
                self.health.record(entry, None, proved=True)


def test_a_failover_now_and_then_is_no_state() -> None:
    """A pool degrades by its requests alone only if at least half of the last ones were served badly."""
    watched = Watched()
    watched.served(RECENT)
    for _ in range(20):
        watched.degraded()
        watched.served(2)
    assert watched.state == "healthy"
    watched.degraded(LEAST)
    found = watched.states.of("support")
    assert (found.state, found.cause, found.target, found.operation) == (
        "degraded",
        "overloaded",
        "a",
        "chat",
    )
    assert found.since == watched.now


@pytest.mark.parametrize(("bad", "good"), [(3, 1), (19, 1), (2, 1), (1, 1)])
def test_a_good_answer_among_bad_ones_ends_nothing(bad: int, good: int) -> None:
    """A pool that is served badly most of the time changes its state once."""
    watched = Watched()
    watched.degraded(LEAST)
    for _ in range(50):
        watched.degraded(bad)
        watched.served(good)
        watched.now += 1
    assert (watched.state, watched.states.of("support").since) == ("degraded", 1000.0)


def test_dead_targets_degrade_a_pool_without_a_request() -> None:
    """With all preferred targets dead a pool is degraded, and exhausted once its alternates are dead too."""
    watched = Watched()
    watched.served()
    watched.dies("a")
    assert watched.state == "healthy"  # b is preferred as well
    watched.dies("b")
    assert watched.state == "degraded"
    assert watched.states.of("support").target == "a"
    watched.dies("c")
    assert watched.state == "exhausted"


def test_it_recovers_when_a_preferred_target_serves_again() -> None:
    """Once nearly all of the last requests were served well by a target that has proved itself."""
    watched = Watched()
    watched.degraded(LEAST)
    watched.dies("a", "b")
    watched.recovers("a")
    watched.degraded()
    watched.served(RECENT - 3)
    assert watched.state == "degraded"
    watched.served()
    found = watched.states.of("support")
    assert (found.state, found.cause, found.target) == ("healthy", None, None)


def test_an_elapsed_rest_proves_nothing() -> None:
    """A target whose rest is over, and that nobody has tried since, keeps its pool degraded."""
    watched = Watched()
    watched.degraded(LEAST)
    watched.dies("a", "b")
    watched.now += 3600
    watched.states.review((watched.pool,))
    assert watched.state == "degraded"


def test_a_quiet_pool_recovers_from_what_its_requests_said() -> None:
    """If no target is known to be unwell, a pool without requests is healthy again after a while."""
    watched = Watched()
    watched.degraded(LEAST)
    watched.now += CALM
    watched.states.review((watched.pool,))
    assert watched.state == "degraded"
    watched.now += 1
    [changed] = watched.states.review((watched.pool,))
    assert (changed.state, watched.state) == ("healthy", "healthy")


def test_what_is_the_callers_own_says_nothing() -> None:
    """A caller whom policy or a budget keeps from a target does not degrade the pool for others."""
    watched = Watched()
    for cause in ("policy.residency", "budget.exhausted", "capability.tools", "state.bound"):
        watched.degraded(LEAST, cause)
    assert watched.state == "healthy"


def test_operations_are_judged_apart() -> None:
    """A pool that fails for one operation is unwell, whatever the others do."""
    watched = Watched()
    watched.served(RECENT)
    for _ in range(LEAST):
        watched.states.ended(watched.pool, "embeddings", "exhausted", "upstream_5xx", "a")
        watched.served()
    found = watched.states.of("support")
    assert (found.state, found.operation) == ("exhausted", "embeddings")


def test_a_pool_that_is_removed_is_forgotten() -> None:
    """After a reload without it nothing is left of a pool's state."""
    watched = Watched()
    watched.degraded(LEAST)
    watched.states.review(())
    assert watched.state == "healthy"
