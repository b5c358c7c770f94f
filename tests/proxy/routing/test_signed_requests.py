"""What of a request a provider has signed or encrypted, and what of it could be left out."""

from __future__ import annotations

from typing import Any, Final

import pytest
from standby.proxy.dialects.state_key import content_key, id_key
from standby.proxy.http.json_document import Document
from standby.proxy.routing.requirements import Requirements, needs_of

__all__: list[str] = []

SIGNED: Final = {"type": "thinking", "thinking": "Well", "signature": "c2ln"}
CALL: Final = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def read(operation: str, **members: Any) -> Requirements:
    return needs_of(Document(members, frozenset()), operation)


def chat(*parts: Any, **members: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)} | members]}


SIGNATURES: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("messages", chat(SIGNED)),
    ("messages", chat({"type": "redacted_thinking", "data": "c2ln"})),
    ("count_tokens", chat(SIGNED)),
    (
        "messages",
        chat(
            {
                "type": "web_search_tool_result",
                "content": [{"type": "web_search_result", "encrypted_content": "c2ln"}],
            }
        ),
    ),
    ("responses", {"input": [{"type": "reasoning", "summary": [], "encrypted_content": "c2ln"}]}),
    ("responses", {"input": [{"type": "compaction", "encrypted_content": "c2ln"}]}),
    ("chat", chat(role="assistant", reasoning_details=[{"type": "reasoning.text", "signature": "c2ln"}])),
    ("chat", chat(role="assistant", reasoning_details=[{"type": "reasoning.encrypted", "data": "c2ln"}])),
    ("chat", chat(role="assistant", thinking_blocks=[SIGNED])),
    (
        "chat",
        chat(
            role="assistant",
            tool_calls=[CALL | {"extra_content": {"google": {"thought_signature": "c2ln"}}}],
        ),
    ),
    ("chat", chat(role="assistant", extra_content={"google": {"thought_signature": "c2ln"}})),
)


@pytest.mark.parametrize(
    ("operation", "request_"),
    SIGNATURES,
)
def test_signed_reasoning_is_found(operation: str, request_: dict[str, Any]) -> None:
    """Content that a provider has signed or encrypted is detected at its place in each dialect."""
    needs = read(operation, **request_)
    assert needs.signatures == (content_key("c2ln"),)


NO_SIGNATURES: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("messages", chat({"type": "thinking", "thinking": "Well", "signature": ""})),
    ("messages", chat({"type": "text", "text": "signature"}, {"type": "tool_use", "input": SIGNED})),
    ("responses", {"input": [{"type": "reasoning", "summary": [], "encrypted_content": None}]}),
    ("chat", chat({"type": "image_url", "image_url": {"url": "u"}}, signature="mine")),
    ("chat", chat(role="assistant", reasoning_content="Well", reasoning_details=[{"text": "Well"}])),
)


@pytest.mark.parametrize(
    ("operation", "request_"),
    NO_SIGNATURES,
)
def test_unsigned_reasoning_may_move(operation: str, request_: dict[str, Any]) -> None:
    """Empty signatures, and strings in a tool's arguments, require nothing."""
    assert not read(operation, **request_).signatures


def test_all_signatures_in_order() -> None:
    """The signatures of a conversation are hashed, in its order."""
    needs = read("messages", **chat(SIGNED, SIGNED | {"signature": "bmV3"}))
    assert needs.signatures == (content_key("c2ln"), content_key("bmV3"))
    assert "bmV3" not in repr(needs)


FIXED: Final[tuple[tuple[str, dict[str, Any], bool], ...]] = (
    ("messages", chat(SIGNED), False),
    ("messages", chat({"type": "redacted_thinking", "data": "c2ln"}), False),
    ("messages", chat(SIGNED, {"type": "web_search_tool_result", "encrypted_content": "c2ln"}), True),
    ("responses", {"input": [{"type": "reasoning", "summary": [], "encrypted_content": "c2ln"}]}, False),
    ("responses", {"input": [{"type": "compaction", "encrypted_content": "c2ln"}]}, True),
    ("chat", chat(role="assistant", thinking_blocks=[SIGNED]), False),
)


@pytest.mark.parametrize(("operation", "request_", "fixed"), FIXED)
def test_only_reasoning_can_be_left_out(operation: str, request_: dict[str, Any], fixed: bool) -> None:
    """What else is signed, such as the result of a provider's own search, a request means nothing without."""
    assert read(operation, **request_).fixed is fixed


def test_a_reasoning_item_without_content_is_its_id() -> None:
    """Reasoning of the Responses API without its encrypted content is at its provider, under its id."""
    item: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": []}
    assert read("responses", input=[item]).signatures == (id_key("rs_1"),)
    assert not read("responses", input=[item | {"content": [{"type": "reasoning_text"}]}]).signatures
