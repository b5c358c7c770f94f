"""The latency of one target for one operation."""

from __future__ import annotations

import pytest
from standby.proxy.health.latency import Latency
from standby.proxy.health.percentiles import ERROR

__all__: list[str] = []


def test_a_reader_of_a_stream_waits_for_its_beginning() -> None:
    """The expected latency is the first token for streams and the total otherwise, None while unknown."""
    latency = Latency()
    assert latency.expected(1.0, streamed=True) is None
    for _ in range(20):
        latency.first_token.record(0.5, 1.0)
        latency.total.record(9.0, 1.0)
    assert latency.expected(1.0, streamed=True) == pytest.approx(0.5, rel=ERROR)
    assert latency.expected(1.0, streamed=False) == pytest.approx(9.0, rel=ERROR)
