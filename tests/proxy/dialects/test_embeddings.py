"""What an answer to an embeddings request means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse
from standby.proxy.dialects.base import RequestDocument, Sign
from standby.proxy.dialects.embeddings import OPERATION, EmbeddingsReading
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
        (ANSWER, Sign.CONTENT),
        ({**ANSWER, "data": {}}, Sign.NOTHING),
        ({**ANSWER, "error": {"message": "full"}}, Sign.ERROR),
        ({"error": "full"}, Sign.ERROR),
        ({"choices": []}, Sign.NOTHING),
        ([], Sign.NOTHING),
        (None, Sign.NOTHING),
    ],
)
def test_document(value: object, sign: Sign) -> None:
    """An answer has a list of data."""
    assert sign is EmbeddingsReading().document(value)


def test_facts() -> None:
    """An answer says what was read and which model read it; nothing is written."""
    reading = EmbeddingsReading()
    reading.document(ANSWER)
    assert reading.usage == Usage(input=8, output=0)
    assert reading.model == "text-embedding-3-small"


def test_a_usage_that_makes_no_sense() -> None:
    """Nothing need be said of what was written, but what is said must be a number."""
    reading = EmbeddingsReading()
    reading.document({**ANSWER, "usage": {"prompt_tokens": 8, "completion_tokens": -1}})
    assert reading.usage is None


def test_not_streamed() -> None:
    """There is no stream to read or to end."""
    assert EmbeddingsReading().event(b"", b'{"data":[]}') is Sign.NOTHING
    assert EmbeddingsReading().broken("upstream_stall", "It stopped.", "req_1") == b""


def test_never_bound(parse: Callable[[dict[str, Any]], RequestDocument]) -> None:
    """No request for embeddings depends on what a provider keeps."""
    assert not OPERATION.bound(parse({"input": "hi", "store": True, "user": "u"}))
