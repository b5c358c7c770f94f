"""The settings that an OpenAI response repeats from its request, each with the vendor's default."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, cast

from .answer import Document

__all__ = ["response_settings"]


_DEFAULTS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "background": False,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "user": None,
    }
)

_OBJECTS: Final = ("reasoning", "text")
"""Settings whose members each have a default of their own."""

_FUNCTION: Final[Mapping[str, Any]] = MappingProxyType({"description": None, "strict": True})
_SCHEMA: Final[Mapping[str, Any]] = MappingProxyType({"description": None, "strict": False})


def response_settings(request: Document) -> Document:
    """Returns the members of a response object that repeat the request or state the default.

    A member that the request left out or set to null has its default. Functions and schemas are completed
    with the members that the vendor adds.
    """
    settings = {name: _told(request.get(name), default) for name, default in _DEFAULTS.items()}
    for name in _OBJECTS:
        if isinstance(settings[name], dict):
            given = cast("Document", settings[name])
            settings[name] = _DEFAULTS[name] | {
                key: value for key, value in given.items() if value is not None
            }
    text = settings["text"]
    if isinstance(text, dict):
        settings["text"] = cast("Document", text) | {
            "format": _completed(cast("Document", text)["format"], "json_schema", _SCHEMA)
        }
    if isinstance(settings["tools"], list):
        tools = cast("list[object]", settings["tools"])
        settings["tools"] = [_completed(tool, "function", _FUNCTION) for tool in tools]
    tier: object = request.get("service_tier")
    return settings | {"service_tier": "default" if tier in (None, "auto") else tier}


def _told(value: Any, default: Any) -> Any:
    return default if value is None else value


def _completed(value: object, kind: str, defaults: Mapping[str, Any]) -> object:
    """Returns an object of this type with its defaults, and any other value as it is."""
    if not isinstance(value, dict):
        return value
    document = cast("Document", value)
    return {**defaults, **document} if document.get("type") == kind else document
