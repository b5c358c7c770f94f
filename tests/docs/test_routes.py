"""docs/routes.md has every key that the tables of routes.toml take."""

from __future__ import annotations

import dataclasses
import re

import pytest
from standby.middlewares.auth import Auth
from standby.middlewares.guardrails import Guardrails
from standby.proxy.config import (
    BUILT_IN,
    Admin,
    Alerts,
    BudgetWindow,
    Decisions,
    Key,
    Limits,
    Organisation,
    Pool,
    Price,
    Provider,
    Table,
    Target,
    Team,
    Timeouts,
    User,
)
from standby.proxy.guardrails.rules import Bound, Rule, When

from tests.docs.documents import named

__all__: list[str] = []

TEXT = named("docs/routes.md")


def keys(*heads: str) -> set[str]:
    """The first cells of all tables below these headings."""
    found: set[str] = set()
    for head in heads:
        section = re.split(r"^#{2,3} ", TEXT.split(f"{head}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
        for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE):
            found.update(re.findall(r"`([a-z_0-9]+)`", row))
    return found


SCOPES = "## [organisations.NAME], [teams.NAME], [users.NAME], [keys.NAME]"


@pytest.mark.parametrize(
    ("head", "tables"),
    [
        ("## [providers.NAME]", (Provider,)),
        ("## [targets.NAME]", (Target,)),
        ("### price", (Price,)),
        ("## [pools.NAME]", (Pool,)),
        ("### timeouts", (Timeouts,)),
        (SCOPES, (Organisation, Team, User, Key)),
        ("### limits", (Limits,)),
        ("### budget", (BudgetWindow,)),
        ("## [admin]", (Admin,)),
        ("## [alerts]", (Alerts,)),
        ("## [decisions]", (Decisions,)),
    ],
)
def test_every_key_is_there(head: str, tables: tuple[type[Table], ...]) -> None:
    """No more and no fewer than the code takes."""
    taken = {name for table in tables for name in table.model_fields} - {"name"}
    assert keys(head) == taken


def test_auth_is_there() -> None:
    """Its table is that of its class."""
    taken = {each.name for each in dataclasses.fields(Auth) if each.init and each.metadata.get("toml", True)}
    assert taken - {"app"} <= keys("## Middlewares")


def test_guardrails_are_there() -> None:
    """The table, its rules, and the tables within them."""
    fields = [
        each for each in dataclasses.fields(Guardrails) if each.init and each.metadata.get("toml", True)
    ]
    assert keys("## [guardrails]") == {each.name for each in fields} - {"app"}
    for head, table in (("### rules", Rule), ("### when", When), ("### parameters", Bound)):
        assert keys(head) == set(table.model_fields)


def test_every_built_in_middleware_is_named() -> None:
    """At the key `stack`."""
    row = next(line for line in TEXT.splitlines() if line.startswith("| `stack`"))
    assert [name for name in BUILT_IN if f"`{name}`" not in row] == []
