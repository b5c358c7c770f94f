"""Writes the content of a chat message."""

from __future__ import annotations

from typing import Any

__all__ = ["chat_content"]


def chat_content(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Returns the content of a message: a lone text as a string, which every server takes."""
    if len(parts) == 1 and parts[0]["type"] == "text":
        written: str = parts[0]["text"]
        return written
    return parts
