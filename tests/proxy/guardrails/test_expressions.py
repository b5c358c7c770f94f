"""What is known of a regular expression without running it."""

from __future__ import annotations

import re
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standby.proxy.guardrails.expressions import Unbounded, Unreadable, beginnings, longest_match
from standby.proxy.guardrails.injection import SIGNALS
from standby.proxy.guardrails.pattern import compiled
from standby.proxy.guardrails.personal_data import COUNTRIES, PERSONAL_DATA, national
from standby.proxy.guardrails.secrets import SECRETS

__all__: list[str] = []

EXPRESSIONS: Final = (
    r"abc",
    r"\bab{2,4}c?\b",
    r"(?i)a(?:bc|cd){1,3}e",
    r"[a-c]{2}(?:\.[a-c]{1,3}){0,2}",
    r"(?:a|ab|abc)c",
    r"a[^b]{0,3}b",
    r"a(b(?:c|d)?){2}",
    r"(?s)a.{0,2}\nb?c",
    r"a{0,2}b*?c",
)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(EXPRESSIONS), st.text(alphabet="abcdeABC.\n ", max_size=12))
def test_every_beginning_of_a_match_is_one(expression: str, text: str) -> None:
    """Wherever a match could begin with what is there, the beginnings are found there or before."""
    alive = compiled(rf"(?:{beginnings(expression)})\z")
    for match in re.compile(expression).finditer(text):
        for end in range(match.start(), match.end() + 1):
            assert alive.search(text[:end].encode()).start() <= match.start()


@pytest.mark.parametrize(("expression", "expected"), [("ab{2,4}c?", 6), ("(?:ab|c){3}", 6), (r"\bx\b", 1)])
def test_the_longest_match(expression: str, expected: int) -> None:
    """It is known, where there is one."""
    assert longest_match(expression) == expected


def test_what_cannot_be_known() -> None:
    """An expression without a longest match, and one that only RE2 can read."""
    with pytest.raises(Unbounded):
        longest_match("ab*")
    with pytest.raises(Unreadable):
        longest_match(r"\p{L}")
    with pytest.raises(Unreadable):
        beginnings(r"(a)\1")


def test_what_is_built_in_is_bounded() -> None:
    """Every pattern of ours compiles in RE2, has a longest match within what is held, and beginnings."""
    own = [*SECRETS, *PERSONAL_DATA, *national(COUNTRIES)]
    for expression in (*[each.expression for each in own], *[each.expression for each in SIGNALS]):
        assert longest_match(expression) <= 1024, expression
        compiled(expression)
        compiled(beginnings(expression))
