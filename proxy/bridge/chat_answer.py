"""Reads what the answers of Chat Completions have in common, as vendors differ in them."""

from __future__ import annotations

from typing import Any

from ..dialects.json_values import COMPLETION_NAMES, is_list, is_object, openai_usage, text, within
from ..dialects.usage import Usage

__all__ = ["first_choice", "said", "usage_of"]


def first_choice(value: dict[str, Any]) -> dict[str, Any]:
    """Returns the first choice of an answer or a chunk, or an empty object."""
    choices = value.get("choices")
    choice = choices[0] if is_list(choices) and choices else None
    return choice if is_object(choice) else {}


def said(content: object) -> str:
    """Returns the text of a content, which Mistral writes as a list when the model reasons."""
    if is_list(content):
        texts = [text(within(part, "text")) for part in content if within(part, "type") == "text"]
        return "".join([each for each in texts if each is not None])
    return content if isinstance(content, str) else ""


def usage_of(value: dict[str, Any]) -> Usage | None:
    """Returns the usage in an answer or a chunk. Moonshot has it in the choice, Groq in `x_groq`."""
    places = (
        value.get("usage"),
        within(first_choice(value), "usage"),
        within(value.get("x_groq"), "usage"),
    )
    found = (openai_usage(each, COMPLETION_NAMES) for each in places if each is not None)
    return next((usage for usage in found if usage is not None), None)
