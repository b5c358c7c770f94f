"""The filters of streams, fed with bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
from standby.proxy.exchange import Exchange
from standby.proxy.guardrails.answer_guard import AnswerGuard
from standby.proxy.guardrails.chat_filter import ChatFilter
from standby.proxy.guardrails.messages_filter import MessagesFilter
from standby.proxy.guardrails.responses_filter import ResponsesFilter
from standby.proxy.guardrails.rule_book import RuleBook
from standby.proxy.guardrails.rules import Rule
from standby.proxy.guardrails.stream_filter import StreamFilter

from tests.acceptance.raw_provider import RawAnswer
from tests.acceptance.test_guardrails import ARGUMENTS, KEY, chat_stream, messages_stream, responses_stream

__all__: list[str] = []

RULES: Final = tuple(Rule(kind=kind, on="response", action="redact") for kind in ("secrets", "personal_data"))
STREAMS: Final = [
    (ChatFilter, chat_stream),
    (MessagesFilter, messages_stream),
    (ResponsesFilter, responses_stream),
]


@pytest.mark.parametrize(("make", "stream"), STREAMS)
@pytest.mark.parametrize("size", [1, 2, 3, 64, 1000])
def test_any_cut_of_the_bytes_gives_the_same(
    make: Callable[[AnswerGuard], StreamFilter], stream: Callable[[], RawAnswer], size: int
) -> None:
    """Events that arrive in pieces, or several at once, become what each by itself does."""

    def filtered(chunks: list[bytes]) -> bytes:
        guard = AnswerGuard(RULES, RuleBook(RULES, 1024).response, None, Exchange("r", 0.0, ()))
        reader = make(guard)
        return b"".join(map(reader.feed, chunks)) + reader.end()

    events = stream().pieces
    whole = b"".join(events)
    expected = filtered(events)
    assert KEY.encode() not in expected
    assert ARGUMENTS.encode()[:20] not in expected
    assert filtered([whole[at : at + size] for at in range(0, len(whole), size)]) == expected
    folded = whole.replace(b"\n", b"\r\n")
    assert KEY.encode() not in filtered([folded[at : at + size] for at in range(0, len(folded), size)])
