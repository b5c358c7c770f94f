"""Writes a chat request as one vendor takes it, where that differs from what OpenAI takes."""

from __future__ import annotations

from typing import Any

from .json_values import is_list, within
from .vendors import Vendor

__all__ = ["adapted"]


def adapted(value: dict[str, Any], vendor: Vendor) -> dict[str, Any]:
    """Returns the chat request `value` for `vendor`: it means the same, and is not changed itself."""
    request = {name: given for name, given in value.items() if name not in vendor.leaves_out}
    if vendor.limit == "max_tokens" and (limit := request.pop("max_completion_tokens", None)) is not None:
        request["max_tokens"] = limit
    messages = request.get("messages")
    if not vendor.developer and is_list(messages) and any(map(_is_developers, messages)):
        request["messages"] = [
            {**message, "role": "system"} if _is_developers(message) else message for message in messages
        ]
    return request


def _is_developers(message: object) -> bool:
    return within(message, "role") == "developer"
