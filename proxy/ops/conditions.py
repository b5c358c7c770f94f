"""What is wrong with a gateway now, or has happened, that somebody should be told. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ..health.cooldown import ANY, EVERY_TARGET
from ..health.pool_state import PoolStates
from ..health.target_health import Health
from ..telemetry.events import Event

__all__ = ["Condition", "conditions", "of_event"]

_BY_REASON: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "upstream_auth": ("credential_rejected", "the provider rejects the gateway's key"),
        "quota": ("quota_exhausted", "the account at the provider has no quota or credit left"),
        "target_missing": ("target_missing", "the provider does not have the target's model"),
    }
)
"""Alerts by the kind of the fault that began a cooldown: waiting does not mend these."""


class Condition(NamedTuple):
    """Something that is wrong since a moment, in seconds since 1970.

    `alert` is the kind and `subject` what it is about. `text` says it in a sentence, and `facts` are its
    parts. One that is not `lasting` has happened and will not be resolved; `occasion` tells one time from
    another.
    """

    alert: str
    subject: str
    text: str
    since: float
    facts: Mapping[str, Any] = {}
    lasting: bool = True
    occasion: str = ""

    @property
    def key(self) -> str:
        """What makes two conditions the same."""
        return f"{self.alert} {self.subject} {self.occasion}".rstrip()


def of_event(event: Event) -> Condition:
    """Returns an event of requests as a condition."""
    notice = event.notice
    facts = {"subject": notice.subject}
    return Condition(
        *(notice.alert, notice.subject, notice.text, event.since, facts, notice.lasting, notice.occasion)
    )


def conditions(health: Health, pools: PoolStates, names: Iterable[str], now: float) -> Iterator[Condition]:
    """Yields what is wrong with the pools of these names and with the targets now."""
    for name in names:
        state = pools.of(name)
        if state.state == "healthy":
            continue
        facts = {
            "pool": name,
            "target": state.target,
            "cause": state.cause,
            "operation": state.operation,
            "state": state.state,
        }
        where = f"pool {name}"
        why = f"target {state.target}: {state.cause}"
        # An exhausted pool is a degraded one too, so that one is not resolved because it got worse.
        yield Condition(
            "pool_degraded",
            name,
            f"{where} is served by alternates or slow targets ({why})",
            state.since,
            facts,
        )
        if state.state == "exhausted":
            yield Condition(
                "pool_exhausted", name, f"{where} is served by no target ({why})", state.since, facts
            )
    # Time alone mends none of these: they last until an attempt has shown that they are over.
    for ejection in health.ejections(unproven=True):
        if ejection.kind == "cooldown" and (found := _BY_REASON.get(ejection.reason)) is not None:
            alert, words = found
            operation = "" if ejection.operation == ANY else f" for {ejection.operation}"
            known: dict[str, Any] = {"provider": ejection.credential, "cause": ejection.reason}
            subject = f"provider {ejection.credential}"
            if ejection.target != EVERY_TARGET:
                known["target"], subject = ejection.target, f"target {ejection.target}"
            yield Condition(alert, subject, f"{subject}{operation}: {words}", now, known)
