"""To which tool call a piece of a chat stream belongs, as servers differ in it."""

from __future__ import annotations

from typing import Any

import pytest
from standby.proxy.bridge.bridges import BRIDGES
from standby.proxy.bridge.chat_answer import CallPieces

__all__: list[str] = []


def piece(arguments: str | None = None, name: str | None = None, **members: Any) -> dict[str, Any]:
    """One entry of `tool_calls` in a delta."""
    given = {"arguments": arguments, "name": name}
    return {**members, "function": {key: value for key, value in given.items() if value is not None}}


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(
            [
                piece("", "f", index=0, id="a"),
                piece('{"x"', index=0),
                piece("", "g", index=1, id="b"),
                piece(":1}", index=0),
                piece("{}", index=1),
            ],
            id="numbered, in turn",
        ),
        pytest.param(
            [piece('{"x":1}', "f", index=0, id="a"), piece("{}", "g", index=0, id="b")],
            id="all of them 0, as from Gemini",
        ),
        pytest.param(
            [piece('{"x":1}', "f", id="a"), piece("{}", "g", id="b")],
            id="without a number, whole, as from Ollama",
        ),
        pytest.param(
            [piece('{"x"', "f", id="a"), piece(":1}"), piece("{", "g", id="b"), piece("}")],
            id="without a number, in pieces",
        ),
        pytest.param(
            [
                piece('{"x"', "f", index=0, id="a"),
                piece(":1}", "f", index=0, id="a"),
                piece("{}", "g", index=1, id="b"),
            ],
            id="the name in every piece",
        ),
        pytest.param(
            [
                piece(index=0, id="a"),
                piece('{"x":1}', "f", index=0),
                piece(index=1, id="b"),
                piece("{}", "g", index=1),
            ],
            id="the id before the name",
        ),
    ],
)
def test_two_calls_are_two(pieces: list[dict[str, Any]]) -> None:
    """Each has its name, its id and its arguments, whatever the server numbers or repeats."""
    calls: dict[int, list[str]] = {}
    heads: list[tuple[str, str | None]] = []
    reader = CallPieces()
    for each in pieces:
        if (read := reader.read(each)) is not None:
            if read.name is not None:
                heads.append((read.name, read.identifier))
            calls.setdefault(read.at, []).append(read.arguments or "")
    assert heads == [("f", "a"), ("g", "b")]
    assert ["".join(parts) for parts in calls.values()] == ['{"x":1}', "{}"]


@pytest.mark.parametrize("caller", ["messages", "responses"])
def test_thinking_is_a_sign_of_life(caller: str) -> None:
    """While a model reasons, which is not translated, the caller hears comments."""
    bridge = BRIDGES[caller, "chat"]
    stream = bridge.stream(bridge.question({}, "m", 0))
    assert stream.feed(b'data: {"id":"1","choices":[{"delta":{"role":"assistant"}}]}\n\n')
    thinking = b'data: {"id":"1","choices":[{"delta":{"reasoning_content":"so"}}]}\n\n'
    assert stream.feed(thinking * 2) == b": ping\n\n" * 2
