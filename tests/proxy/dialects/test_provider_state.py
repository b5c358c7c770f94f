"""Tests of detecting references to state at a provider."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from standby.proxy.dialects.base import RequestDocument
from standby.proxy.dialects.provider_state import STATE_KEYS, names_state
from standby.proxy.http.request_fields import BINDING

__all__: list[str] = []


def test_parsed_documents_report_every_key() -> None:
    """A document without any of the names in `notable` is not searched."""
    assert STATE_KEYS <= BINDING


@pytest.mark.parametrize("key", sorted(STATE_KEYS))
@pytest.mark.parametrize(
    ("value", "named"), [("x", True), (["x"], True), ("", False), ([], False), (None, False), ({}, False)]
)
def test_values(
    parse: Callable[[dict[str, Any]], RequestDocument], key: str, value: object, named: bool
) -> None:
    """A string or a list of strings is a reference; an empty one, null, or a schema of that name is not."""
    document = parse({"input": [{"deep": [{key: value}]}]})
    assert named is names_state(document, "input")


def test_members(parse: Callable[[dict[str, Any]], RequestDocument]) -> None:
    """Only the given members are searched, and nothing below opaque members."""
    document = parse({"a": {"mine": {"file_id": "x"}}, "b": {"parameters": {"file_id": "x"}}})
    assert names_state(document, "a")
    assert not names_state(document, "a", opaque=frozenset({"mine"}))
    assert not names_state(document, "b")
    assert not names_state(document, "c")
