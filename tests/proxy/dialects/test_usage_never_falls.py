"""The usage of an answer, whatever the order in which a provider tells it."""

from __future__ import annotations

from typing import Any, Final

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from standby.proxy.budget.metering.price_card import cost
from standby.proxy.config import Price
from standby.proxy.dialects.base import AnswerReader
from standby.proxy.dialects.chat import ChatReader
from standby.proxy.dialects.messages import MessagesReader
from standby.proxy.dialects.responses import ResponsesReader
from standby.proxy.dialects.usage import Usage

__all__: list[str] = []

CARD: Final = Price.model_validate(
    {"input": "3.00", "output": "15.00", "cached_input": "0.30", "cache_write": "3.75", "reasoning": "20.00"}
)
FIGURES: Final[st.SearchStrategy[Any]] = st.one_of(
    st.integers(0, 10_000),
    st.integers(0, 10_000).map(float),
    st.integers(0, 10_000).map(str),
    st.none(),
    st.sampled_from([-1, 2**63, 2**64 - 1, 1.5, "x", True, [], {}]),
)
VALID: Final = st.integers(0, 10_000)


def told(reader: AnswerReader, event: dict[str, Any]) -> Usage | None:
    """What is known after one more event."""
    reader.event(b"", orjson.dumps(event))
    return reader.usage


def check(before: Usage | None, after: Usage | None) -> None:
    """No figure is smaller than it was, and each is one that a store can keep."""
    if before is not None:
        assert after is not None
        assert all(later >= earlier for earlier, later in zip(before, after, strict=True))
    assert after is None or all(0 <= figure <= 2 * 10**9 for figure in after)


@given(st.lists(st.tuples(FIGURES, FIGURES, FIGURES, FIGURES), max_size=8))
@settings(deadline=None)
def test_of_a_chat_and_of_a_response(usages: list[tuple[object, ...]]) -> None:
    """Each event may raise a figure and none lowers one, whatever it holds."""
    chat, response = ChatReader(), ResponsesReader()
    for read, written, cached, reasoning in usages:
        details = {"cached_tokens": cached}, {"reasoning_tokens": reasoning}
        usage = {
            "prompt_tokens": read,
            "completion_tokens": written,
            "prompt_tokens_details": details[0],
            "completion_tokens_details": details[1],
        }
        before = chat.usage
        check(before, told(chat, {"choices": [], "usage": usage}))
        usage = {
            "input_tokens": read,
            "output_tokens": written,
            "input_tokens_details": details[0],
            "output_tokens_details": details[1],
        }
        before = response.usage
        check(before, told(response, {"type": "response.in_progress", "response": {"usage": usage}}))
        assert chat.usage == response.usage


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(
                [
                    "input_tokens",
                    "output_tokens",
                    "cache_read_input_tokens",
                    "cache_creation_input_tokens",
                    "iterations",
                    "cache_creation",
                ]
            ),
            FIGURES,
        ),
        max_size=8,
    )
)
@settings(deadline=None)
def test_of_a_message(usages: list[dict[str, object]]) -> None:
    """The same for Anthropic's, where each event may tell some figures and leave out others."""
    reader = MessagesReader()
    for usage in usages:
        before = reader.usage
        check(before, told(reader, {"type": "message_delta", "delta": {}, "usage": usage}))


@given(st.lists(st.tuples(VALID, VALID, VALID, VALID), min_size=1, max_size=8))
@settings(deadline=None)
def test_what_is_booked_is_the_card_times_the_largest_figures(usages: list[tuple[int, ...]]) -> None:
    """Not the last figures, and not their sum."""
    reader = MessagesReader()
    for fresh, written, cached, cache_write in usages:
        usage = {
            "input_tokens": fresh,
            "output_tokens": written,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": cache_write,
        }
        told(reader, {"type": "message_delta", "delta": {}, "usage": usage})
    fresh, written, cached, cache_write = (max(each) for each in zip(*usages, strict=True))
    assert reader.usage is not None
    nano = fresh * 3_000 + written * 15_000 + cached * 300 + cache_write * 3_750
    assert cost(reader.usage, CARD) == nano
