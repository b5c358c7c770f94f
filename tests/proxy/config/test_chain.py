"""Tests of the stack: the available middlewares, their order, and their tables."""

from __future__ import annotations

from typing import Final

import pytest
from standby.proxy.config import BUILT_IN, Routes, parse_routes

from .documents import ENVIRON, ROUTES, problems_in

__all__: list[str] = []

USE: Final = 'use = "package.module:attribute"'


def parse(head: str, tail: str = "") -> Routes:
    """The routes of a configuration with more lines at its top and end."""
    return parse_routes(f"{head}\n{ROUTES}{tail}", environ=dict(ENVIRON))


def test_the_stack_is_routes_and_failover_unless_it_is_said() -> None:
    """Without `stack` there are the two default middlewares; with it, exactly those it names, even none."""
    assert parse("").stack == ("route_select", "failover")
    assert parse('stack = ["failover"]').stack == ("failover",)
    assert parse("stack = []").stack == ()


def test_every_middleware_of_the_stack_has_a_table() -> None:
    """A table that is not in the file is empty, and hygiene always has a table."""
    routes = parse("", "[failover]\nmax_attempts = 2")
    assert routes.tables == {"route_select": {}, "failover": {"max_attempts": 2}, "hygiene": {}}


def test_another_middleware_is_named_by_its_table() -> None:
    """`use` gives the import string of a name in the stack; the table is kept unchanged."""
    routes = parse(
        'stack = ["house_rules", "failover"]', '[house_rules]\nuse = "acme.llm:HouseRules"\nlocale = "fr"'
    )
    assert routes.stack == ("house_rules", "failover")
    assert routes.tables["house_rules"] == {"use": "acme.llm:HouseRules", "locale": "fr"}


def test_what_is_built_in_can_be_imported_by_name() -> None:
    """Each built-in name leads to an existing module of the middlewares and a class in it."""
    for name, path in BUILT_IN.items():
        assert path.startswith(f"standby.middlewares.{name}:")


@pytest.mark.parametrize(
    ("head", "tail", "problem"),
    [
        (
            'stack = "failover"',
            "",
            '1: stack: must be a list of names; write stack = ["route_select", "failover"]',
        ),
        ("stack = [1]", "", "1: stack[0]: must be the name of a middleware"),
        ('stack = ["failover", "failover"]', "", '1: stack[1]: "failover" is in the stack already'),
        (
            'stack = ["fail_over"]',
            "",
            '1: stack[0]: there is no middleware "fail_over"; did you mean "failover"?',
        ),
        (
            'stack = ["mine"]',
            "",
            f'1: stack[0]: there is no middleware "mine"; your own needs a table with {USE}',
        ),
        (
            'stack = ["hygiene"]',
            "",
            '1: stack[0]: "hygiene" is not a middleware; known: ' + ", ".join(BUILT_IN),
        ),
        (
            'stack = ["acme.llm:HouseRules"]',
            "",
            '1: stack[0]: not the name of a middleware; name a table that has use = "acme.llm:HouseRules"',
        ),
        (
            'stack = ["house_rules"]',
            "[house_rules]",
            f'28: house_rules: "house_rules" is not built in; its table needs {USE}',
        ),
        (
            'stack = ["failver"]',
            "[failver]",
            '28: failver: "failver" is not built in; did you mean "failover"?',
        ),
        (
            'stack = ["house_rules"]',
            '[house_rules]\nuse = "acme"',
            '29: house_rules.use: not an import string; write "package.module:attribute"',
        ),
        ('stack = ["house_rules"]', "[house_rules]\nuse = 1", "29: house_rules.use: must be text"),
        (
            'stack = ["a b"]',
            '["a b"]\nuse = "a:b"',
            '28: "a b": a name is 1 to 64 of A-Z a-z 0-9 . _ - and begins with a letter or digit',
        ),
        (
            "",
            '[failover]\nuse = "acme:Failover"',
            '29: failover.use: "failover" is built in; give your own middleware another name',
        ),
        (
            "stack = []",
            "[failover]",
            '28: failover: not in the stack; add "failover" to stack, or delete this table',
        ),
        (
            "",
            '[house_rules]\nuse = "a:b"',
            '28: house_rules: not in the stack; add "house_rules" to stack, or delete this table',
        ),
        ("failover = 1", "", "1: failover: must be a table; write [failover]"),
        ("hygiene = 1", "", "1: hygiene: must be a table; write [hygiene]"),
    ],
)
def test_a_mistake_in_the_stack_is_told(head: str, tail: str, problem: str) -> None:
    """Names, tables and import strings are checked before anything is imported."""
    assert problems_in(f"{head}\n{ROUTES}{tail}") == [f"routes.toml:{problem}"]
