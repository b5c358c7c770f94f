"""Where reasoning lies that a provider has signed or encrypted, in requests and in answers. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from .json_values import is_list, is_object, within

__all__ = ["REASONING", "SIGNATURES", "block_signatures", "message_signatures"]

SIGNATURES: Final = ("signature", "encrypted_content", "encrypted_stdout", "thought_signature")
"""Members of a block or an item: reasoning of Anthropic and of the Responses API, results of Anthropic's
server tools, reasoning of Gemini."""
REASONING: Final = frozenset({"reasoning", "redacted_thinking", "thinking"})
"""Types of blocks and items that are nothing but reasoning, without which a request still means the same."""

_MEMBERS: Final = ("reasoning_details", "thinking_blocks")
"""OpenRouter's and LiteLLM's names for reasoning in a chat message that the provider behind them signed."""


def block_signatures(block: object) -> Iterator[str]:
    """Yields the signatures of a block of Anthropic's, or of an item of the Responses API."""
    if not is_object(block):
        return
    for member in SIGNATURES:
        if isinstance(signature := block.get(member), str) and signature:
            yield signature
    if block.get("type") == "redacted_thinking" and isinstance(data := block.get("data"), str) and data:
        yield data


def message_signatures(message: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the signatures of a chat message or a delta, each with the member that holds it."""
    for member in _MEMBERS:
        blocks = message.get(member)
        for block in blocks if is_list(blocks) else ():
            for name in ("signature", "data"):
                if isinstance(signature := within(block, name), str) and signature:
                    yield member, signature
    if (signature := _thought_signature(message)) is not None:
        yield "extra_content", signature
    calls = message.get("tool_calls")
    for call in calls if is_list(calls) else ():
        if (signature := _thought_signature(call)) is not None:
            yield "tool_calls", signature


def _thought_signature(holder: object) -> str | None:
    """Returns Gemini's thought signature, which its OpenAI-compatible endpoint puts here, or None."""
    signature = within(within(within(holder, "extra_content"), "google"), "thought_signature")
    return signature if isinstance(signature, str) and signature else None
