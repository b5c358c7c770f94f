"""Tables written as TOML."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.ops.toml import inline, table

__all__: list[str] = []

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


def test_a_table_is_written_as_people_write_it() -> None:
    """A header, then a line for each key."""
    content: dict[str, Any] = {
        "hash": "sha256:aa",
        "pools": ["a", "b"],
        "expires": datetime(2030, 1, 31, 12, tzinfo=UTC),
        "limits": {"concurrent": 5},
        "metadata": {"e mail": 'a "b"'},
        "disabled": True,
    }
    assert (
        table(("keys", "check.out"), content)
        == """\
[keys."check.out"]
hash = "sha256:aa"
pools = ["a", "b"]
expires = 2030-01-31T12:00:00+00:00
limits = { concurrent = 5 }
metadata = { "e mail" = "a \\"b\\"" }
disabled = true
"""
    )


@given(VALUES)
def test_what_is_written_reads_as_it_was(value: object) -> None:
    """Any text, number, list and table of them."""
    assert tomllib.loads(f"a = {inline(value)}") == {"a": value}


@given(st.dictionaries(TEXT, VALUES, max_size=3), TEXT)
def test_a_whole_table_reads_as_it_was(content: dict[str, Any], name: str) -> None:
    """Any table name and keys can be written."""
    assert tomllib.loads(table(("keys", name), content)) == {"keys": {name: content}}
