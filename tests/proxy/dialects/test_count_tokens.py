"""What an answer to a request for a token count means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from anthropic.types import MessageTokensCount
from standby.proxy.dialects.base import RequestDocument, Sign
from standby.proxy.dialects.count_tokens import OPERATION, CountTokensReading

__all__: list[str] = []


@pytest.mark.parametrize(
    ("value", "sign"),
    [
        (MessageTokensCount(input_tokens=14).model_dump(mode="json"), Sign.CONTENT),
        ({"input_tokens": 0}, Sign.CONTENT),
        ({"input_tokens": True}, Sign.NOTHING),
        ({"input_tokens": "14"}, Sign.NOTHING),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, Sign.ERROR),
        ({"type": "error"}, Sign.ERROR),
        ([14], Sign.NOTHING),
        (14, Sign.NOTHING),
    ],
)
def test_document(value: object, sign: Sign) -> None:
    """An answer is a whole number of tokens."""
    assert sign is CountTokensReading().document(value)


def test_counting_uses_nothing() -> None:
    """The tokens counted are not tokens used."""
    reading = CountTokensReading()
    reading.document({"input_tokens": 14})
    assert reading.usage is None


def test_not_streamed() -> None:
    """There is no stream to read or to end."""
    assert CountTokensReading().event(b"message_stop", b'{"type":"message_stop"}') is Sign.NOTHING
    assert CountTokensReading().broken("upstream_stall", "It stopped.", "req_1") == b""


def test_bound_by_a_file(parse: Callable[[dict[str, Any]], RequestDocument]) -> None:
    """A prompt that refers to a file can be counted only where the file is."""
    document = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
    assert OPERATION.bound(parse({"messages": [{"role": "user", "content": [document]}]}))
    assert not OPERATION.bound(parse({"messages": [{"role": "user", "content": "hi"}]}))
