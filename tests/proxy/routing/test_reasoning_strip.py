"""What is left out of a request for a target that cannot read it."""

from __future__ import annotations

from typing import Any

import pytest
from standby.proxy.dialects.registry import operation_named
from standby.proxy.dialects.state_key import content_key
from standby.proxy.exchange import Attempt, Candidate, Exchange
from standby.proxy.routing.reasoning_strip import ReasoningStrip

from tests.proxy.harness import target_of

__all__: list[str] = []

pytestmark = pytest.mark.anyio

MINE = {"type": "thinking", "thinking": "Hm.", "signature": "of a"}
THEIRS = {"type": "thinking", "thinking": "Oh.", "signature": "of b"}
TEXT = {"type": "text", "text": "Hi"}
CALL: dict[str, Any] = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "x"}]}
DOMAINS = {content_key("of b"): "at-b"}


async def strip(operation: str, value: dict[str, Any], **own: Any) -> Attempt:
    """Returns the attempt at a target of "at-a" after its clearance. It signed what is not in DOMAINS."""
    exchange = Exchange("req_1", 0.0, (), operation=operation_named(operation))
    attempt = Attempt(1, Candidate("a", target_of("a")), 0.0, amendments=own or None)
    await ReasoningStrip(value, DOMAINS, "at-a")(exchange, attempt)
    return attempt


def assistant(*content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": [*content]}


async def test_only_what_cannot_be_read() -> None:
    """Reasoning of the target's own domain stays, and so does everything that is no reasoning."""
    messages = [assistant(MINE, THEIRS, TEXT), {"role": "user", "content": "Hi"}]
    attempt = await strip("messages", {"messages": messages})
    assert attempt.amendments == {"messages": [assistant(MINE, TEXT), messages[1]]}
    assert attempt.dropped == ("reasoning",)


async def test_nothing_to_leave_out() -> None:
    """A request that the target can read is sent as it is."""
    attempt = await strip("messages", {"messages": [assistant(MINE, TEXT)]})
    assert (attempt.amendments, attempt.dropped) == (None, ())


async def test_a_message_of_reasoning_alone() -> None:
    """A message of which nothing is left is left out, since Anthropic refuses an empty one."""
    attempt = await strip("messages", {"messages": [assistant(THEIRS), {"role": "user", "content": "Hi"}]})
    assert attempt.amendments == {"messages": [{"role": "user", "content": "Hi"}]}


USER: dict[str, Any] = {"role": "user", "content": "Go"}
LATER: dict[str, Any] = {"role": "user", "content": [{"type": "text", "text": "And?"}]}


@pytest.mark.parametrize(
    ("messages", "thinking", "disabled"),
    [
        ([USER, assistant(THEIRS, CALL), RESULT], "enabled", True),
        ([USER, assistant(THEIRS, CALL), RESULT], "adaptive", False),
        ([USER, assistant(THEIRS, CALL), RESULT, assistant(CALL), RESULT], "enabled", True),
        ([USER, assistant(THEIRS), assistant(CALL), RESULT], "enabled", True),
        ([USER, assistant(THEIRS, CALL), RESULT, LATER], "enabled", True),
        ([USER, assistant(THEIRS, CALL), RESULT, assistant(TEXT), LATER], "enabled", False),
        ([USER, assistant(THEIRS, TEXT), USER, assistant(MINE, CALL), RESULT], "enabled", False),
    ],
)
async def test_an_answered_tool_call_without_its_thinking(
    messages: list[Any], thinking: str, disabled: bool
) -> None:
    """Where Anthropic demands the thinking of the turn whose tools are answered, thinking is switched off."""
    attempt = await strip("messages", {"messages": messages, "thinking": {"type": thinking}})
    assert attempt.amendments is not None
    assert THEIRS not in [block for message in attempt.amendments["messages"] for block in message["content"]]
    assert ("thinking" in attempt.amendments, "thinking" in attempt.dropped) == (disabled, disabled)


async def test_what_needs_thinking_goes_with_it() -> None:
    """With thinking switched off, Anthropic refuses the edit that clears it from the context."""
    edits = [{"type": "clear_thinking_20251015"}, {"type": "clear_tool_uses_20250919"}]
    value = {
        "messages": [USER, assistant(THEIRS, CALL), RESULT],
        "thinking": {"type": "enabled"},
        "context_management": {"edits": edits},
    }
    attempt = await strip("messages", value)
    assert (attempt.amendments or {})["context_management"] == {"edits": edits[1:]}


async def test_what_a_guardrail_has_redacted() -> None:
    """What this target sees otherwise already is what reasoning is left out of."""
    redacted = [assistant(THEIRS, {"type": "text", "text": "<NAME>"})]
    attempt = await strip("messages", {"messages": [assistant(THEIRS, TEXT)]}, messages=redacted)
    assert attempt.amendments == {"messages": [assistant({"type": "text", "text": "<NAME>"})]}


async def test_items_of_the_responses_api() -> None:
    """Encrypted reasoning and reasoning that its provider keeps are items of their own."""
    encrypted: dict[str, Any] = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "encrypted_content": "of b",
    }
    message = {"role": "user", "content": "Hi"}
    attempt = await strip("responses", {"input": [encrypted, message]})
    assert attempt.amendments == {"input": [message]}
    assert (await strip("responses", {"input": "Hi"})).amendments is None


async def test_members_of_chat_messages() -> None:
    """In chat, signed reasoning is a member of a message, or of one of its tool calls."""
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    signed = {"extra_content": {"google": {"thought_signature": "of b"}}}
    message = {"role": "assistant", "content": "Hi", "tool_calls": [call]}
    for extra in ({"thinking_blocks": [THEIRS]}, {"reasoning_details": [{"data": "of b"}]}, signed):
        attempt = await strip("chat", {"messages": [message | extra]})
        assert attempt.amendments == {"messages": [message]}
    attempt = await strip("chat", {"messages": [message | {"tool_calls": [call | signed]}]})
    assert attempt.amendments == {"messages": [message]}
    attempt = await strip(
        "chat", {"messages": [message | {"content": [THEIRS], "thinking_blocks": [THEIRS]}]}
    )
    assert attempt.amendments == {"messages": [message | {"content": None}]}
