"""The scan of the messages of a request."""

from __future__ import annotations

from typing import Any

from standby.proxy.routing.message_contents import MessageContents

__all__: list[str] = []


def test_parts_within_parts_wait_for_the_rest() -> None:
    """One level is scanned at once, nested parts when `rest` is called, and each only once."""
    contents = MessageContents()
    assert contents.parts([{"type": "tool_result", "content": [{"type": "image"}]}]) == 0
    assert contents.wants == {"tools"}
    contents.rest()
    assert contents.wants == {"tools", "vision"}
    before = contents.tokens()
    contents.rest()
    assert contents.tokens() == before


def test_calls_are_told_from_their_results() -> None:
    """The number of calls in one message shows parallel calls. Results and text do not count."""
    calls = ["tool_use", "server_tool_use", "function_call", "web_search_call"]
    others = ["text", "tool_result", "function_call_output", "web_search_tool_result", "thinking", "image"]
    assert MessageContents().content([{"type": kind} for kind in (*calls, *others)]) == len(calls)


def test_one_part_may_stand_alone() -> None:
    """Content is text, a list of parts, or a single part; anything else counts as nothing."""
    for content in ("word", ["word"], {"type": "text", "text": "word"}, [{"type": "text", "text": "word"}]):
        contents = MessageContents()
        contents.content(content)
        assert contents.narrow == 4
    contents = MessageContents()
    odds: list[Any] = [None, 1, True, [None, 1, []], {"type": {}}, {"type": [], "text": {}}]
    for odd in odds:
        contents.content(odd)
    contents.rest()
    assert contents.tokens() == (0, 0)


def test_the_probable_length_is_never_below_the_least() -> None:
    """For text in any script, the probable number of tokens is at least the lower bound."""
    for text in ("word " * 100, "größer " * 100, "日本語" * 100, "🙂" * 100, "a" * 20_000 + "é"):
        contents = MessageContents()
        contents.text(text)
        probably, least = contents.tokens()
        assert probably >= least > 0
