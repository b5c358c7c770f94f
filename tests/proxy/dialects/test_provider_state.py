"""Finding names of what a provider keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from standby.proxy.dialects.base import RequestDocument
from standby.proxy.dialects.provider_state import STATE_KEYS, names_state
from standby.proxy.http.request_fields import BINDING

__all__: list[str] = []


def test_parsed_documents_report_every_key() -> None:
    """A document whose notable keys have none of ours can be passed over unread."""
    assert STATE_KEYS <= BINDING


@pytest.mark.parametrize("key", sorted(STATE_KEYS))
@pytest.mark.parametrize(
    ("value", "named"), [("x", True), (["x"], True), ("", False), ([], False), (None, False), ({}, False)]
)
def test_values(
    parse: Callable[[dict[str, Any]], RequestDocument], key: str, value: object, named: bool
) -> None:
    """A string or a list of them names something; an empty one, null, or a schema of that name does not."""
    document = parse({"input": [{"deep": [{key: value}]}]})
    assert named is names_state(document, "input")


def test_members(parse: Callable[[dict[str, Any]], RequestDocument]) -> None:
    """Only the members asked for are searched, and not below what is opaque."""
    document = parse({"a": {"mine": {"file_id": "x"}}, "b": {"parameters": {"file_id": "x"}}})
    assert names_state(document, "a")
    assert not names_state(document, "a", opaque=frozenset({"mine"}))
    assert not names_state(document, "b")
    assert not names_state(document, "c")
