"""Tests that the token estimate is an upper bound, and not too high."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from standby.proxy.budget.metering.token_estimate import EXACT, UNSEEN, measure
from standby.proxy.budget.metering.vocabularies import Vocabularies
from standby.proxy.config import Provider, Target

__all__: list[str] = []

FAMILIES: Final = MappingProxyType(
    {"cl100k": "gpt-4", "o200k": "gpt-4o", "harmony": "gpt-oss-20b", "llama3": "llama-3.1", "qwen3": "qwen3"}
)
"""A model for each known vocabulary."""

KNOWN: Final = Vocabularies.load(FAMILIES.values())
GROWN: Final = "\u0344\u0958\u0f4d\u0f76\u0f78\u0f93\u2adc\ufa6c\ufb1d\ufb4e\U0001d15e\U0001d1c0"
"""Characters that get longer when a tokenizer normalises them."""
TEXTS: Final = (
    st.text(st.characters(codec="utf-8"))
    | st.text(st.sampled_from(GROWN + "e\u0301\u0315 a"), max_size=60)
    | st.lists(
        st.sampled_from(["the ", "\r\n", "  ", "<|im_end|>", "日本", "😀", "'ll", "123", "\t", "क़"])
    ).map("".join)
)
PIXELS: Final = "data:image/png;base64," + "iVBORw0KGgo" * 10_000


def target(model: str = "any", **fields: Any) -> Target:
    """A target with this model."""
    provider = Provider(name="p", dialect="openai", base_url="http://127.0.0.1:9/v1")
    return Target(name="t", provider=provider, model=model, **fields)


def chat(*content: Any, **members: Any) -> dict[str, Any]:
    """A chat request with one message for each content."""
    return {"model": "m", "messages": [{"role": "user", "content": part} for part in content], **members}


def bound(value: dict[str, Any], operation: str = "chat", model: str = "any") -> int:
    """The upper bound of the input tokens of a request."""
    return measure(value, operation).input(target(model))


@pytest.mark.parametrize("model", FAMILIES.values(), ids=[*FAMILIES])
@settings(deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
@example(texts=[GROWN])
@example(texts=[GROWN * 50])
@example(texts=["\u0f76" * 300])
def test_the_bound_is_one_for_any_text(model: str, texts: list[str]) -> None:
    """No vocabulary produces more tokens for the texts, separately or joined, than the bound."""
    count = KNOWN.count(model)
    assert count is not None
    prompt = measure(chat(*texts), "chat")
    assert prompt.size >= sum(map(count, texts))
    assert prompt.size >= count("".join(texts))
    assert prompt.input(target(model)) >= sum(map(count, texts)) + 4 * len(texts) + 3


@pytest.mark.parametrize("model", FAMILIES.values(), ids=[*FAMILIES])
def test_the_bound_is_one_for_every_character(model: str) -> None:
    """For no single character does a vocabulary produce more tokens than the bound."""
    count = KNOWN.count(model)
    assert count is not None
    for first in range(0, 0x110000, 0x100):
        row = [chr(code) for code in range(first, first + 0x100) if not 0xD800 <= code < 0xE000]
        assert measure({"messages": row}, "chat").size >= sum(map(count, row))


@pytest.mark.parametrize("model", FAMILIES.values(), ids=[*FAMILIES])
@settings(deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=3))
def test_a_vocabulary_is_exact(model: str, texts: list[str]) -> None:
    """With a vocabulary each text counts with its exact tokens, never more than the bound without one."""
    count = KNOWN.count(model)
    assert count is not None
    prompt = measure(chat(*texts), "chat")
    exact = prompt.input(target(model), KNOWN)
    assert exact - prompt.extra == sum(map(count, (*texts, *(["user"] * len(texts)))))
    assert exact <= prompt.input(target(model))


def test_long_texts_are_not_counted() -> None:
    """Texts beyond EXACT characters use the bound, so that a large request does not block others."""
    long = "word " * EXACT
    prompt = measure(chat("word " * 10, long), "chat")
    exact = prompt.input(target("gpt-4"), KNOWN)
    assert len(long) < exact < len(long) + 64


def test_long_texts_that_normalising_makes_longer() -> None:
    """A text too long to search for growing characters is bounded by its lead bytes."""
    prompt = measure(chat("\u0958" * EXACT, "\U0001d15e" * 9), "chat")
    count = KNOWN.count("qwen3")
    assert count is not None
    assert prompt.size >= EXACT * 6 + 9 * 12


@pytest.mark.parametrize(
    ("operation", "value"),
    [
        ("chat", chat("hello " * 100)),
        ("chat", chat([{"type": "text", "text": "hello " * 100}])),
        ("chat", chat("", tools=[{"type": "function", "function": {"name": "f", "description": "h" * 600}}])),
        ("chat", chat("", response_format={"type": "json_schema", "json_schema": {"x": "h" * 600}})),
        (
            "chat",
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "h" * 600}}]}]},
        ),
        ("chat", {"messages": [{"role": "tool", "tool_call_id": "c", "content": "h" * 600}]}),
        ("chat", {"messages": [], "prediction": {"type": "content", "content": "h" * 600}}),
        ("messages", chat("", system="h" * 600)),
        ("messages", chat("", system=[{"type": "text", "text": "h" * 600}])),
        ("messages", chat([{"type": "tool_use", "name": "f", "input": {"a": {"b": "h" * 600}}}])),
        ("messages", chat([{"type": "tool_result", "content": [{"type": "text", "text": "h" * 600}]}])),
        ("messages", chat([{"type": "thinking", "thinking": "h" * 600, "signature": "s"}])),
        ("messages", chat([{"type": "document", "source": {"type": "text", "data": "h" * 600}}])),
        ("count_tokens", chat("h" * 600)),
        ("responses", {"input": "h" * 600}),
        ("responses", {"input": [{"role": "user", "content": "h" * 600}]}),
        ("responses", {"instructions": "h" * 600, "input": ""}),
        ("responses", {"input": [{"type": "function_call_output", "output": "h" * 600}]}),
        ("embeddings", {"input": "h" * 600}),
        ("embeddings", {"input": ["h" * 300, "h" * 300]}),
        ("embeddings", {"messages": [{"role": "user", "content": "h" * 600}]}),
        ("embeddings", {"input": [7] * 600}),
        ("embeddings", {"input": [[7] * 300, [7] * 300]}),
    ],
)
def test_everything_a_model_reads_counts(operation: str, value: dict[str, Any]) -> None:
    """Text counts wherever a request may contain it, and only once."""
    assert 600 <= bound(value, operation) < 600 + 1_000


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": PIXELS}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        {"type": "input_image", "image_url": PIXELS},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXELS}},
        {"type": "tool_result", "content": [{"type": "image", "source": {"data": PIXELS}}]},
    ],
)
def test_an_image_is_no_text(part: dict[str, Any]) -> None:
    """An image counts as one image in every dialect, whatever its size in bytes."""
    prompt = measure(chat([part]), "chat")
    assert prompt.images == 1
    assert prompt.input(target()) - bound(chat([])) < 10_100


def test_an_image_for_a_small_model() -> None:
    """gpt-4o-mini counts more tokens per image than other models, and so does the bound."""
    value = chat([{"type": "image_url", "image_url": {"url": PIXELS}}])
    assert bound(value, model="gpt-4o-mini") - bound(value, model="gpt-4o") > 30_000


@pytest.mark.parametrize(
    ("part", "least", "most"),
    [
        ({"type": "input_audio", "input_audio": {"data": "A" * 64_000, "format": "wav"}}, 480, 600),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64," + "A" * 64_000}},
            15_000,
            20_000,
        ),
        ({"type": "input_file", "file_data": "A" * 64_000}, 15_000, 20_000),
        ({"type": "document", "source": {"type": "base64", "data": "A" * 64_000}}, 15_000, 20_000),
        ({"type": "file", "file": {"file_id": "file-1"}}, UNSEEN, UNSEEN + 100),
        (
            {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
            UNSEEN,
            UNSEEN + 100,
        ),
        ({"type": "input_file", "file_url": "https://example.com/a.pdf"}, UNSEEN, UNSEEN + 100),
    ],
)
def test_a_file_is_no_text(part: dict[str, Any], least: int, most: int) -> None:
    """A file counts by its pages, audio by its length, and a reference with an assumed size."""
    assert least <= bound(chat([part])) - bound(chat([])) <= most


def test_base64_in_a_text_is_text() -> None:
    """Base64 data within a text counts as text."""
    assert bound(chat(PIXELS)) > len(PIXELS)


@pytest.mark.parametrize(
    "reference", [{"previous_response_id": "r"}, {"conversation": "c"}, {"prompt": {"id": "p"}}]
)
def test_an_earlier_turn_is_assumed(reference: dict[str, Any]) -> None:
    """A reference to an earlier turn kept by the provider adds UNSEEN tokens."""
    assert bound({"input": "", **reference}, "responses") > UNSEEN


def test_tools_cost_more_than_their_json() -> None:
    """Tools add tokens for the provider's tool prompt, and more for a tool that the provider defines."""
    mine = bound(chat("", tools=[{"type": "custom", "name": "f"}]))
    theirs = bound(chat("", tools=[{"type": "bash_20250124", "name": "f"}]))
    assert mine - bound(chat("")) > 600
    assert theirs - mine > 900


@pytest.mark.parametrize("kind", ["image", "document", "input_audio", "text"])
def test_a_message_is_no_part(kind: str) -> None:
    """A message counts completely, whatever its type member is."""
    value: dict[str, Any] = {"messages": [{"role": "user", "type": kind, "content": "h" * 600}]}
    assert bound(value) >= 600
    assert measure(value, "chat").images == 0


def test_a_tool_of_no_type() -> None:
    """A tool whose type is not a string is counted without an error."""
    assert bound(chat("", tools=[{"type": []}])) > bound(chat("", tools=[{"type": "custom"}]))


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(codec="utf-8")),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "type",
                        "content",
                        "source",
                        "text",
                        "input",
                        "image_url",
                        "file",
                        "data",
                        "document",
                        "x",
                    ]
                ),
                inner | st.sampled_from(["image", "document", "file", "input_audio", "text"]),
                max_size=5,
            )
        ),
        max_leaves=20,
    ),
    operation=st.sampled_from(["chat", "responses", "messages", "embeddings", "count_tokens", "else"]),
)
def test_any_document_is_measured(value: object, operation: str) -> None:
    """Any JSON document can be measured, and the results are never negative."""
    read = orjson.loads(orjson.dumps({"messages": value, "input": value, "tools": value, "system": value}))
    prompt = measure(read, operation)
    assert prompt.input(target()) > 0
    assert prompt.images >= 0


PROSE: Final = (
    "The provider answered slowly, so the request went to another one. Nobody had to be woken up for it. "
)


@pytest.mark.parametrize("model", ["gpt-4.1", "claude-sonnet-4-5"])
def test_long_prose_is_not_counted_by_its_bytes(model: str) -> None:
    """300 kB of English are at most twice their tokens, whether the model's vocabulary is known or not."""
    text = PROSE * 3_000
    vocabularies = Vocabularies.load([model, "gpt-4o"])
    count = vocabularies.count("gpt-4o")
    assert count is not None
    prompt = measure({"messages": [{"role": "user", "content": text}]}, "messages")
    tokens = prompt.input(target(model), vocabularies)
    assert count(text) <= tokens <= 2 * count(text) + 100
    assert tokens < len(text) / 2


def test_text_of_other_scripts_is_bounded_by_its_bytes() -> None:
    """Another vocabulary says little of text beyond ASCII, so that its bytes are the bound."""
    text = "Привет, мир. " * 100
    prompt = measure({"messages": [{"role": "user", "content": text}]}, "messages")
    assert prompt.input(target("claude-sonnet-4-5"), Vocabularies.load(["claude-sonnet-4-5"])) >= len(
        text.encode()
    )
