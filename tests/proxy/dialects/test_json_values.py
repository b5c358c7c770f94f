"""Reading members of JSON that somebody else wrote."""

from __future__ import annotations

import pytest
from standby.proxy.dialects.json_values import (
    COMPLETION_NAMES,
    MOST,
    count,
    error_of,
    openai_usage,
    text,
    within,
)
from standby.proxy.dialects.usage import Usage

__all__: list[str] = []


@pytest.mark.parametrize(
    ("value", "tokens"), [(7, 7), (0, 0), (-7, 0), (True, 0), (7.0, 0), ("7", 0), (None, 0), ([7], 0)]
)
def test_count(value: object, tokens: int) -> None:
    """Only a whole number that is not negative counts; a bool is no number."""
    assert count(value) == tokens


@pytest.mark.parametrize(
    ("value", "text_size"), [("a", "a"), ("", None), (7, None), (None, None), (["a"], None)]
)
def test_text(value: object, text_size: str | None) -> None:
    """Only a string that says something is text."""
    assert text(value) == text_size


@pytest.mark.parametrize(("value", "found"), [({"a": 7}, 7), ({}, None), (None, None), (["a"], None)])
def test_within(value: object, found: object) -> None:
    """What is no object has no members."""
    assert within(value, "a") == found


@pytest.mark.parametrize(
    ("value", "error"),
    [({"code": 7}, {"code": 7}), ("a", {"code": "a", "message": "a"}), (7, {}), (None, {})],
)
def test_error_of(value: object, error: object) -> None:
    """An error is an object, whatever it came as."""
    assert error_of(value) == error


def test_reasoning_counts_once() -> None:
    """Reasoning is added to the completion only where the total says that it was left out of it."""
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 100,
        "completion_tokens_details": {"reasoning_tokens": 60},
    }
    within_it = openai_usage({**usage, "total_tokens": 110}, COMPLETION_NAMES)
    beside_it = openai_usage({**usage, "total_tokens": 170}, COMPLETION_NAMES)
    assert within_it == openai_usage(usage, COMPLETION_NAMES) == Usage(10, 100, reasoning=60)
    assert beside_it == Usage(10, 160, reasoning=60)


@pytest.mark.parametrize("side", [None, -1, 5.0, "5", True, MOST + 1])
def test_half_a_usage_is_none(side: object) -> None:
    """Where one side is missing or makes no sense, the other is not the whole. What never writes has one."""
    assert openai_usage({"prompt_tokens": 9, "completion_tokens": side}, COMPLETION_NAMES) is None
    assert openai_usage({"prompt_tokens": side, "completion_tokens": 9}, COMPLETION_NAMES) is None
    assert openai_usage({"prompt_tokens": 9}, COMPLETION_NAMES, writes=False) == Usage(9, 0)
