"""The requirements of a request, for every operation, and the reasons why a target cannot take it."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.dialects.registry import OPERATIONS
from standby.proxy.http.json_document import Document
from standby.proxy.routing.requirements import CAPABILITIES, Requirements, needs_of

__all__: list[str] = []

HELLO: Final = {"role": "user", "content": "Hello"}
SIGNED: Final = {"type": "thinking", "thinking": "Well", "signature": "c2ln"}
CALL: Final = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
STRICT: Final = {"type": "function", "function": {"name": "f", "strict": True}}
SCHEMA: Final[dict[str, Any]] = {"type": "json_schema", "schema": {}}

KEYS = st.sampled_from(
    [
        *("messages", "input", "content", "type", "text", "role", "tools", "functions", "tool_calls"),
        *("function", "arguments", "parallel_tool_calls", "response_format", "format", "reasoning", "effort"),
        *("reasoning_effort", "thinking", "signature", "data", "encrypted_content", "source", "output"),
        *("summary", "system", "instructions", "modalities", "extra_content", "google", "strict", "stream"),
        *("thought_signature", "reasoning_details", "tool_choice", "disable_parallel_tool_use"),
        *("output_config", "max_tokens"),
    ]
)
KINDS = st.sampled_from(
    [
        *("text", "image_url", "input_image", "image", "file", "document", "input_audio", "thinking"),
        *("redacted_thinking", "tool_use", "reasoning", "tool_result", "function_call", "message"),
        *("function_call_output", "web_search_tool_result"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def read(operation: str, **members: Any) -> Requirements:
    return needs_of(Document(members, frozenset()), operation)


def extra(operation: str, **members: Any) -> set[str]:
    """The requirements besides the operation."""
    needs = read(operation, **members)
    assert operation in needs.wants
    assert needs.wants <= CAPABILITIES.keys()
    return set(needs.wants - {operation})


def chat(*parts: Any, **members: Any) -> dict[str, Any]:
    return {"messages": [HELLO, {"role": "user", "content": list(parts)} | members]}


CHATS: Final[tuple[tuple[dict[str, Any], set[str]], ...]] = (
    ({"messages": [HELLO]}, set()),
    ({"messages": [HELLO], "stream": False, "parallel_tool_calls": True, "tools": []}, set()),
    ({"messages": [HELLO], "stream": True}, {"stream"}),
    ({"messages": [HELLO], "tools": [{"type": "function"}]}, {"tools"}),
    ({"messages": [HELLO], "functions": [{"name": "f"}]}, {"tools"}),
    ({"messages": [HELLO], "tools": [STRICT]}, {"tools", "json_schema"}),
    ({"tools": [{}], "parallel_tool_calls": True}, {"tools", "parallel_tools"}),
    ({"tools": [{}], "parallel_tool_calls": False}, {"tools"}),
    (chat(role="assistant", tool_calls=[CALL]), {"tools"}),
    (chat(role="assistant", tool_calls=[CALL, CALL]), {"tools", "parallel_tools"}),
    (chat(role="assistant", function_call={"name": "f"}), {"tools"}),
    (chat(role="tool", tool_call_id="c"), {"tools"}),
    (chat(role="function", name="f"), {"tools"}),
    (chat({"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}), {"vision"}),
    (chat({"type": "input_audio", "input_audio": {"data": ""}}), {"audio"}),
    (chat(role="assistant", audio={"id": "audio_1"}), {"audio"}),
    ({"messages": [HELLO], "modalities": ["text", "audio"]}, {"audio"}),
    (chat({"type": "file", "file": {"file_data": "data:..."}}), {"documents"}),
    ({"response_format": {"type": "json_object"}}, set()),
    ({"response_format": SCHEMA}, {"json_schema"}),
    ({"guided_json": {"type": "object"}}, {"json_schema"}),
    ({"reasoning_effort": "low"}, {"reasoning"}),
    ({"reasoning_effort": "none"}, set()),
    ({"reasoning": {"effort": "high"}}, {"reasoning"}),
    ({"reasoning": {"enabled": False, "effort": "high"}}, set()),
)


@pytest.mark.parametrize(
    ("request_", "wanted"),
    CHATS,
)
def test_what_a_chat_completion_needs(request_: dict[str, Any], wanted: set[str]) -> None:
    """Each capability is detected from its use in the request or in the conversation so far."""
    assert extra("chat", **request_) == wanted


RESPONSES: Final[tuple[tuple[dict[str, Any], set[str]], ...]] = (
    ({"input": "Hello"}, set()),
    ({"input": [{"role": "user", "content": "Hello"}], "stream": True}, {"stream"}),
    ({"tools": [{"type": "web_search"}]}, {"tools"}),
    ({"tools": [{"type": "function", "strict": True}]}, {"tools", "json_schema"}),
    ({"tools": [{"type": "function"}], "parallel_tool_calls": True}, {"tools", "parallel_tools"}),
    (
        {"input": [{"type": "function_call", "arguments": "{}"}, {"type": "function_call_output"}]},
        {"tools"},
    ),
    ({"input": [{"type": "function_call"}, {"type": "function_call"}]}, {"tools", "parallel_tools"}),
    ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, {"vision"}),
    ({"input": [{"type": "message", "content": [{"type": "input_file"}]}]}, {"documents"}),
    ({"input": [{"content": [{"type": "input_audio"}]}]}, {"audio"}),
    (
        {"input": [{"type": "function_call_output", "output": [{"type": "input_image"}]}]},
        {"tools", "vision"},
    ),
    (
        {"input": [{"type": "computer_call_output", "output": {"type": "computer_screenshot"}}]},
        {"tools", "vision"},
    ),
    ({"text": {"format": SCHEMA}}, {"json_schema"}),
    ({"text": {"format": {"type": "text"}}}, set()),
    ({"reasoning": {"effort": "medium"}}, {"reasoning"}),
    ({"reasoning": {"effort": "none"}}, set()),
    ({"reasoning": {"effort": None, "summary": None}}, set()),
)


@pytest.mark.parametrize(
    ("request_", "wanted"),
    RESPONSES,
)
def test_what_a_response_needs(request_: dict[str, Any], wanted: set[str]) -> None:
    """The same for the Responses API, whose items are calls, outputs and messages."""
    assert extra("responses", **request_) == wanted


MESSAGES: Final[tuple[tuple[dict[str, Any], set[str]], ...]] = (
    ({"messages": [HELLO], "system": [{"type": "text", "text": "Be brief"}]}, set()),
    ({"messages": [HELLO], "stream": True}, {"stream"}),
    ({"tools": [{"name": "f", "input_schema": {}}]}, {"tools"}),
    ({"tools": [{"name": "f", "strict": True}]}, {"tools", "json_schema"}),
    ({"tools": [{}], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, {"tools"}),
    (
        {"tools": [{}], "tool_choice": {"type": "auto", "disable_parallel_tool_use": False}},
        {"tools", "parallel_tools"},
    ),
    (chat({"type": "tool_use", "input": {"a": 1}}), {"tools"}),
    (chat({"type": "tool_use"}, {"type": "tool_use"}), {"tools", "parallel_tools"}),
    (chat({"type": "server_tool_use"}, {"type": "web_search_tool_result", "content": []}), {"tools"}),
    (chat({"type": "image", "source": {"type": "base64"}}), {"vision"}),
    (chat({"type": "document", "source": {"type": "base64"}}), {"documents"}),
    (
        chat({"type": "document", "source": {"type": "content", "content": [{"type": "image"}]}}),
        {"documents", "vision"},
    ),
    (chat({"type": "tool_result", "content": [{"type": "image"}]}), {"tools", "vision"}),
    ({"output_format": SCHEMA}, {"json_schema"}),
    ({"output_config": {"format": SCHEMA}}, {"json_schema"}),
    ({"output_config": {"effort": "low"}}, {"reasoning"}),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning"}),
    ({"thinking": {"type": "adaptive"}}, {"reasoning"}),
    ({"thinking": {"type": "disabled"}}, set()),
)


@pytest.mark.parametrize("operation", ["messages", "count_tokens"])
@pytest.mark.parametrize(
    ("request_", "wanted"),
    MESSAGES,
)
def test_what_a_message_needs(operation: str, request_: dict[str, Any], wanted: set[str]) -> None:
    """The same for Anthropic's messages, and for counting them."""
    assert extra(operation, **request_) == wanted


def test_an_embedding_needs_no_more_than_its_endpoint() -> None:
    """An embedding takes text or tokens, and images only where a server accepts messages."""
    assert extra("embeddings", input=["a", "b"]) == set()
    assert extra("embeddings", messages=chat({"type": "image_url"})["messages"]) == {"vision"}


@pytest.mark.parametrize(
    ("operation", "request_", "output"),
    [
        ("chat", {"max_completion_tokens": 7, "max_tokens": 5}, 7),
        ("chat", {"max_tokens": 5}, 5),
        ("responses", {"max_output_tokens": 6}, 6),
        ("messages", {"max_tokens": 8}, 8),
        ("count_tokens", {"max_tokens": 8}, None),
        ("chat", {}, None),
    ],
)
def test_the_output_that_is_asked_for_needs_room(
    operation: str, request_: dict[str, Any], output: int | None
) -> None:
    """The room that a request needs is its prompt plus its requested output."""
    needs = read(operation, **request_)
    assert needs.output_tokens == output
    assert needs.room == (output or 0)


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("chat", {"messages": [{"role": "user", "content": "word " * 1_000}]}),
        ("chat", chat({"type": "text", "text": "word " * 1_000})),
        ("chat", chat(role="assistant", tool_calls=[{"function": {"arguments": "word " * 1_000}}])),
        ("chat", {"tools": [{"type": "function", "function": {"description": "word " * 1_000}}]}),
        ("responses", {"input": "word " * 1_000}),
        ("responses", {"input": [{"type": "function_call_output", "output": "word " * 1_000}]}),
        ("responses", {"instructions": "word " * 1_000, "input": "Hello"}),
        ("messages", {"system": "word " * 1_000, "messages": [HELLO]}),
        ("messages", chat({"type": "tool_use", "input": {"text": "word " * 1_000}})),
        ("messages", chat({"type": "tool_result", "content": [{"type": "text", "text": "word " * 1_000}]})),
        ("messages", chat({"type": "document", "source": {"type": "text", "data": "word " * 1_000}})),
        ("messages", chat(SIGNED | {"thinking": "word " * 1_000})),
        ("embeddings", {"input": "word " * 1_000}),
        ("embeddings", {"input": ["word " * 1_000]}),
        ("embeddings", {"input": list(range(1_000))}),
    ],
)
def test_text_is_counted_wherever_it_stands(operation: str, request_: dict[str, Any]) -> None:
    """A thousand English words are about 1,000 tokens: the two estimates are below and above that."""
    needs = read(operation, **request_)
    assert 1_000 <= needs.input_tokens <= 1_400
    assert 700 <= needs.room <= 1_000


def test_data_is_no_text() -> None:
    """An image of a megabyte counts as an image, not as a million characters."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    needs = read("chat", **chat(picture))
    assert 500 < needs.input_tokens < 5_000
    assert needs.room == 0


def test_of_a_batch_the_longest_has_to_fit() -> None:
    """A thousand short texts to embed fit any model, even if their sum is large."""
    texts = read("embeddings", input=["word " * 20] * 999 + ["word " * 200])
    tokens = read("embeddings", input=[[1] * 20] * 999 + [[1] * 200])
    assert texts.input_tokens > 20_000
    assert 100 <= texts.room <= 200
    assert tokens.input_tokens == 999 * 20 + 200
    assert tokens.room == 200


def test_long_foreign_text_is_sampled() -> None:
    """For a long text in another script the size is estimated, without encoding all of it."""
    needs = read("chat", messages=[{"role": "user", "content": "日本語と" * 100_000}])
    assert needs.input_tokens == pytest.approx(400_000, rel=0.01)
    assert 100_000 < needs.room < 400_000


def test_who_has_counted_is_believed() -> None:
    """A count by the model's own tokenizer replaces both estimates."""
    needs = needs_of(Document({"messages": [HELLO], "max_tokens": 5}, frozenset()), "chat", input_tokens=77)
    assert (needs.input_tokens, needs.room) == (77, 82)


FULL: Final = Requirements("chat", frozenset({"chat", "stream", "tools", "vision"}), 90, 100, 20)


def test_a_target_that_does_not_say_can_do_everything() -> None:
    """Without `can`, `context` and `max_output` no request is rejected."""
    assert FULL.rejection(None) is None
    assert FULL._replace(wants=frozenset(CAPABILITIES)).rejection(None) is None


@pytest.mark.parametrize("name", CAPABILITIES)
def test_every_lack_has_its_reason(name: str) -> None:
    """A target that lacks one capability is rejected with its code."""
    needs = FULL._replace(wants=frozenset(CAPABILITIES))
    assert needs.rejection(CAPABILITIES.keys() - {name}) == CAPABILITIES[name]
    assert needs.rejection(CAPABILITIES.keys()) is None
    assert needs._replace(wants=frozenset()).rejection(()) is None


def test_of_several_lacks_the_first_is_told() -> None:
    """The order is fixed: signature, endpoint, capabilities as listed, window, output."""
    needs = FULL._replace(signatures=("sig_1",))
    limits: dict[str, Any] = {"context": 99, "max_output": 19}
    assert needs.rejection((), **limits, domain="b", home="a") == "state.signed"
    assert needs.rejection((), **limits, domain="a", home="a") == "capability.endpoint"
    assert needs.rejection(("chat", "stream"), **limits, domain="a", home="a") == "capability.tools"
    assert needs.rejection(FULL.wants, **limits, domain="a", home="a") == "capability.context_window"
    assert FULL.rejection(FULL.wants, context=100, max_output=19) == "capability.output_length"
    assert FULL.rejection(FULL.wants, context=100, max_output=20) is None
    assert FULL._replace(output_tokens=None).rejection(None, max_output=1) is None


def test_without_a_signature_domains_do_not_matter() -> None:
    """Only signed content is bound to its signer's domain."""
    assert FULL.rejection(None, domain="b", home="a") is None


def test_reasoning_that_may_be_left_out_binds_to_nobody() -> None:
    """With `strips`, only signed content that is no reasoning is bound."""
    needs = FULL._replace(signatures=("sig_1",))
    assert needs.rejection(None, domain="b", home="a", strips=True) is None
    assert needs._replace(fixed=True).rejection(None, domain="b", home="a", strips=True) == "state.signed"


def test_every_operation_is_read() -> None:
    """Every operation has requirements, and a name that `can` may hold."""
    for operation in OPERATIONS:
        assert read(operation).wants == {operation}
        assert CAPABILITIES[operation] == "capability.endpoint"


@given(
    st.sampled_from(sorted(OPERATIONS)),
    st.dictionaries(KEYS, JSON | st.lists(st.fixed_dictionaries({"type": KINDS, "content": JSON}))),
)
def test_no_shape_raises(operation: str, value: dict[str, Any]) -> None:
    """For any document, requirements are read without errors, and estimates are not negative."""
    needs = read(operation, **value)
    assert needs.wants <= CAPABILITIES.keys()
    assert needs.input_tokens >= 0
    assert needs.room >= (needs.output_tokens or 0)


def test_no_depth_of_nesting_is_a_depth_of_calls() -> None:
    """Nested results are read at any depth."""
    part: Any = SIGNED
    for _ in range(5_000):
        part = {"type": "tool_result", "content": [part]}
    assert read("messages", **chat(part)).signatures
