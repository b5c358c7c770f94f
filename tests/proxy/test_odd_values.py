"""Any JSON value may stand anywhere in a request or an answer: it is read or refused, never a crash."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

import orjson
import pytest
from standby.proxy.budget.metering.token_estimate import measure
from standby.proxy.budget.metering.usage_meter import Requested, amend, expected_usage
from standby.proxy.classify.provider_errors import in_band, refused
from standby.proxy.dialects.json_values import is_list, is_object
from standby.proxy.dialects.registry import OPERATIONS
from standby.proxy.errors import Refusal
from standby.proxy.exchange import Exchange
from standby.proxy.http.body import Body
from standby.proxy.routing.route_inputs import route_inputs

from tests.proxy.harness import pool_of, target_of

__all__: list[str] = []

ODD: Final[tuple[Any, ...]] = (
    None,
    True,
    -1,
    1.5,
    2**63,
    "",
    "x",
    [],
    ["x"],
    [[]],
    [{}],
    {},
    {"type": []},
    {"type": {}},
    {"x": 1},
)
TOOLS: Final = [
    {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}},
    {"type": "custom", "name": "g", "input_schema": {}, "cache_control": {"type": "ephemeral"}},
]
PARTS: Final = [
    {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}},
    {"type": "image_url", "image_url": {"url": "data:,x"}},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "eA=="}},
    {
        "type": "document",
        "source": {"type": "text", "data": "x", "content": [{"type": "text"}]},
        "title": "t",
    },
    {"type": "file", "file": {"file_data": "x", "file_id": "f"}},
    {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}},
    {"type": "thinking", "thinking": "x", "signature": "s"},
    {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}},
    {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "x"}]},
]
MESSAGE: Final = {
    "role": "assistant",
    "content": PARTS,
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    "function_call": {"name": "f", "arguments": "{}"},
    "audio": {"id": "a"},
    "extra_content": {"google": {"thought_signature": "s"}},
    "reasoning_details": [{"type": "reasoning.encrypted", "data": "d"}],
}
ITEMS: Final = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
    {"type": "reasoning", "id": "rs_1", "encrypted_content": "e", "summary": [{"text": "x"}]},
    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "x"}]},
    {"type": "item_reference", "id": "i"},
    {"type": "computer_call_output", "output": {"type": "computer_screenshot", "file_id": "f"}},
]
COMMON: Final = {"model": "m", "stream": True, "tools": TOOLS, "metadata": {"user_id": "u"}, "user": "u"}
REQUESTS: Final[dict[str, dict[str, Any]]] = {
    "chat": {
        **COMMON,
        "messages": [MESSAGE],
        "functions": [{"name": "f"}],
        "n": 2,
        "best_of": 2,
        "max_tokens": 5,
        "max_completion_tokens": 5,
        "stream_options": {"include_usage": False},
        "response_format": {"type": "json_schema", "json_schema": {"schema": {}}},
        "modalities": ["text", "audio"],
        "reasoning_effort": "low",
        "reasoning": {"effort": "low"},
        "store": False,
        "safety_identifier": "u",
    },
    "responses": {
        **COMMON,
        "input": ITEMS,
        "instructions": "x",
        "max_output_tokens": 5,
        "previous_response_id": "r",
        "conversation": {"id": "c"},
        "prompt": {"id": "p", "variables": {"a": {"type": "input_text"}}},
        "text": {"format": {"type": "json_schema", "schema": {}}},
        "reasoning": {"effort": "low"},
        "include": ["reasoning.encrypted_content"],
        "background": False,
        "store": False,
    },
    "messages": {
        **COMMON,
        "messages": [MESSAGE],
        "system": [{"type": "text", "text": "x"}],
        "max_tokens": 5,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "output_config": {"format": {"type": "json_schema", "schema": {}}, "effort": "low"},
        "container": {"id": "c", "skills": [{"skill_id": "s"}]},
        "mcp_servers": [{"type": "url", "url": "x"}],
    },
    "count_tokens": {"model": "m", "messages": [MESSAGE], "system": "x", "tools": TOOLS},
    "embeddings": {"model": "m", "input": ["a", [1, 2]], "messages": [MESSAGE], "dimensions": 3},
}
USAGE: Final = {
    "prompt_tokens": 1,
    "completion_tokens": 2,
    "total_tokens": 3,
    "input_tokens": 1,
    "output_tokens": 2,
    "prompt_tokens_details": {"cached_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 1},
    "input_tokens_details": {"cached_tokens": 1},
    "output_tokens_details": {"reasoning_tokens": 1},
    "cache_creation": {"ephemeral_1h_input_tokens": 1},
    "cache_creation_input_tokens": 1,
    "cache_read_input_tokens": 1,
}
DELTA: Final = {
    "role": "assistant",
    "content": "x",
    "tool_calls": [{"index": 0, "function": {"arguments": "x"}}],
}
RESPONSE: Final[dict[str, Any]] = {
    "id": "r",
    "model": "m",
    "status": "completed",
    "output": [
        {
            "type": "message",
            "content": [{"type": "output_text", "text": "x"}, {"type": "refusal", "refusal": "x"}],
        },
        {"type": "function_call", "name": "f", "arguments": "{}"},
        {"type": "reasoning", "summary": [{"text": "x"}], "encrypted_content": "e"},
    ],
    "usage": USAGE,
    "error": None,
    "incomplete_details": {"reason": "content_filter"},
}
ANSWERS: Final[dict[str, list[dict[str, Any]]]] = {
    "chat": [
        {
            "id": "c",
            "model": "m",
            "choices": [{"message": {**DELTA, "audio": {"transcript": "x"}}}],
            "usage": USAGE,
        },
        {"id": "c", "model": "m", "choices": [{"delta": DELTA, "finish_reason": "stop", "usage": USAGE}]},
        {"choices": [], "usage": USAGE, "x_groq": {"usage": USAGE}},
        {
            "choices": [{"finish_reason": "error", "error": {"code": 500}}],
            "error": {"code": "x", "message": "y"},
        },
    ],
    "responses": [
        RESPONSE,
        {"type": "response.created", "sequence_number": 1, "response": RESPONSE},
        {"type": "response.completed", "sequence_number": 2, "response": RESPONSE},
        {"type": "response.output_text.delta", "sequence_number": 3, "delta": "x"},
        {"type": "response.output_item.added", "output_index": 0, "item": RESPONSE["output"][1]},
        {"type": "response.output_item.done", "output_index": 0, "item": RESPONSE["output"][0]},
        {"type": "response.failed", "response": {**RESPONSE, "error": {"code": "x", "message": "y"}}},
        {"type": "error", "code": "x", "message": "y", "error": {"code": "x"}},
    ],
    "messages": [
        {
            "type": "message",
            "id": "m",
            "model": "m",
            "content": PARTS,
            "stop_reason": "end_turn",
            "usage": USAGE,
        },
        {"type": "message_start", "message": {"id": "m", "model": "m", "usage": USAGE, "content": PARTS}},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "tool_use", "name": "f", "input": {}},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": USAGE},
        {"type": "message_stop"},
        {"type": "error", "error": {"type": "overloaded_error", "message": "y"}},
    ],
    "count_tokens": [{"input_tokens": 3}],
    "embeddings": [{"model": "m", "data": [{"embedding": [0.1]}], "usage": USAGE}],
}
ERRORS: Final[list[dict[str, Any]]] = [
    {
        "error": {
            "code": "x",
            "type": "y",
            "status": "z",
            "message": "m",
            "param": "p",
            "innererror": {"code": "ResponsibleAIPolicyViolation"},
            "details": [{"@type": "RetryInfo", "retryDelay": "1s", "reason": "x"}],
            "metadata": {"raw": "x"},
        }
    }
]


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every member and element within a value."""
    steps: Iterable[tuple[Any, Any]] = ()
    if is_object(node):
        steps = node.items()
    elif is_list(node):
        steps = enumerate(node)
    for step, child in steps:
        yield (*path, step)
        yield from places(child, (*path, step))


def variants(value: Any) -> Iterator[Any]:
    """The value again and again, each time with another odd value at another place."""
    for path in places(value):
        for odd in ODD:
            variant = copy.deepcopy(value)
            node = variant
            for step in path[:-1]:
                node = node[step]
            node[path[-1]] = odd
            yield variant


async def _nothing() -> dict[str, Any]:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize("operation", sorted(REQUESTS))
def test_requests_are_read_or_refused(operation: str) -> None:
    """Shape, state, estimate, amendments and routing needs of a request raise nothing but Refusal."""
    kind = OPERATIONS[operation]
    pool = pool_of(target_of())
    for value in variants(REQUESTS[operation]):
        exchange = Exchange("req_1", 0.0, (), operation=kind, pool=pool, streamed=value.get("stream") is True)
        with suppress(Refusal):
            document = Body(orjson.dumps(value), _nothing).document
            kind.check(document.value)
            exchange.bound = kind.bound(document)
            requested = Requested.of(document.value, operation)
            expected_usage(measure(document.value, operation), requested, pool.prefer[0])
            amend(exchange, document.value)
            route_inputs(exchange, pool, document)


@pytest.mark.parametrize("operation", sorted(ANSWERS))
def test_answers_are_read(operation: str) -> None:
    """No value in an event or a document of a provider stops its reader."""
    for answer in ANSWERS[operation]:
        for value in variants(answer):
            data = orjson.dumps(value)
            reader = OPERATIONS[operation].reader()
            reader.event(str(value.get("type") or "").encode(), data)
            OPERATIONS[operation].reader().document(orjson.loads(data))


def test_errors_are_read() -> None:
    """No value in a provider's error object stops the reading of it, whatever the status."""
    for error in ERRORS:
        for value in variants(error):
            body = orjson.dumps(value)
            for status in (400, 401, 403, 404, 413, 422, 429, 500, 529):
                refused(status, (), body)
            in_band(value.get("error"))
