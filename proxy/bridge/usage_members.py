"""Writes the usage of an answer as each format has it."""

from __future__ import annotations

from typing import Any

from ..dialects.usage import Usage

__all__ = ["chat_usage", "message_usage", "response_usage"]


def chat_usage(usage: Usage) -> dict[str, Any]:
    """Returns the usage as Chat Completions writes it."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached,
            "cache_write_tokens": usage.cache_write,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": 0},
    }


def response_usage(usage: Usage) -> dict[str, Any]:
    """Returns the usage as Responses writes it."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def message_usage(usage: Usage | None) -> dict[str, Any]:
    """Returns the usage as Messages writes it, where input leaves out what was cached. None counts as 0."""
    usage = usage or Usage(0, 0)
    written: dict[str, Any] = {
        "input_tokens": usage.input - usage.cached - usage.cache_write,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
    }
    if usage.reasoning:
        written["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return written
