"""The bill of a simulated provider: what it generated, by its own count, as it went out on the socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Self, cast

import orjson

__all__ = ["Billed", "GeneratedText", "prompt_tokens"]

_PROMPT: Final = ("messages", "input", "system", "instructions")
"""Members of a request that are read by the model, in any dialect."""


class Billed(NamedTuple):
    """One line of the bill: one request that was generated for.

    `user` is the end user that the request named. `reported` says whether the answer told what was used, to
    its end; `aborted`, whether the caller hung up before its end.
    """

    number: int
    model: str
    user: str | None
    input: int
    output: int
    reported: bool
    aborted: bool


class GeneratedText(bytes):
    """Bytes of an answer that were generated: `tokens` have to be paid for once they are sent.

    `reports` is true of the last event, or the body, that says what was used.
    """

    tokens: int
    reports: bool

    def __new__(cls, data: bytes, tokens: int = 0, *, reports: bool = False) -> Self:
        """`data`, with its price."""
        text = super().__new__(cls, data)
        text.tokens = tokens
        text.reports = reports
        return text

    @classmethod
    def like(cls, piece: bytes, data: bytes, *, reports: bool | None = None) -> bytes:
        """`data`, which stands for `piece` in another form, and costs what that costs."""
        if not isinstance(piece, GeneratedText):
            return data
        return cls(data, piece.tokens, reports=piece.reports if reports is None else reports)

    @classmethod
    def all(cls, pieces: Sequence[bytes], data: bytes) -> bytes:
        """`data`, which costs what all of `pieces` cost."""
        text = [piece for piece in pieces if isinstance(piece, GeneratedText)]
        if not text:
            return data
        return cls(data, sum(piece.tokens for piece in text), reports=any(piece.reports for piece in text))


def prompt_tokens(prompt: object) -> int:
    """Tokens of a prompt: one for four characters of text, four for each message, three to begin an answer.

    So many as vendors count for English text; what a JSON document adds around the text costs nothing.
    """
    if not isinstance(prompt, dict):
        return 0
    document = cast("Mapping[str, Any]", prompt)
    characters = sum(_characters(document.get(name)) for name in _PROMPT)
    if document.get("tools"):
        characters += len(orjson.dumps(document["tools"]))
    messages: Sequence[object] | None = document.get("messages") or document.get("input")
    count = len(messages) if isinstance(messages, list) else 1
    return 3 + 4 * count + characters // 4


def _characters(value: object) -> int:
    """Characters of text in a part of a prompt; images and the like have none."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_characters, cast("list[object]", value)))
    if isinstance(value, dict):
        part = cast("Mapping[str, object]", value)
        return sum(_characters(part.get(name)) for name in ("text", "content", "arguments", "output"))
    return 0
