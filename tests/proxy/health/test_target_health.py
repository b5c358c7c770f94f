"""Target health: when a target is blocked, for how long, and how it recovers."""

from __future__ import annotations

from typing import Final, get_args

import pytest
from standby.proxy.classify.faults import RULES, Fault, FaultKind, Rejection
from standby.proxy.health.breaker import LEAST, WINDOW
from standby.proxy.health.target_health import (
    CLOSE_AFTER,
    COOLDOWN,
    LONG_COOLDOWN,
    MAX_OPEN,
    OPEN,
    PROBING,
    SLOW_START,
    TRIP,
    Health,
    Permit,
)

__all__: list[str] = []

FAILED: Final = Fault("upstream_5xx", 500)


class Ward:
    """Health with a manual clock, and one target in it."""

    def __init__(self, jitter: float = 1.0) -> None:
        self.now = 1000.0
        self.health = Health(lambda: self.now, lambda: jitter)
        self.under_way: list[Permit] = []

    def enter(self, target: str = "t", operation: str = "chat", credential: str = "c") -> Rejection | None:
        """Call `enter` for the target."""
        entered = self.health.enter(target, credential, operation)
        if isinstance(entered, Rejection):
            return entered
        self.under_way.append(entered)
        return None

    def record(
        self,
        fault: Fault | None = None,
        *,
        proved: bool = True,
        target: str = "t",
        operation: str = "chat",
        which: int = -1,
    ) -> None:
        """End the last attempt (or `which`) with this result, or one that is unknown to the health."""
        entry = self.under_way.pop(which) if self.under_way else Permit(target, "c", operation)
        self.health.record(entry, fault, proved=proved)

    def attempt(self, fault: Fault | None = None, *, proved: bool = True) -> bool:
        """Run one attempt from beginning to end. Returns False if it was rejected."""
        if self.enter() is not None:
            return False
        self.record(fault, proved=proved)
        return True

    def trip(self) -> None:
        """Open the breaker."""
        for _ in range(TRIP):
            assert self.attempt(FAILED)

    def rejection(self) -> Rejection | None:
        """The current rejection of an attempt, or None."""
        return self.health.rejection("t", "c", "chat")


@pytest.fixture
def ward() -> Ward:
    """A healthy target, and jitter at its maximum, so that the open time is as long as possible."""
    return Ward()


FAILURES: Final = [kind for kind in get_args(FaultKind) if RULES[kind].health == "failure"]
SILENT: Final = ("local_overload", "policy")
"""Faults of the gateway itself, which show nothing about the target."""


@pytest.mark.parametrize("kind", FAILURES)
def test_five_failures_in_a_row_open_a_breaker(ward: Ward, kind: FaultKind) -> None:
    """The fifth failure opens the breaker, the fourth does not."""
    for _ in range(TRIP - 1):
        assert ward.attempt(Fault(kind))
    assert ward.rejection() is None
    assert ward.attempt(Fault(kind))
    assert ward.rejection() == Rejection("health.breaker_open", OPEN)


def test_an_answer_between_failures_starts_the_count_again(ward: Ward) -> None:
    """Only consecutive failures count."""
    for _ in range(LEAST // TRIP):
        for _ in range(TRIP - 1):
            ward.attempt(FAILED)
        ward.attempt()
        ward.now += WINDOW  # or their share would count
    assert ward.rejection() is None


@pytest.mark.parametrize(
    "kind", ["bad_request", "context_overflow", "content_refused", "incompatible", "conflict"]
)
def test_a_refusal_is_an_answer(ward: Ward, kind: FaultKind) -> None:
    """A target that rejects a request properly is alive: the breaker never opens, and the count is reset."""
    for _ in range(3 * TRIP):
        ward.attempt(Fault(kind, 400))
    assert ward.rejection() is None
    for _ in range(TRIP - 1):
        ward.attempt(FAILED)
    ward.attempt(Fault(kind, 400))
    ward.attempt(FAILED)
    assert ward.rejection() is None


@pytest.mark.parametrize("kind", SILENT)
def test_our_own_faults_say_nothing_of_the_target(ward: Ward, kind: FaultKind) -> None:
    """A fault of the gateway neither counts as a failure, nor resets the count of failures."""
    for _ in range(3 * TRIP):
        ward.attempt(Fault(kind))
    assert ward.rejection() is None
    for _ in range(TRIP):
        ward.attempt(FAILED)
        ward.attempt(Fault(kind))
    assert ward.rejection() is not None


@pytest.mark.parametrize("kind", SILENT)
def test_our_own_faults_close_no_breaker(ward: Ward, kind: FaultKind) -> None:
    """A probe that never reached its target has no result, and another probe is admitted."""
    ward.trip()
    ward.now += OPEN
    for _ in range(3 * CLOSE_AFTER):
        assert ward.attempt(Fault(kind))
    assert ward.attempt(FAILED)
    assert ward.rejection() is not None


def test_a_hang_up_says_nothing_of_the_target(ward: Ward) -> None:
    """Attempts whose client left count neither as failures nor as successes."""
    for _ in range(TRIP):
        ward.attempt(FAILED)
        ward.attempt(proved=False)
    assert ward.rejection() is not None


def test_while_it_is_open_nobody_is_let_in(ward: Ward) -> None:
    """A rejection contains the seconds until the target may be tried again."""
    ward.trip()
    ward.now += OPEN - 1
    assert ward.enter() == Rejection("health.breaker_open", 1.0)


def test_after_the_rest_one_probe_goes_through(ward: Ward) -> None:
    """While the probe is in flight other attempts are rejected."""
    ward.trip()
    ward.now += OPEN
    assert ward.rejection() is None
    assert ward.enter() is None
    assert ward.enter() == Rejection("health.breaker_open", PROBING)


def test_two_good_probes_close_it(ward: Ward) -> None:
    """After the second successful probe the breaker is closed: five failures open it again."""
    ward.trip()
    ward.now += OPEN
    for _ in range(CLOSE_AFTER):
        assert ward.attempt()
    assert ward.enter() is None
    assert ward.enter() is None
    for _ in range(TRIP - 1):
        ward.record(FAILED)
    assert ward.rejection() is None


def test_a_failed_probe_opens_it_for_twice_as_long(ward: Ward) -> None:
    """The open time doubles: 5 s, 10 s, 20 s, and at most 300 s."""
    ward.trip()
    rests: list[float] = []
    for _ in range(9):
        rejection = ward.health.rejection("t", "c", "chat")
        assert rejection is not None
        assert rejection.ready_in is not None
        rests.append(rejection.ready_in)
        ward.now += rests[-1]
        assert ward.attempt(FAILED)
    assert rests == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, MAX_OPEN, MAX_OPEN, MAX_OPEN]


def test_a_failure_after_one_good_probe_opens_it_again(ward: Ward) -> None:
    """One successful probe does not close the breaker, and the successes must be consecutive."""
    ward.trip()
    ward.now += OPEN
    assert ward.attempt()
    assert ward.attempt(FAILED)
    assert ward.rejection() == Rejection("health.breaker_open", 2 * OPEN)
    ward.now += 2 * OPEN
    assert ward.attempt()
    assert ward.attempt()
    assert ward.rejection() is None


def test_an_outage_of_weeks(ward: Ward) -> None:
    """However often a target has failed, it is still probed, and can recover."""
    ward.trip()
    for _ in range(5000):
        ward.now += MAX_OPEN
        assert ward.attempt(FAILED)
    ward.now += MAX_OPEN
    assert all(ward.attempt() for _ in range(CLOSE_AFTER))
    assert ward.rejection() is None


@pytest.mark.parametrize(("jitter", "rest"), [(0.0, OPEN / 2), (0.5, 0.75 * OPEN), (1.0, OPEN)])
def test_jitter(jitter: float, rest: float) -> None:
    """Half of the open time is random, so that replicas do not probe together."""
    ward = Ward(jitter)
    ward.trip()
    assert ward.rejection() == Rejection("health.breaker_open", rest)


def test_a_probe_whose_client_left_is_repeated(ward: Ward) -> None:
    """After recovery the breaker works again at once, with the first open time."""
    ward.trip()
    ward.now += OPEN
    assert ward.attempt(proved=False)
    assert ward.rejection() is None
    assert ward.attempt()
    assert ward.attempt()
    assert ward.rejection() is None


@pytest.mark.parametrize("late", [None, FAILED])
def test_an_older_attempt_is_no_probe(ward: Ward, late: Fault | None) -> None:
    """An attempt that began before the breaker opened neither ends the probe in flight nor is a probe."""
    assert ward.enter() is None
    ward.trip()
    ward.now += OPEN
    assert ward.enter() is None
    ward.record(late, proved=late is not None, which=0)
    assert ward.enter() is not None


def test_failures_that_come_late_do_not_prolong_the_rest(ward: Ward) -> None:
    """Attempts in flight when the breaker opens fail for the same reason, and are counted once."""
    for _ in range(3 * TRIP):
        assert ward.enter() is None
    for _ in range(3 * TRIP):
        ward.record(FAILED)
    assert ward.rejection() == Rejection("health.breaker_open", OPEN)


def test_operations_have_breakers_of_their_own(ward: Ward) -> None:
    """A provider can be healthy for embeddings and failing for chat."""
    ward.trip()
    assert ward.enter("t", "embeddings") is None
    ward.record(operation="embeddings")
    assert ward.enter("t", "chat") is not None


def test_targets_have_health_of_their_own(ward: Ward) -> None:
    """Another target is not affected, even at the same provider."""
    ward.trip()
    ward.record(Fault("rate_limited", 429, None, 30.0))
    assert ward.enter("other") is None


@pytest.mark.parametrize(
    "fault", [Fault("target_missing", 404), Fault("upstream_auth", 403, rests="operation")]
)
def test_what_is_missing_for_one_operation(ward: Ward, fault: Fault) -> None:
    """A missing model or permission blocks the target for that operation only."""
    assert ward.attempt(fault)
    assert ward.rejection() == Rejection("health.cooldown", LONG_COOLDOWN)
    assert ward.enter("t", "embeddings") is None


@pytest.mark.parametrize(
    ("fault", "rest"),
    [
        (Fault("rate_limited", 429, None, 30.0), 30.0),
        (Fault("rate_limited", 429), COOLDOWN),
        (Fault("ramp_limited", 429, None, 2.5), 2.5),
        (Fault("quota", 429, None, 1.0), LONG_COOLDOWN),
        (Fault("upstream_auth", 401), LONG_COOLDOWN),
        (Fault("overloaded", 503, None, 12.0), 12.0),
        (Fault("upstream_5xx", 500, None, 7.0), 7.0),
    ],
)
def test_a_cooldown_is_as_long_as_it_was_asked_for(ward: Ward, fault: Fault, rest: float) -> None:
    """One rate limit of the provider blocks the target for every operation."""
    assert ward.attempt(fault)
    assert ward.rejection() == Rejection("health.cooldown", rest)
    assert ward.enter("t", "embeddings") == Rejection("health.cooldown", rest)
    ward.now += rest
    assert ward.enter() is None


def test_a_longer_word_extends_the_rest_and_a_shorter_one_does_not_cut_it(ward: Ward) -> None:
    """The latest end time that the provider has sent counts."""
    ward.record(Fault("rate_limited", 429, None, 30.0))
    ward.now += 10
    ward.record(Fault("rate_limited", 429, None, 5.0))
    assert ward.rejection() == Rejection("health.cooldown", 20.0)
    ward.record(Fault("rate_limited", 429, None, 60.0))
    assert ward.rejection() == Rejection("health.cooldown", 60.0)


def test_an_answer_does_not_cut_a_cooldown(ward: Ward) -> None:
    """The result of an attempt that began before the cooldown does not end it."""
    ward.record(Fault("rate_limited", 429, None, 30.0))
    ward.record()
    assert ward.rejection() == Rejection("health.cooldown", 30.0)


def test_after_a_cooldown_one_probe_goes_through(ward: Ward) -> None:
    """After the cooldown one attempt is admitted, the others wait for its result, then all are admitted."""
    ward.record(Fault("rate_limited", 429, None, 30.0))
    ward.now += 30
    assert ward.enter() is None
    assert ward.enter() == Rejection("health.cooldown", PROBING)
    assert ward.enter("t", "embeddings") == Rejection("health.cooldown", PROBING)
    ward.record()
    assert ward.enter() is None
    assert ward.enter() is None


def test_a_probe_of_a_cooldown_whose_client_left_is_repeated(ward: Ward) -> None:
    """A target that is limited again gets a new cooldown at once."""
    ward.record(Fault("rate_limited", 429, None, 30.0))
    ward.now += 30
    assert ward.attempt(proved=False)
    assert ward.enter() is None
    assert ward.enter() is not None


def test_a_probe_that_is_limited_again(ward: Ward) -> None:
    """The new `Retry-After` counts."""
    ward.record(Fault("rate_limited", 429, None, 30.0))
    ward.now += 30
    assert ward.attempt(Fault("rate_limited", 429, None, 10.0))
    assert ward.rejection() == Rejection("health.cooldown", 10.0)


def test_a_limit_is_no_failure(ward: Ward) -> None:
    """However often a target is rate limited, its breaker does not open."""
    for _ in range(3 * TRIP):
        assert ward.attempt(Fault("rate_limited", 429, None, 1.0))
        ward.now += 1
    assert ward.rejection() is None


def test_a_breaker_and_a_cooldown_at_once(ward: Ward) -> None:
    """Both must be over before a probe is admitted, and one probe counts for both."""
    for _ in range(TRIP):
        ward.record(Fault("overloaded", 503, None, 12.0))
    ward.now += OPEN
    assert ward.rejection() == Rejection("health.cooldown", 12.0 - OPEN)
    ward.now += 12.0 - OPEN
    assert ward.enter() is None
    assert ward.enter() is not None
    ward.record()
    assert ward.attempt()
    assert ward.rejection() is None


def test_health_forgets_the_healthy(ward: Ward) -> None:
    """A recovered target has measurements and no entries in the other tables."""
    ward.trip()
    ward.now += OPEN
    ward.attempt(Fault("rate_limited", 429))
    ward.now += COOLDOWN
    for _ in range(CLOSE_AFTER):
        assert ward.attempt()
    ward.now += SLOW_START
    assert ward.health.ramp("t", "chat") == 1.0
    tables = sorted(name for name, kept in vars(ward.health).items() if isinstance(kept, dict) and kept)
    assert tables == ["_loads", "_measurements"]


def test_a_probe_of_a_target_that_was_removed() -> None:
    """The cooldown of a whole provider goes on to be probed if the target of its probe is removed."""
    now = 0.0
    health = Health(lambda: now)
    entered = health.enter("a", "at-a", "chat")
    assert isinstance(entered, Permit)
    health.record(entered, Fault("upstream_auth", 401), proved=True)
    now = 400.0
    permit = health.enter("a", "at-a", "chat")
    assert isinstance(permit, Permit)
    health.keep({"twin"})
    health.record(permit, None, proved=True)
    assert isinstance(health.enter("twin", "at-a", "chat"), Permit)
