"""Where a provider's state lies in blocks and items: what it has signed or encrypted, and ids. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from .json_values import is_list, is_object, within
from .state_key import content_key, id_key

__all__ = [
    "REASONING",
    "SIGNATURES",
    "SIGNED_MEMBERS",
    "block_signatures",
    "issued_keys",
    "message_signatures",
]

SIGNATURES: Final = ("signature", "encrypted_content", "encrypted_stdout", "thought_signature")
"""Members of a block or an item: reasoning of Anthropic and of the Responses API, results of Anthropic's
server tools, reasoning of Gemini."""
REASONING: Final = frozenset({"reasoning", "redacted_thinking", "thinking"})
"""Types of blocks and items that are nothing but reasoning, without which a request still means the same."""

_IDS: Final = ("container_id", "file_id")
"""Members with ids of what an answer made besides its items: containers, and files in them."""
_MEMBERS: Final = ("reasoning_details", "thinking_blocks")
"""OpenRouter's and LiteLLM's names for reasoning in a chat message that the provider behind them signed."""
SIGNED_MEMBERS: Final = frozenset({*_MEMBERS, "extra_content", "tool_calls"})
"""Members of a chat message that may hold signatures."""
_MOST_NODES: Final = 2_000
"""Objects of one block or item that are looked at."""


def issued_keys(block: object) -> Iterator[str]:
    """Yields the keys of all that a block or an item of an answer holds, at any depth, but for its own id."""
    pending: list[object] = [block]
    nodes = 0
    while pending and nodes < _MOST_NODES:
        node = pending.pop()
        if is_list(node):
            pending += node
        elif is_object(node):
            nodes += 1
            for signature in block_signatures(node):
                yield content_key(signature)
            for member in _IDS:
                if isinstance(key := node.get(member), str) and key:
                    yield id_key(key)
            pending += [inner for inner in node.values() if is_list(inner) or is_object(inner)]


def block_signatures(block: object) -> Iterator[str]:
    """Yields the signatures of a block of Anthropic's, or of an item of the Responses API, itself."""
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
