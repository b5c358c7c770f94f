"""Properties that hold for the reader of every operation, whatever a provider sends."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.dialects.base import Operation, Signal
from standby.proxy.dialects.registry import OPERATIONS

__all__: list[str] = []

EACH = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)

KINDS = st.sampled_from(
    [
        "",
        "content_block_delta",
        "content_block_start",
        "error",
        "message",
        "message_delta",
        "message_start",
        "message_stop",
        "ping",
        "response.completed",
        "response.created",
        "response.failed",
        "response.incomplete",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_text.delta",
    ]
)
MEMBERS = st.sampled_from(
    [
        "choices",
        "delta",
        "content",
        "finish_reason",
        "usage",
        "error",
        "type",
        "id",
        "model",
        "message",
        "response",
        "item",
        "status",
        "output",
        "data",
        "stop_reason",
        "content_block",
        "text",
        "sequence_number",
        "created_at",
        "x_groq",
        "prompt_tokens",
        "completion_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
        "cached_tokens",
        "reasoning_tokens",
        "total_tokens",
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "incomplete_details",
        "reason",
        "tool_calls",
        "input_tokens_details",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"))
    | KINDS
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=6),
    max_leaves=20,
)
OBJECTS = st.dictionaries(MEMBERS, JSON, max_size=8)


@EACH
@given(name=st.binary(max_size=8) | KINDS.map(str.encode), data=st.binary())
def test_any_bytes(operation: Operation, name: bytes, data: bytes) -> None:
    """No bytes raise an error."""
    assert operation.reader().event(name, data) in Signal


@EACH
@given(name=KINDS.map(str.encode), values=st.lists(OBJECTS, max_size=3))
def test_any_events(operation: Operation, name: bytes, values: list[dict[str, Any]]) -> None:
    """No JSON raises an error, and the stream can still be ended afterwards."""
    reader = operation.reader()
    for value in values:
        assert reader.event(name, orjson.dumps(value)) in Signal
    assert isinstance(reader.broken("upstream_stall", "It stopped.", "req_1"), bytes)


@EACH
@given(value=JSON | OBJECTS)
def test_any_document(operation: Operation, value: object) -> None:
    """No body raises an error; it is an answer, an error or nothing."""
    assert operation.reader().document(value) in {Signal.NOTHING, Signal.CONTENT, Signal.ERROR}


@EACH
@given(value=JSON | OBJECTS)
def test_facts_have_their_types(operation: Operation, value: object) -> None:
    """The attributes of a reader have their declared types, for any types in the answer."""
    reader = operation.reader()
    sign = reader.document(value)
    facts: tuple[object, ...] = (reader.model, reader.answer_id, reader.finish)
    for fact in facts:
        assert fact is None or (isinstance(fact, str) and fact)
    assert reader.usage is None or reader.usage.input >= 0
    assert (reader.error is not None) == (sign is Signal.ERROR)


@EACH
def test_broken_is_one_event(operation: Operation) -> None:
    """A broken stream ends with one error event after a blank line, without any sign of success."""
    event = operation.reader().broken("upstream_stall", "It stopped.", "req_1")
    if not event:
        assert operation.name in {"embeddings", "count_tokens"}
        return
    assert event.startswith(b"\n\n")
    assert event.endswith(b"\n\n")
    assert event.strip().count(b"\n\n") == 0
    assert b"[DONE]" not in event
    assert b"finish_reason" not in event
    assert b"stop_reason" not in event


@EACH
def test_broken_reads_as_an_error(operation: Operation) -> None:
    """The error event that ends a broken stream is read as an error itself."""
    lines = operation.reader().broken("upstream_stall", "It stopped.", "req_1").strip().splitlines()
    if not lines:
        return
    fields = dict(line.split(b": ", 1) for line in lines)
    reader = operation.reader()
    assert reader.event(fields.get(b"event", b""), fields[b"data"]) is Signal.ERROR
    assert reader.error is not None
    assert reader.error["code"] == "upstream_stall"
