"""Reading members of JSON that somebody else wrote: right type or nothing, and never an exception."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeGuard

import orjson

from .usage import Usage

__all__ = [
    "COMPLETION_NAMES",
    "MOST",
    "RESPONSE_NAMES",
    "UsageNames",
    "count",
    "error_of",
    "is_count",
    "is_list",
    "is_object",
    "openai_usage",
    "size",
    "text",
    "within",
]


MOST: Final = 1_000_000_000
"""Tokens. A larger figure is none, and no store could keep what it comes to."""


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether this is a JSON array."""
    return isinstance(value, list)


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether this is a JSON object."""
    return isinstance(value, dict)


def is_count(value: object) -> TypeGuard[int]:
    """Whether this is a number of tokens: whole, not negative, of a size that can be. A bool is no number."""
    return type(value) is int and 0 <= value <= MOST


def count(value: object) -> int:
    """A number of tokens; 0 for what is none."""
    return value if is_count(value) else 0


def text(value: object) -> str | None:
    """A string that says something, or None."""
    return value if isinstance(value, str) and value else None


def size(value: object) -> int:
    """Bytes of a text, or of a value's JSON; 0 for what says nothing."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    return len(orjson.dumps(value)) if value else 0


def within(value: object, member: str) -> object:
    """`value[member]`, or None if `value` is no object or has no such member."""
    return value.get(member) if is_object(value) else None


def error_of(value: object) -> Mapping[str, Any]:
    """A provider's error as an object; a bare string becomes its code and message."""
    if is_object(value):
        return value
    return {"code": value, "message": value} if isinstance(value, str) else {}


class UsageNames(NamedTuple):
    """What an API calls the tokens it read and wrote, and what more it says of them."""

    read: str
    written: str
    read_details: str
    written_details: str


COMPLETION_NAMES: Final = UsageNames(
    "prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"
)
RESPONSE_NAMES: Final = UsageNames(
    "input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"
)


def openai_usage(value: object, names: UsageNames, *, writes: bool = True) -> Usage | None:
    """Usage as OpenAI reports it, under the names that each of its APIs has for the two sides.

    None where one side is missing or makes no sense: half a figure would be booked as the whole. What never
    `writes` need not say that it wrote nothing.

    Some compatible servers report reasoning beside the completion and not within it; their total shows it.
    Some have names of their own for what came from their cache: DeepSeek, Moonshot.
    """
    if not is_object(value):
        return None
    read, written = value.get(names.read), value.get(names.written)
    if written is None and not writes:
        written = 0
    if not is_count(read) or not is_count(written):
        return None
    details: dict[str, Any] = value.get(names.read_details) or {}
    if not is_object(details):
        details = {}
    reasoning = count(within(value.get(names.written_details), "reasoning_tokens"))
    if reasoning and value.get("total_tokens") == read + written + reasoning:
        written += reasoning
    return Usage(
        input=read,
        output=written,
        cached=count(details.get("cached_tokens"))
        or count(value.get("prompt_cache_hit_tokens"))
        or count(value.get("cached_tokens")),
        cache_write=count(details.get("cache_write_tokens")),
        reasoning=reasoning,
    )
