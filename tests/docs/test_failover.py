"""docs/failover.md says what the code does: its tables are the code's."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from standby.proxy.classify.faults import RULES
from standby.proxy.config import Timeouts

from tests.docs.documents import table

__all__: list[str] = []

_UNITS: Final = {"": 1, "s": 1, "h": 3600, "KiB": 1024}


def test_the_table_of_faults_is_the_decision_table() -> None:
    """Every fault is there once, in the code's order, and with what follows from it."""
    rows = table("docs/failover.md", "fault", "what happened", "next", "opens", "health", "status")
    documented = [(fault, moves, cause, health, status) for fault, _, moves, cause, health, status in rows]
    assert documented == [
        (kind, rule.moves, ", ".join(rule.opens), rule.health, str(rule.status or "-"))
        for kind, rule in RULES.items()
    ]


def test_every_fault_is_described() -> None:
    """No fault is a name alone."""
    rows = table("docs/failover.md", "fault", "what happened", "next", "opens", "health", "status")
    assert [row[0] for row in rows if not row[1]] == []


def test_the_limits_are_the_codes_own() -> None:
    """Each limit has the value of the constant it names."""
    rows = table("docs/failover.md", "limit", "value", "name")
    assert len(rows) >= 12
    for _, value, name in rows:
        module, _, constant = name.rpartition(".")
        number, _, unit = value.partition(" ")
        held = getattr(import_module(f"standby.proxy.{module}"), constant)
        assert float(number) * _UNITS[unit] == held, name


def test_the_named_time_limits_exist() -> None:
    """The time limits that faults are explained by are keys of a pool's `timeouts`."""
    assert {"first_token", "answer", "stall", "total"} <= set(Timeouts.model_fields)
