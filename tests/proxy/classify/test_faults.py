"""Tests of the table of rules for each kind of fault."""

from __future__ import annotations

from typing import Final, get_args

import pytest
from standby.proxy.classify.faults import RULES, Fault, FaultKind, is_callers

__all__: list[str] = []

# The expected rules: whether to move, the opened causes, the effect on health, the caller's status.
FOLLOWS: Final[dict[FaultKind, tuple[str, tuple[str, ...], str, int | None]]] = {
    "connect": ("yes", ("outage",), "failure", 503),
    "local_overload": ("yes", ("outage",), "none", 503),
    "timeout_first_byte": ("yes", ("slow",), "failure", 504),
    "timeout": ("yes", ("slow",), "failure", 504),
    "conflict": ("yes", ("outage",), "alive", 409),
    "context_overflow": ("larger", ("context",), "alive", None),
    "content_refused": ("opt_in", ("refused",), "alive", None),
    "bad_request": ("if_failed", ("outage",), "alive", None),
    "incompatible": ("yes", ("outage",), "alive", None),
    "quota": ("yes", ("outage",), "long_cooldown", 503),
    "upstream_auth": ("yes", ("outage",), "long_cooldown", 502),
    "target_missing": ("yes", ("outage",), "long_cooldown", 502),
    "rate_limited": ("yes", ("rate_limited",), "cooldown", 429),
    "ramp_limited": ("yes", ("rate_limited",), "cooldown", 429),
    "upstream_5xx": ("yes", ("outage",), "failure", 502),
    "overloaded": ("yes", ("outage",), "failure", 503),
    "bad_response": ("yes", ("outage",), "failure", 502),
    "stream_failed": ("yes", ("outage", "truncated"), "failure", 502),
    "stream_truncated": ("no", ("truncated",), "failure", 502),
    "policy": ("yes", ("outage",), "none", 503),
}


def test_what_follows() -> None:
    """Every kind of fault has a rule, and there are no other rules."""
    assert {kind: tuple(rule) for kind, rule in RULES.items()} == FOLLOWS
    assert set(RULES) == set(get_args(FaultKind))


def test_the_callers_own_key_is_never_blamed() -> None:
    """No fault results in a 401 for the caller: it is the gateway's credential that was rejected."""
    assert 401 not in {rule.status for rule in RULES.values()}


@pytest.mark.parametrize("kind", get_args(FaultKind))
def test_who_sees_a_refusal(kind: FaultKind) -> None:
    """Only errors that the caller can fix are passed on unchanged, and never under a 200."""
    shown = {"context_overflow", "content_refused", "bad_request", "incompatible"}
    assert is_callers(Fault(kind, 400)) == (kind in shown)
    assert not is_callers(Fault(kind, 200))
