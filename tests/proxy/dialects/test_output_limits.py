"""Tests of the members that limit the output of each operation."""

from __future__ import annotations

from typing import Any

import pytest
from standby.proxy.dialects.registry import operation_named

__all__: list[str] = []


@pytest.mark.parametrize(
    ("operation", "value", "asked"),
    [
        ("chat", {}, None),
        ("chat", {"max_tokens": 7}, 7),
        ("chat", {"max_completion_tokens": 8}, 8),
        ("chat", {"max_tokens": 7, "max_completion_tokens": None}, 7),
        ("chat", {"max_tokens": 9, "max_completion_tokens": 8}, 9),
        ("chat", {"max_output_tokens": 7}, None),
        ("responses", {"max_output_tokens": 7}, 7),
        ("messages", {"max_tokens": 0}, 0),
        ("embeddings", {"max_tokens": 7}, None),
    ],
)
def test_the_limit_of_a_request(operation: str, value: dict[str, Any], asked: int | None) -> None:
    """A request limits its output under its dialect's own names; of two limits the larger one counts."""
    assert operation_named(operation).requested_output(value) == asked


def test_each_dialect_has_its_field() -> None:
    """A limit of the gateway is sent under the dialect's name for it; embeddings have none."""
    names = [operation_named(each).limit_field for each in ("chat", "responses", "messages", "embeddings")]
    assert names == ["max_completion_tokens", "max_output_tokens", "max_tokens", None]
