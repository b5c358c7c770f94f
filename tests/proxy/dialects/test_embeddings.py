"""Tests of the meaning of an answer with embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse
from standby.proxy.dialects.base import RequestDocument, Signal
from standby.proxy.dialects.embeddings import OPERATION, EmbeddingsReader
from standby.proxy.dialects.usage import Usage

__all__: list[str] = []

ANSWER = CreateEmbeddingResponse.model_validate(
    {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -0.2]}],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }
).model_dump(mode="json")


@pytest.mark.parametrize(
    ("value", "sign"),
    [
        (ANSWER, Signal.CONTENT),
        ({**ANSWER, "data": {}}, Signal.NOTHING),
        ({**ANSWER, "error": {"message": "full"}}, Signal.ERROR),
        ({"error": "full"}, Signal.ERROR),
        ({"choices": []}, Signal.NOTHING),
        ([], Signal.NOTHING),
        (None, Signal.NOTHING),
    ],
)
def test_document(value: object, sign: Signal) -> None:
    """An answer must have a list of data."""
    assert sign is EmbeddingsReader().document(value)


def test_facts() -> None:
    """An answer has the input tokens and the model; there are no output tokens."""
    reader = EmbeddingsReader()
    reader.document(ANSWER)
    assert reader.usage == Usage(input=8, output=0)
    assert reader.model == "text-embedding-3-small"


def test_a_usage_that_makes_no_sense() -> None:
    """The output tokens may be missing, but if given they must be a number."""
    reader = EmbeddingsReader()
    reader.document({**ANSWER, "usage": {"prompt_tokens": 8, "completion_tokens": -1}})
    assert reader.usage is None


def test_not_streamed() -> None:
    """The operation has no stream, neither to read nor to end."""
    assert EmbeddingsReader().event(b"", b'{"data":[]}') is Signal.NOTHING
    assert EmbeddingsReader().broken("upstream_stall", "It stopped.", "req_1") == b""


def test_never_bound(parse: Callable[[dict[str, Any]], RequestDocument]) -> None:
    """No request for embeddings refers to state at a provider."""
    assert not OPERATION.bound(parse({"input": "hi", "store": True, "user": "u"}))
