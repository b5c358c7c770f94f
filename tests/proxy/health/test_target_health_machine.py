"""Target health under random sequences of events: one probe at a time, and never stuck."""

from __future__ import annotations

from typing import Final

from hypothesis import example, given, settings
from hypothesis import strategies as st
from standby.proxy.classify.faults import Fault
from standby.proxy.health.target_health import CLOSE_AFTER, LONG_COOLDOWN, MAX_OPEN, Health, Permit

__all__: list[str] = []

FAILED: Final = Fault("upstream_5xx", 500)
OUTCOMES: Final = (
    None,
    FAILED,
    Fault("stream_truncated", 200),
    Fault("overloaded", 503, None, 20.0),
    Fault("rate_limited", 429),
    Fault("rate_limited", 429, None, 60.0),
    Fault("quota", 429),
    Fault("bad_request", 400),
    Fault("local_overload"),
    Fault("policy"),
)
LONGEST: Final = max(MAX_OPEN, LONG_COOLDOWN)


class Traffic:
    """Requests of two operations to one target that begin, succeed, fail or are abandoned, as time passes."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.health = Health(lambda: self.now, lambda: 0.5)
        self.under_way: list[Permit] = []
        self.probes: set[Permit] = set()

    def come(self, operation: str = "chat") -> bool:
        """Begin a request. It is admitted or rejected as `rejection` predicted."""
        free = self.health.rejection("t", "c", operation) is None
        entered = self.health.enter("t", "c", operation)
        assert isinstance(entered, Permit) == free
        if isinstance(entered, Permit):
            self.under_way.append(entered)
            if self.health.rejection("t", "c", operation) is not None:
                self.probes.add(entered)
        return free

    def end(self, which: int, fault: Fault | None, *, proved: bool = True) -> None:
        """End one of the attempts in flight, or let its client hang up."""
        if self.under_way:
            entry = self.under_way.pop(which % len(self.under_way))
            self.health.record(entry, fault, proved=proved)
            self.probes.discard(entry)

    def fall(self) -> None:
        """The target fails five times in a row."""
        for _ in range(5):
            if self.come():
                self.end(-1, FAILED)

    def check(self) -> None:
        """While a probe is in flight no other attempt is admitted, and no wait exceeds the maximum."""
        for probe in self.probes:
            assert self.health.rejection("t", "c", probe.operation) is not None
        for operation in ("chat", "embeddings"):
            rejection = self.health.rejection("t", "c", operation)
            assert rejection is None or 0 < (rejection.ready_in or 0) <= LONGEST + 1e-6  # of float sums

    def recover(self) -> None:
        """Whatever happened before, a target that answers is admitted again, and soon without a limit."""
        while self.under_way:
            self.end(0, None, proved=False)
        for operation in ("chat", "embeddings"):
            self.now += LONGEST
            for _ in range(CLOSE_AFTER):
                assert self.come(operation)
                self.end(-1, None)
            assert self.come(operation)
            assert self.come(operation)
            self.end(-1, None)
            self.end(-1, None)


@settings(max_examples=100)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("come"), st.sampled_from(["chat", "chat", "embeddings"])),
            st.tuples(st.just("end"), st.tuples(st.integers(0, 3), st.sampled_from(OUTCOMES))),
            st.tuples(st.just("leave"), st.integers(0, 3)),
            st.tuples(st.just("wait"), st.sampled_from([0.1, 3.0, 10.0, 60.0, 300.0])),
            st.tuples(st.just("fall"), st.none()),
        ),
        min_size=1,
        max_size=30,
    )
)
@example([("come", "chat"), ("fall", None), ("wait", 10.0), ("come", "chat"), ("leave", 0)])
@example(
    [("come", "chat"), ("fall", None), ("wait", 10.0), ("come", "chat"), ("end", (0, FAILED)), ("wait", 10.0)]
)
def test_any_traffic(events: list[tuple[str, object]]) -> None:
    """There is never more than one probe, a healthy target is admitted eventually, and nothing gets stuck."""
    traffic = Traffic()
    for event in events:
        match event:
            case ("come", str(operation)):
                traffic.come(operation)
            case ("end", (int(which), Fault() | None as fault)):
                traffic.end(which, fault)
            case ("leave", int(which)):
                traffic.end(which, None, proved=False)
            case ("wait", float(seconds)):
                traffic.now += seconds
            case _:
                traffic.fall()
        traffic.check()
    traffic.recover()
