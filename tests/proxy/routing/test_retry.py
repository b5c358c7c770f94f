"""When the same target may be retried."""

from __future__ import annotations

from typing import Final, get_args

import pytest
from standby.proxy.classify.faults import Fault, FaultKind
from standby.proxy.routing.retry import LEAST, LONGEST, MOST, pause

__all__: list[str] = []

HELPED: Final = {"conflict", "timeout", "upstream_5xx", "overloaded"}
TOLD: Final = HELPED | {"rate_limited", "ramp_limited"}


@pytest.mark.parametrize("kind", get_args(FaultKind))
def test_what_may_be_gone_a_moment_later(kind: FaultKind) -> None:
    """Only transient faults are retried, and a rate limit only if the provider says when it ends."""
    assert (pause(Fault(kind, 500), 0.5) is not None) == (kind in HELPED)
    assert (pause(Fault(kind, 500, retry_after=1.0), 0.5) is not None) == (kind in TOLD)


@pytest.mark.parametrize("status", [None, 200])
def test_only_a_refusal_with_a_status(status: int | None) -> None:
    """A timeout of the gateway has already been waited for, and an error in a 200 is not retried."""
    assert pause(Fault("timeout", status), 0.5) is None
    assert pause(Fault("overloaded", status, retry_after=1.0), 0.5) is None


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, LEAST), (0.5, (LEAST + MOST) / 2), (1.0, MOST)])
def test_chance_spreads_it(chance: float, seconds: float) -> None:
    """The delay is from 0.1 to 1 second."""
    assert pause(Fault("upstream_5xx", 500), chance) == pytest.approx(seconds)


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_a_providers_word_is_kept(chance: float) -> None:
    """The delay ends after the provider's `Retry-After`, and there is no retry if that is long."""
    wait = pause(Fault("overloaded", 503, retry_after=LONGEST), chance)
    assert wait is not None
    assert LONGEST < wait <= LONGEST + LEAST
    assert pause(Fault("overloaded", 503, retry_after=LONGEST + 0.1), chance) is None
