"""Tests of the meaning of an answer with a token count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from anthropic.types import MessageTokensCount
from standby.proxy.dialects.base import RequestDocument, Signal
from standby.proxy.dialects.count_tokens import OPERATION, CountTokensReader

__all__: list[str] = []


@pytest.mark.parametrize(
    ("value", "sign"),
    [
        (MessageTokensCount(input_tokens=14).model_dump(mode="json"), Signal.CONTENT),
        ({"input_tokens": 0}, Signal.CONTENT),
        ({"input_tokens": True}, Signal.NOTHING),
        ({"input_tokens": "14"}, Signal.NOTHING),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, Signal.ERROR),
        ({"type": "error"}, Signal.ERROR),
        ([14], Signal.NOTHING),
        (14, Signal.NOTHING),
    ],
)
def test_document(value: object, sign: Signal) -> None:
    """An answer must have an integer number of tokens."""
    assert sign is CountTokensReader().document(value)


def test_counting_uses_nothing() -> None:
    """The counted tokens are not usage."""
    reader = CountTokensReader()
    reader.document({"input_tokens": 14})
    assert reader.usage is None


def test_not_streamed() -> None:
    """The operation has no stream, neither to read nor to end."""
    assert CountTokensReader().event(b"message_stop", b'{"type":"message_stop"}') is Signal.NOTHING
    assert CountTokensReader().broken("upstream_stall", "It stopped.", "req_1") == b""


def test_bound_by_a_file(parse: Callable[[dict[str, Any]], RequestDocument]) -> None:
    """A prompt that refers to a file can only be counted at the provider of the file."""
    document = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
    assert OPERATION.bound(parse({"messages": [{"role": "user", "content": [document]}]}))
    assert not OPERATION.bound(parse({"messages": [{"role": "user", "content": "hi"}]}))
