"""Tests of reading members of untrusted JSON."""

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
    ("value", "tokens"),
    [
        (7, 7),
        (0, 0),
        (-7, 0),
        (True, 0),
        (7.0, 7),
        ("7", 7),
        (7.5, 0),
        ("7.0", 0),
        ("-7", 0),
        (None, 0),
        ([7], 0),
    ],
)
def test_count(value: object, tokens: int) -> None:
    """A whole number that is not negative is a count, as a float or as text too; a bool is not."""
    assert count(value) == tokens


@pytest.mark.parametrize(
    ("value", "text_size"), [("a", "a"), ("", None), (7, None), (None, None), (["a"], None)]
)
def test_text(value: object, text_size: str | None) -> None:
    """Only a string that is not empty is text."""
    assert text(value) == text_size


@pytest.mark.parametrize(("value", "found"), [({"a": 7}, 7), ({}, None), (None, None), (["a"], None)])
def test_within(value: object, found: object) -> None:
    """A value that is not an object has no members."""
    assert within(value, "a") == found


@pytest.mark.parametrize(
    ("value", "error"),
    [({"code": 7}, {"code": 7}), ("a", {"code": "a", "message": "a"}), (7, {}), (None, {})],
)
def test_error_of(value: object, error: object) -> None:
    """An error is always an object, for any type of value."""
    assert error_of(value) == error


def test_reasoning_counts_once() -> None:
    """Reasoning is added to the output only if the total shows that the output does not include it."""
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 100,
        "completion_tokens_details": {"reasoning_tokens": 60},
    }
    within_it = openai_usage({**usage, "total_tokens": 110}, COMPLETION_NAMES)
    beside_it = openai_usage({**usage, "total_tokens": 170}, COMPLETION_NAMES)
    assert within_it == openai_usage(usage, COMPLETION_NAMES) == Usage(10, 100, reasoning=60)
    assert beside_it == Usage(10, 160, reasoning=60)


@pytest.mark.parametrize("side", [None, -1, 5.5, "5.0", True, MOST + 1])
def test_half_a_usage_is_none(side: object) -> None:
    """If one side is missing or invalid, there is no usage, except for operations that write no output."""
    assert openai_usage({"prompt_tokens": 9, "completion_tokens": side}, COMPLETION_NAMES) is None
    assert openai_usage({"prompt_tokens": side, "completion_tokens": 9}, COMPLETION_NAMES) is None
    assert openai_usage({"prompt_tokens": 9}, COMPLETION_NAMES, writes=False) == Usage(9, 0)
