"""Tests of counting generated output, for answers that end before their usage is known."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest
from standby.proxy.dialects.registry import operation_named
from standby.proxy.dialects.usage import Usage

__all__: list[str] = []


def delta(**text_size: Any) -> dict[str, Any]:
    """A chunk of a chat completion."""
    return {"choices": [{"index": 0, "delta": text_size}]}


def block(**text_size: Any) -> dict[str, Any]:
    """A delta of a message's block."""
    return {"type": "content_block_delta", "index": 0, "delta": text_size}


EVENTS: Final[list[tuple[str, dict[str, Any], int, int]]] = [
    ("chat", delta(content="hello"), 5, 5),
    ("chat", delta(role="assistant", content="hé€"), 6, 6),
    ("chat", delta(content=""), 0, 0),
    ("chat", delta(role="assistant"), 0, 0),
    ("chat", delta(content=None, reasoning_content="hm"), 2, 2),
    ("chat", delta(refusal="no!"), 3, 3),
    ("chat", delta(tool_calls=[{"index": 0, "function": {"arguments": "x" * 50}}]), 50, 110),
    ("chat", delta(content=[{"type": "text", "text": "x" * 50}]), 50, 90),
    ("chat", delta(audio={"data": "A" * 10_000, "transcript": "hello"}), 5, 120),
    ("chat", {"choices": [{"delta": {"content": "ab"}}, {"delta": {"content": "cd"}}]}, 4, 4),
    ("chat", {"choices": [{"delta": {"content": "ab"}, "finish_reason": "stop"}]}, 2, 2),
    ("chat", {"choices": [{"delta": {}}], "usage": {"prompt_tokens": 1}}, 0, 0),
    ("messages", block(type="text_delta", text="hello"), 5, 5),
    ("messages", block(type="thinking_delta", thinking="hé€"), 6, 6),
    ("messages", block(type="input_json_delta", partial_json='{"a'), 3, 3),
    ("messages", block(type="text_delta", text=""), 0, 0),
    ("messages", {"type": "content_block_start", "content_block": {"type": "text", "text": ""}}, 0, 0),
    (
        "messages",
        {"type": "content_block_start", "content_block": {"type": "tool_use", "name": "f"}},
        1,
        40,
    ),
    (
        "messages",
        {
            "type": "content_block_start",
            "content_block": {"type": "web_search_tool_result", "content": []},
        },
        0,
        0,
    ),
    ("responses", {"type": "response.output_text.delta", "delta": "hé€"}, 6, 6),
    ("responses", {"type": "response.output_text.delta", "delta": ""}, 0, 0),
    (
        "responses",
        {"type": "response.output_item.added", "item": {"type": "function_call", "name": "ab"}},
        2,
        2,
    ),
    (
        "responses",
        {"type": "response.output_item.done", "item": {"type": "message", "content": "x" * 50}},
        50,
        90,
    ),
]


@pytest.mark.parametrize(("operation", "event", "least", "most"), EVENTS)
def test_an_event(operation: str, event: dict[str, Any], least: int, most: int) -> None:
    """An event counts for the bytes of its output, and little more."""
    reader = operation_named(operation).reader()
    reader.event(b"", orjson.dumps(event))
    assert least <= reader.written <= most


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("chat", {"choices": [{"message": {"content": "x" * 50}}]}),
        ("chat", {"choices": [{"message": {"content": "x" * 30}}, {"message": {"content": "x" * 20}}]}),
        (
            "chat",
            {"choices": [{"message": {"content": None, "tool_calls": [{"function": {"name": "x" * 30}}]}}]},
        ),
        ("messages", {"type": "message", "content": [{"type": "text", "text": "x" * 50}]}),
        ("responses", {"status": "completed", "output": [{"type": "message", "content": "x" * 50}]}),
    ],
)
def test_a_document(operation: str, body: dict[str, Any]) -> None:
    """A whole answer counts for its output too."""
    reader = operation_named(operation).reader()
    reader.document(body)
    assert 50 <= reader.written < 100


def test_an_item_counts_once() -> None:
    """Output that was counted by its deltas is not counted again when it is repeated as a whole."""
    reader = operation_named("responses").reader()
    reader.event(b"", orjson.dumps({"type": "response.output_text.delta", "delta": "hello"}))
    done = {"type": "response.output_item.done", "item": {"type": "message", "content": "hello"}}
    reader.event(b"", orjson.dumps(done))
    assert reader.written == 5


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 2, "prompt_cache_hit_tokens": 4}, Usage(10, 2, cached=4)),
        ({"prompt_tokens": 10, "completion_tokens": 2, "cached_tokens": 4}, Usage(10, 2, cached=4)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage(0, 0)),
    ],
)
def test_the_names_that_others_have(usage: dict[str, Any], expected: Usage) -> None:
    """Cached tokens are read from a provider's own member names too."""
    reader = operation_named("chat").reader()
    reader.document({"choices": [{"message": {"content": "a"}}], "usage": usage})
    assert reader.usage == expected


def test_what_is_kept_for_an_hour() -> None:
    """Anthropic reports the tokens cached for one hour as a part of all tokens written to the cache."""
    usage = {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    }
    reader = operation_named("messages").reader()
    reader.document({"type": "message", "content": [], "usage": usage})
    assert reader.usage == Usage(31, 2, cache_write=30, cache_write_1h=20)
