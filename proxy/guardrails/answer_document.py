"""Whole answers, that are not streamed: their texts, and how they say that a content filter stopped them.

No I/O.
"""

from __future__ import annotations

from typing import Any, Final

from ..dialects.json_values import is_list, is_object, within

__all__ = ["final_texts", "head_of", "stopped", "strip_probabilities"]

_HEAD: Final = ("id", "object", "type", "role", "created", "created_at", "model", "usage")


def head_of(value: dict[str, Any]) -> dict[str, Any]:
    """Returns what an answer says of itself: its id, its model, its usage."""
    return {name: value[name] for name in _HEAD if name in value}


def stopped(operation: str, value: dict[str, Any], head: dict[str, Any], rule: str | None) -> dict[str, Any]:
    """Returns the answer `value` without its content, as one that the provider's own content filter stopped.

    Only its `head` is left, and how many choices it has.
    """
    note = {"standby": {"guardrail": rule}}
    if operation == "chat":
        choices = [
            {
                "index": within(choice, "index") or 0,
                "message": {"role": "assistant", "content": None, "refusal": None},
                "logprobs": None,
                "finish_reason": "content_filter",
            }
            for choice in _list(value.get("choices"))
        ]
        return {**head, "choices": choices, **note}
    if operation == "messages":
        return {**head, "content": [], "stop_reason": "refusal", "stop_sequence": None, **note}
    details: dict[str, Any] = {
        "status": "incomplete",
        "incomplete_details": {"reason": "content_filter"},
        "tools": [],
    }
    return {**head, **details, "output": [], "parallel_tool_calls": True, "tool_choice": "auto", **note}


def strip_probabilities(operation: str, value: dict[str, Any]) -> bool:
    """Remove the probabilities of single tokens, which spell what is redacted. Returns whether there were
    any."""
    changed = False
    if operation == "chat":
        for choice in _list(value.get("choices")):
            if is_object(choice) and choice.get("logprobs"):
                choice["logprobs"] = None
                changed = True
    elif operation == "responses":
        for item in _list(value.get("output")):
            for part in _list(within(item, "content")):
                if is_object(part) and part.get("logprobs"):
                    part["logprobs"] = []
                    changed = True
    return changed


def final_texts(operation: str, value: dict[str, Any]) -> list[list[str]]:
    """Returns the parts of the text of each choice, as the caller reads it: without reasoning and tools."""
    if operation == "chat":
        contents = [within(within(choice, "message"), "content") for choice in _list(value.get("choices"))]
        return [[content] if isinstance(content, str) else _texts(content, "text") for content in contents]
    if operation == "messages":
        return [_texts(value.get("content"), "text")]
    items = [item for item in _list(value.get("output")) if within(item, "type") == "message"]
    return [[text for item in items for text in _texts(within(item, "content"), "output_text")]]


def _texts(parts: object, kind: str) -> list[str]:
    found = [within(part, "text") for part in _list(parts) if within(part, "type") == kind]
    return [text for text in found if isinstance(text, str)]


def _list(value: object) -> list[Any]:
    return value if is_list(value) else []
