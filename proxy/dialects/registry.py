"""All supported operations and dialects, by path and by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from . import chat, count_tokens, embeddings, messages, responses
from .base import Operation
from .vendor import ANTHROPIC, OPENAI, Dialect

__all__ = ["DIALECTS", "OPERATIONS", "dialect_named", "operation_at", "operation_named"]

OPERATIONS: Final = MappingProxyType(
    {
        operation.name: operation
        for operation in (
            chat.OPERATION,
            responses.OPERATION,
            embeddings.OPERATION,
            messages.OPERATION,
            count_tokens.OPERATION,
        )
    }
)
"""All operations, by name."""

DIALECTS: Final = MappingProxyType({dialect.name: dialect for dialect in (OPENAI, ANTHROPIC)})
"""All dialects, by name."""

_BY_PATH: Final = MappingProxyType({operation.path: operation for operation in OPERATIONS.values()})


def operation_at(path: str) -> Operation | None:
    """Returns the operation at exactly this path of the gateway, or None."""
    return _BY_PATH.get(path)


def operation_named(name: str) -> Operation:
    """Returns the operation of this name. Raises KeyError."""
    return OPERATIONS[name]


def dialect_named(name: str) -> Dialect:
    """Returns the dialect of this name. Raises KeyError."""
    return DIALECTS[name]
