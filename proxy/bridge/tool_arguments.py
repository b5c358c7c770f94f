"""Reads and writes the arguments of a tool call: JSON in a string for OpenAI, an object for Anthropic."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

from ..dialects.json_values import is_object

__all__ = ["arguments_of", "written"]

_LONG_NUMBER: Final = re.compile(r"[0-9]{19}")


def arguments_of(text: object) -> dict[str, Any] | None:
    """Returns the object that arguments are; None if they are none, or one that cannot be written again.

    That is one of too many levels, or with an integer beyond 64 bits, which would lose digits. An empty text
    is an empty object: some models write nothing for a tool without parameters.
    """
    if not isinstance(text, str):
        return None
    try:
        # orjson reads a long integer as a float, and the other one reads it exactly.
        value: object = (json.loads if _LONG_NUMBER.search(text) else orjson.loads)(
            text if text.strip() else "{}"
        )
    except (ValueError, RecursionError):
        return None
    return value if is_object(value) and written(value) is not None else None


def written(value: object) -> str | None:
    """Returns an object as JSON in a string; None if it cannot be written."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return None
