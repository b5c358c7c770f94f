"""The latency of one target for one operation."""

from __future__ import annotations

import pytest
from standby.proxy.health.latency import Latency
from standby.proxy.health.percentiles import ERROR

__all__: list[str] = []


def test_first_token_and_total_are_kept_apart() -> None:
    """An answer counts for what is known of it: a stream that broke has a first token and no end."""
    latency = Latency()
    for _ in range(20):
        latency.record(1.0, first_token=0.5, total=9.0)
        latency.record(1.0, first_token=0.5)
        latency.record(1.0)
    assert latency.first_token.percentiles(1.0).samples == 40
    assert latency.total.percentiles(1.0).samples == 20


def test_a_reader_of_a_stream_waits_for_its_beginning() -> None:
    """What is expected is the first token for a stream and the end for the rest, None while unknown."""
    latency = Latency()
    assert latency.expected(1.0, streamed=True) is None
    for _ in range(20):
        latency.record(1.0, first_token=0.5, total=9.0)
    assert latency.expected(1.0, streamed=True) == pytest.approx(0.5, rel=ERROR)
    assert latency.expected(1.0, streamed=False) == pytest.approx(9.0, rel=ERROR)


def test_slowness_is_told_against_what_is_usual() -> None:
    """A target that takes 30 s instead of 2 s is fifteen times slower than usual; without a past, unknown."""
    latency = Latency()
    for now in range(600):
        latency.record(now, first_token=2.0)
    assert latency.slowdown(600) == pytest.approx(1.0)
    for now in range(600, 660):
        latency.record(now, first_token=30.0)
    assert latency.slowdown(660) == pytest.approx(15.0, rel=2.1 * ERROR)
    assert latency.slowdown(1_000) is None
    assert Latency().slowdown(0.0) is None
