"""Tests of the lookup of operations and dialects."""

from __future__ import annotations

import pytest
from standby.proxy.dialects.registry import DIALECTS, OPERATIONS, dialect_named, operation_at, operation_named

__all__: list[str] = []


@pytest.mark.parametrize(
    ("path", "name", "dialect"),
    [
        ("/v1/chat/completions", "chat", "openai"),
        ("/v1/responses", "responses", "openai"),
        ("/v1/embeddings", "embeddings", "openai"),
        ("/v1/messages", "messages", "anthropic"),
        ("/v1/messages/count_tokens", "count_tokens", "anthropic"),
    ],
)
def test_operation_at(path: str, name: str, dialect: str) -> None:
    """Every path leads to its operation, whose upstream path is the same one below a provider's /v1."""
    operation = operation_at(path)
    assert operation is operation_named(name)
    assert operation is not None
    assert (operation.name, operation.dialect, operation.path) == (name, dialect, path)
    assert operation.upstream_path == path.removeprefix("/v1")


@pytest.mark.parametrize("path", ["", "/", "/v1/messages/", "/V1/messages", "/v1/chat", "/v1/models"])
def test_no_operation_at(path: str) -> None:
    """Only the exact path matches."""
    assert operation_at(path) is None


def test_names() -> None:
    """Operations and dialects have their own names, and every operation's dialect exists."""
    assert [operation.name for operation in OPERATIONS.values()] == list(OPERATIONS)
    assert [dialect.name for dialect in DIALECTS.values()] == list(DIALECTS)
    assert {operation.dialect for operation in OPERATIONS.values()} == set(DIALECTS)


def test_unknown_names() -> None:
    """An unknown name raises a KeyError."""
    with pytest.raises(KeyError):
        operation_named("completions")
    with pytest.raises(KeyError):
        dialect_named("gemini")
