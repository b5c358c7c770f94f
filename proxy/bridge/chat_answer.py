"""Reads what the answers of Chat Completions have in common, as vendors differ in them."""

from __future__ import annotations

from typing import Any

from ..dialects.json_values import is_list, is_object, text, within

__all__ = ["first_choice", "said"]


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
